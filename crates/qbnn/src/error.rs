//! The one error type of the library.
//!
//! A variant names the file, flag or key, says what was found and what was wanted, and what to do. [`Error::one_line`]
//! is the whole of it with every cause, for people; [`Error::is_usage`] and [`Error::is_stopped`] are for programs. Errors
//! of the crates below ([`BnnError`], [`DataError`], [`EvalError`], [`ModelError`]) are kept as they are.

use qbnn_bnn::BnnError;
use qbnn_core::model::ModelError;
use qbnn_data::DataError;
use qbnn_eval::EvalError;
use std::error::Error as StdError;
use std::io;
use std::iter::successors;
use std::path::{Path, PathBuf};

/// What a function of this library gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in an experiment, an evaluation, a sweep or a file of theirs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Mistakes in what was asked for.
    /// A config, network, sweep or ensemble file, a flag, or a set of keys that says something wrong.
    #[error("{origin}{}: {problem}", line.map_or(String::new(), |n| format!(", line {n}")))]
    Settings {
        /// The file, the flag as it was given, or the keys.
        origin: String,
        /// Line of the file, from 1.
        line: Option<usize>,
        /// What was found, what was wanted, and the fix.
        problem: String,
    },
    /// A setting that has no effect on what was asked for.
    #[error("{key} is not used by `qbnn {command}`; leave it out, or set it where it counts: {others}")]
    Unused {
        /// The key.
        key: String,
        /// The command.
        command: String,
        /// Commands that use it.
        others: String,
    },
    /// A mistake in what was asked for, in words that name it and the fix.
    #[error("{0}")]
    Asked(String),
    /// A setting outside its range.
    #[error("{key} = {found}: {wanted}")]
    Setting {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What is accepted.
        wanted: String,
    },
    /// A name that nothing has.
    #[error("unknown {what} `{name}`; {}known are {known}", near.as_ref().map_or(String::new(), |n| format!("did you mean `{n}`? ")))]
    UnknownName {
        /// What should have the name, or the key that names it.
        what: &'static str,
        /// The name.
        name: String,
        /// The most similar name that is known.
        near: Option<String>,
        /// All names that are known.
        known: String,
    },
    /// A file of settings that was asked for and cannot be read.
    #[error("cannot read {what} {}: {error}; {fix}", path.display())]
    UnreadableSettings {
        /// `config`, `network` or `sweep`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
        /// What to do.
        fix: &'static str,
    },
    /// A file to write that the command reads.
    #[error("{flag} {} would overwrite {}, which this command reads; name another file", out.display(), input.display())]
    WouldOverwrite {
        /// The flag that named it.
        flag: String,
        /// The file to write.
        out: PathBuf,
        /// The same file as it is read.
        input: PathBuf,
    },
    /// A file to write under a usual name, which another program or a person wrote.
    #[error("{} is there and was not written by qbnn; name another file with --out", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A folder that cannot be that of a new run.
    #[error("{} {problem}", path.display())]
    FolderTaken {
        /// The folder.
        path: PathBuf,
        /// What is in it, and the fix.
        problem: String,
    },
    /// A quantization that no model file can hold.
    #[error("{0}. Nothing was trained: there could be no model file (`qbnn sweep` measures it in float alone)")]
    NoModelFile(BnnError),
    /// A ledger that another spec began.
    #[error(
        "{} was begun by another spec ({found}; this one is {wanted}): give \
         --adopt to keep the runs that both have, or name another folder with --out",
        path.display()
    )]
    OtherSweep {
        /// The ledger.
        path: PathBuf,
        /// The sweep that it names, and the hash of that sweep's plan.
        found: String,
        /// The sweep that was asked for, and the hash of its plan.
        wanted: String,
    },

    // The system.
    /// A file or folder that the system refuses.
    #[error("cannot {action} {}: {error}{}", path.display(), fix.map_or(String::new(), |f| format!("; {f}")))]
    Io {
        /// `read`, `write`, `list`, `make`, `remove`, `replace`, `rename`, `lock` or `find`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
        /// What to do, where the reason does not say it.
        fix: Option<&'static str>,
    },
    /// A file or folder that another process writes.
    #[error("{what} is being written by {owner}; wait for it, or name another one")]
    Locked {
        /// The file or folder.
        what: String,
        /// The other process: number, command, since when.
        owner: String,
    },
    /// Threads that cannot be started.
    #[error("cannot start the threads; give fewer --jobs")]
    Threads(#[source] Box<dyn StdError + Send + Sync>),

    // Contents of files.
    /// A file or folder whose contents are not what they must be: damaged, too large, or of another kind.
    #[error("{} {problem}", path.display())]
    Contents {
        /// The file or folder.
        path: PathBuf,
        /// What was found, what was wanted, and the fix: goes on after the path.
        problem: String,
    },
    /// A file of another program's predictions whose arrays are not as they are wanted.
    #[error("{}: {problem}", path.display())]
    Arrays {
        /// The file.
        path: PathBuf,
        /// What was found, what was wanted, and the fix.
        problem: String,
    },
    /// A file of another program's posterior that cannot be imported.
    #[error("{}: {problem}", path.display())]
    Posterior {
        /// The file.
        path: PathBuf,
        /// What was found, what was wanted, and the fix.
        problem: String,
    },
    /// Two files of predictions that one page would call by one name.
    #[error("two files are called {0}; rename one, the page tells them apart by name")]
    SameName(String),
    /// A file of JSON that cannot be read.
    #[error("{} is damaged; {fix}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What to do.
        fix: String,
        /// Where it is damaged.
        source: serde_json::Error,
    },
    /// A model file whose contents are wrong.
    #[error("{} {error}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ModelError,
    },
    /// A line of a ledger that cannot be read.
    #[error("{}, line {line}: {error}; remove the line and its run is made again", path.display())]
    LedgerLine {
        /// The ledger.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// Results that cannot be written down.
    #[error("{what} cannot be encoded")]
    Encode {
        /// What they are.
        what: &'static str,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },

    /// A dataset without clean test images, which accuracy and calibration need.
    #[error("{0} has no clean test group; give one of its groups the role clean")]
    NoClean(String),

    // What does not belong together.
    /// A checkpoint that was trained with another setting than the config beside it says.
    #[error(
        "{}: {key} is {found} by config.toml, but the checkpoint was trained with {wanted}; restore config.toml, or {fix}",
        path.display()
    )]
    OtherSetting {
        /// The checkpoint.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value in the config.
        found: String,
        /// Its value in the checkpoint.
        wanted: String,
        /// What can be done besides.
        fix: Box<str>,
    },
    /// A checkpoint, run or image that does not go with the data, the settings, the model or the files that are there.
    #[error("{}: {problem}", path.display())]
    Mismatch {
        /// Its file or folder.
        path: PathBuf,
        /// What was found, what was wanted, and the fix.
        problem: String,
    },
    /// A model file and the checkpoint beside it, of two networks.
    #[error("{} {why} ({}); {fix}", file.display(), checkpoint.display())]
    Stale {
        /// The model file.
        file: PathBuf,
        /// The checkpoint.
        checkpoint: PathBuf,
        /// In what they differ.
        why: String,
        /// What to do.
        fix: String,
    },

    // What happens on the way.
    /// Work that was asked to stop. What was finished before is whole.
    #[error("stopped {place}; go on with `{go_on}`")]
    Stopped {
        /// Where it was, and what is kept.
        place: String,
        /// The command that goes on.
        go_on: String,
    },
    /// A model of a sweep whose float network failed, for this reason.
    #[error("its float network: {0}")]
    FloatNetwork(String),
    /// A task of a sweep that panicked.
    #[error("it panicked, which is a fault of this program: {0}")]
    Panicked(String),
    /// An error, and the file, section, model or question in which it arose.
    #[error("{place}")]
    At {
        /// Where.
        place: String,
        /// What.
        source: Box<Error>,
    },

    // Of the crates below.
    /// Of networks, training, quantization and checkpoints.
    #[error(transparent)]
    Bnn(#[from] BnnError),
    /// Of datasets.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Of metrics.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

impl Error {
    /// Whether it is a mistake in what was asked for (a flag, a key, a name), and not a failure on the way.
    pub fn is_usage(&self) -> bool {
        is_usage(self)
    }

    /// Whether it is the end of work that was asked to stop.
    pub fn is_stopped(&self) -> bool {
        is_stopped(self)
    }

    /// What kind of error of the system it is, where a file or folder cannot be read or written.
    pub fn refused_file(&self) -> Option<io::ErrorKind> {
        successors(Some(self as &(dyn StdError + 'static)), |&e| e.source()).filter_map(Link::of).find_map(|link| {
            match link {
                Link::Own(Error::Io { error, .. } | Error::UnreadableSettings { error, .. }) => Some(error.kind()),
                // It keeps what the system said in words.
                Link::Data(DataError::Io { path, .. }) if !path.exists() => Some(io::ErrorKind::NotFound),
                Link::Data(DataError::Io { .. }) => Some(io::ErrorKind::Other),
                Link::Bnn(BnnError::File { path, .. }) if !path.exists() => Some(io::ErrorKind::NotFound),
                _ => None,
            }
        })
    }

    /// The error and its causes on one line.
    pub fn one_line(&self) -> String {
        let links = successors(Some(self as &(dyn StdError + 'static)), |&e| e.source());
        let text = links.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn settings(origin: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Settings { origin: origin.into(), line: None, problem: problem.into() }
    }

    pub(crate) fn asked(problem: impl Into<String>) -> Self {
        Error::Asked(problem.into())
    }

    pub(crate) fn contents(path: &Path, problem: impl Into<String>) -> Self {
        Error::Contents { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn posterior(path: &Path, problem: impl Into<String>) -> Self {
        Error::Posterior { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn mismatch(path: &Path, problem: impl Into<String>) -> Self {
        Error::Mismatch { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn encode(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |e| Error::Encode { what, source: e.into() }
    }

    /// For `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Error::Io { action, path: path.to_owned(), error, fix: None }
    }

    /// The same with what to do.
    pub(crate) fn io_fix(action: &'static str, path: &Path, fix: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Error::Io { action, path: path.to_owned(), error, fix: Some(fix) }
    }

    pub(crate) fn at(self, place: impl Into<String>) -> Self {
        Error::At { place: place.into(), source: Box::new(self) }
    }
}

/// Says where an error arose.
pub(crate) trait At<T> {
    fn at(self, place: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> At<T> for Result<T, E> {
    fn at(self, place: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| e.into().at(place()))
    }
}

/// Returns a problem in words where a condition does not hold; whoever knows the file makes an [`Error`] of it.
macro_rules! ensure {
    ($condition:expr, $($problem:tt)+) => {
        if !$condition {
            return Err(format!($($problem)+));
        }
    };
}

/// The same without a condition.
macro_rules! bail {
    ($($problem:tt)+) => {
        return Err(format!($($problem)+))
    };
}
pub(crate) use {bail, ensure};

/// Whether an error or one of its causes is a mistake in what was asked for: of this library or of those below.
pub fn is_usage(error: &(dyn StdError + 'static)) -> bool {
    let of_bnn = |e: &BnnError| matches!(e, BnnError::Setting { .. } | BnnError::Network { .. });
    let of_data = |e: &DataError| matches!(e, DataError::UnknownName { .. } | DataError::Limit { .. });
    any(error, |link| match link {
        Link::Own(
            Error::Settings { .. }
            | Error::Unused { .. }
            | Error::Asked(_)
            | Error::Setting { .. }
            | Error::UnknownName { .. }
            | Error::UnreadableSettings { .. }
            | Error::WouldOverwrite { .. }
            | Error::NotOurs { .. }
            | Error::FolderTaken { .. }
            | Error::NoModelFile(_)
            | Error::OtherSweep { .. },
        ) => true,
        Link::Own(_) => false,
        Link::Bnn(e) => of_bnn(e),
        Link::Data(e) => of_data(e),
    })
}

/// Whether an error or one of its causes is the end of work that was asked to stop.
pub fn is_stopped(error: &(dyn StdError + 'static)) -> bool {
    any(error, |link| {
        matches!(
            link,
            Link::Own(Error::Stopped { .. }) | Link::Bnn(BnnError::Stopped) | Link::Data(DataError::Stopped { .. })
        )
    })
}

/// A link of a chain of causes that this library knows.
enum Link<'a> {
    Own(&'a Error),
    Bnn(&'a BnnError),
    Data(&'a DataError),
}

fn any(error: &(dyn StdError + 'static), is: impl Fn(Link<'_>) -> bool) -> bool {
    successors(Some(error), |&e| e.source()).filter_map(Link::of).any(is)
}

impl<'a> Link<'a> {
    fn of(error: &'a (dyn StdError + 'static)) -> Option<Self> {
        // The source of [`Error::At`] is the box.
        let own = error.downcast_ref().or_else(|| error.downcast_ref::<Box<Error>>().map(AsRef::as_ref));
        match own {
            Some(Error::Bnn(e)) => Some(Link::Bnn(e)),
            Some(Error::Data(e)) => Some(Link::Data(e)),
            Some(own) => Some(Link::Own(own)),
            None => {
                let bnn = error.downcast_ref().map(Link::Bnn);
                bnn.or_else(|| error.downcast_ref().map(Link::Data))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_all_of_it_on_one_line_and_keeps_its_causes() {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no such\nfile");
        let io = Error::io_fix("write", Path::new("a/b"), "name another file")(missing());
        assert_eq!(io.one_line(), "cannot write a/b: no such file; name another file");
        let e = io.at("jq-w4a4").at("runs/1");
        assert_eq!(e.one_line(), "runs/1: jq-w4a4: cannot write a/b: no such file; name another file");
        assert!(
            e.source()
                .and_then(StdError::source)
                .is_some_and(|e| matches!(Link::of(e), Some(Link::Own(Error::Io { .. }))))
        );
        assert!(!e.is_usage() && !e.is_stopped());
        let json = serde_json::from_str::<u8>("x").unwrap_err();
        let json = Error::Json { path: "metrics.json".into(), fix: "make it again".into(), source: json };
        assert_eq!(json.one_line(), "metrics.json is damaged; make it again: expected value at line 1 column 1");
        let line = Error::Settings { origin: "x.toml".into(), line: Some(3), problem: "unknown key".into() };
        assert_eq!(line.one_line(), "x.toml, line 3: unknown key");
    }

    #[test]
    fn mistakes_and_stops_are_told_from_failures_at_any_depth() {
        let setting = || BnnError::Setting { key: "train.epochs", found: "0".into(), wanted: "1 or more".into() };
        let all: [(Error, bool, bool); 8] = [
            (setting().into(), true, false),
            (Error::from(setting()).at("[train]"), true, false),
            (Error::settings("--set x", "unknown key").at("question `q`"), true, false),
            (DataError::UnknownName { name: "x".into(), near: String::new(), known: "y".into() }.into(), true, false),
            (BnnError::Stopped.into(), false, true),
            (Error::Stopped { place: "in float".into(), go_on: "qbnn train".into() }.at("x"), false, true),
            (BnnError::Data("no images".into()).into(), false, false),
            (EvalError::NoScores { which: "ood" }.into(), false, false),
        ];
        for (e, usage, stopped) in all {
            assert_eq!((e.is_usage(), e.is_stopped()), (usage, stopped), "{e:?}");
        }
        assert!(is_usage(&setting()) && is_stopped(&BnnError::Stopped));
    }
}

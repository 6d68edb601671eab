//! The folder of one run: what lies in it, and writing it so that a killed or failed write loses nothing.
//!
//! Files are written under a temporary name and renamed. `metrics.jsonl` is appended to, and cut back to the epochs of
//! the checkpoint when a run is resumed, so that no epoch appears twice.

use crate::error::{Error, Result};
use crate::lock::{LOCK, Lock};
use crate::output::{write_error, write_whole};
use crate::{input, shell};
use qbnn_bnn::internals::files;
use qbnn_bnn::train::Event;
use qbnn_bnn::{Checkpoint, QuantizeSettings, Strategy};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Settings that repeat the experiment.
pub const CONFIG: &str = "config.toml";
/// One line per epoch.
pub const EPOCHS: &str = "metrics.jsonl";
/// The evaluation.
pub const METRICS: &str = "metrics.json";
/// What the evaluation predicted.
pub const PREDICTIONS: &str = "predictions.safetensors";
/// Which commands made the folder.
pub const PROVENANCE: &str = "provenance.json";
/// The page.
pub const REPORT: &str = "report.html";
/// The model card.
pub const CARD: &str = "card.md";
/// Names of the classes, a JSON list, where they are more than their numbers.
pub const CLASSES: &str = "classes.json";
/// Where an imported posterior comes from, and what became of every tensor.
pub const IMPORT: &str = "import.json";
/// Arrays that a run was given: training, validation and test images with their labels. Further test groups are `test-NAME.npz`.
pub const DATA: &str = "data.npz";
/// What float checkpoints and models are called.
pub const FLOAT: &str = "float";
const SUFFIX: &str = ".safetensors";
const MODEL_SUFFIX: &str = ".qbnn";

/// A run folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// A run folder that no other command writes in meanwhile.
#[derive(Debug)]
pub struct Held {
    folder: RunFolder,
    _lock: Lock,
}

impl Deref for Held {
    type Target = RunFolder;

    fn deref(&self) -> &RunFolder {
        &self.folder
    }
}

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLine {
    /// `float` or `quantized`.
    pub phase: String,
    /// The model's name, as in `metrics.json`.
    pub model: String,
    /// Counted from 1 within the phase.
    pub epoch: usize,
    /// In all.
    pub epochs: usize,
    /// Mean training loss, nats.
    pub nll: f64,
    /// KL divergence over the number of training images, nats.
    pub kl: f64,
    /// On the validation group.
    pub validation_accuracy: f64,
    /// On the validation group, nats.
    pub validation_nll: f64,
    /// Speed of training.
    pub images_per_second: f64,
}

impl EpochLine {
    /// The line of an event, if it ends an epoch.
    pub fn new(model: &str, event: &Event) -> Option<Self> {
        let &Event::Epoch { epoch, epochs, nll, kl, validation_accuracy, validation_nll, images_per_second } = event
        else {
            return None;
        };
        let phase = if model == FLOAT { FLOAT } else { "quantized" };
        Some(EpochLine {
            phase: phase.to_owned(),
            model: model.to_owned(),
            epoch,
            epochs,
            nll,
            kl,
            validation_accuracy,
            validation_nll,
            images_per_second,
        })
    }
}

/// What a checkpoint's model is called.
pub fn model_name(checkpoint: &Checkpoint) -> String {
    checkpoint.quantize.as_ref().map_or_else(|| FLOAT.to_owned(), quantized_name)
}

/// What a network is called that is quantized so: strategy and widths, and `-ptq` where nothing is trained after it, so that
/// both kinds of one width have room in one folder.
pub fn quantized_name(settings: &QuantizeSettings) -> String {
    let name = settings.name();
    if settings.epochs == 0 { format!("{name}-ptq") } else { name }
}

/// What the model of a checkpoint in this file is called: as it is now, or as its file was called before.
pub fn name_in(path: &Path, checkpoint: &Checkpoint) -> String {
    let before = checkpoint.quantize.as_ref().map(QuantizeSettings::name);
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    before.filter(|before| Some(&before[..]) == stem).unwrap_or_else(|| model_name(checkpoint))
}

impl RunFolder {
    /// Whether `--out` can be the folder of a new run, without touching the disk.
    ///
    /// # Errors
    /// [`Error::FolderTaken`] of a folder that is not empty, unless it is a run folder and may be overwritten.
    pub fn check_free(out: &Path, overwrite: bool) -> Result<()> {
        let taken = |problem: String| Err(Error::FolderTaken { path: out.to_owned(), problem });
        match fs::read_dir(out) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io_fix("use", out, "name another run folder with --out")(e)),
            Ok(entries) => {
                let empty = entries.filter_map(Result::ok).all(|e| e.file_name() == LOCK);
                if !empty && !out.join(CONFIG).is_file() {
                    return taken("exists and is no run folder; name another with --out".to_owned());
                }
                if !empty && !overwrite {
                    return taken(format!(
                        "holds a run already; name another with --out, give --overwrite to replace it, or go on with \
                         `qbnn train --resume {}`",
                        shell::path(out)
                    ));
                }
            }
        }
        Ok(())
    }

    /// Makes the folder of a new run, which no other command then has: `--out`, or `runs/<date>-<name>`, with a number
    /// after it where that exists. Removes an overwritten run's files, and writes the settings.
    ///
    /// # Errors
    /// As [`RunFolder::check_free`]; a folder that another command writes in; one that cannot be written.
    pub fn make(out: Option<&Path>, name: &str, overwrite: bool, config: &str) -> Result<Held> {
        Self::make_with(out, name, overwrite, |_| Ok(config.to_owned()))
    }

    /// The same with settings that depend on where the folder is.
    pub(crate) fn make_with(
        out: Option<&Path>,
        name: &str,
        overwrite: bool,
        config: impl FnOnce(&Path) -> Result<String>,
    ) -> Result<Held> {
        let path = match out {
            Some(out) => {
                fs::create_dir_all(out).map_err(|e| write_error("make", out, e))?;
                out.to_owned()
            }
            None => Self::number(name)?,
        };
        let held = Self { path }.hold()?;
        // Another command may have been here between the first look and the lock.
        Self::check_free(held.path(), overwrite)?;
        for old in held.own_files()? {
            fs::remove_file(&old).map_err(|e| write_error("remove", &old, e))?;
        }
        let version = env!("CARGO_PKG_VERSION");
        let config = config(held.path())?;
        let text =
            format!("# Made by qbnn {version}; `qbnn run --config <this file>` repeats the experiment.\n{config}");
        held.write(CONFIG, text.as_bytes())?;
        Ok(held)
    }

    /// Makes the first folder `runs/<date>-<name>[-<number>]` that is not there: of two commands each gets its own.
    fn number(name: &str) -> Result<PathBuf> {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
        let runs = Path::new("runs");
        fs::create_dir_all(runs).map_err(|e| write_error("make", runs, e))?;
        for n in 1..10_000 {
            let path = match n {
                1 => PathBuf::from(format!("runs/{date}-{name}")),
                n => PathBuf::from(format!("runs/{date}-{name}-{n}")),
            };
            match fs::create_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| path.clone()).map_err(|e| write_error("make", &path, e)),
            }
        }
        Err(Error::FolderTaken { path: runs.to_owned(), problem: "is full for today; name one with --out".to_owned() })
    }

    /// Takes the folder's lock, and removes what a killed writer left half-written.
    ///
    /// # Errors
    /// As [`Lock::folder`].
    pub fn hold(self) -> Result<Held> {
        let lock = Lock::folder(&self.path)?;
        for path in self.entries()? {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if files::whole_name(name).is_some_and(|n| is_named(n) || model_of(n).is_some()) {
                fs::remove_file(&path).map_err(|e| write_error("remove", &path, e))?;
            }
        }
        Ok(Held { folder: self, _lock: lock })
    }

    /// The folder of an earlier run.
    ///
    /// # Errors
    /// [`Error::Contents`] of a folder without settings.
    pub fn open(path: &Path) -> Result<Self> {
        if path.join(CONFIG).is_file() {
            return Ok(Self { path: path.to_owned() });
        }
        let problem =
            format!("is no run folder ({CONFIG} is missing there); name one that `qbnn run` or `qbnn train` made");
        Err(Error::contents(path, problem))
    }

    /// The folder that a checkpoint lies in, whatever else is there.
    pub fn of_checkpoint(checkpoint: &Path) -> Self {
        let parent = checkpoint.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self { path: parent.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its settings, where they are there.
    pub fn config(&self) -> Option<PathBuf> {
        Some(self.path.join(CONFIG)).filter(|p| p.is_file())
    }

    /// Where the checkpoint of a model lies.
    pub fn checkpoint(&self, model: &str) -> PathBuf {
        self.path.join(format!("{model}{SUFFIX}"))
    }

    /// Where the model file of a model lies.
    pub fn model_file(&self, model: &str) -> PathBuf {
        self.path.join(format!("{model}{MODEL_SUFFIX}"))
    }

    /// The checkpoint of a model, if there is one.
    ///
    /// # Errors
    /// [`Error::Bnn`]: a checkpoint that cannot be read.
    pub fn load(&self, model: &str) -> Result<Option<Checkpoint>> {
        let path = self.checkpoint(model);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Checkpoint::load(&path)?))
    }

    /// What a network is called here that is quantized so: in a folder of before, as its checkpoint is.
    ///
    /// # Errors
    /// As [`RunFolder::load`].
    pub fn name_of(&self, settings: &QuantizeSettings) -> Result<String> {
        let (before, now) = (settings.name(), quantized_name(settings));
        if before == now || self.checkpoint(&now).exists() {
            return Ok(now);
        }
        let same = |found: Checkpoint| found.quantize.is_some_and(|q| q.epochs == settings.epochs);
        Ok(if self.load(&before)?.is_some_and(same) { before } else { now })
    }

    /// Names of the models that have a checkpoint here: float first, then by name.
    ///
    /// # Errors
    /// [`Error::Io`]: the folder cannot be listed.
    pub fn models(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for path in self.entries()? {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if name.ends_with(SUFFIX)
                && let Some(model) = model_of(name)
            {
                names.push(model.to_owned());
            }
        }
        names.sort_by_key(|n| (n != FLOAT, n.clone()));
        Ok(names)
    }

    fn entries(&self) -> Result<Vec<PathBuf>> {
        let read = || fs::read_dir(&self.path)?.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>();
        read().map_err(Error::io("list", &self.path))
    }

    /// Files of a run that is replaced, in the order of their removal: no model file outlives its checkpoint. The
    /// settings stay, until new ones take their place, so that it is a run folder all the time.
    fn own_files(&self) -> Result<Vec<PathBuf>> {
        let mut models = Vec::new();
        for path in self.entries()? {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if model_of(name).is_some() {
                models.push((name.ends_with(SUFFIX), path));
            }
        }
        models.sort();
        let is_old = |path: &PathBuf| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            is_named(name) && name != CONFIG && path.is_file()
        };
        let mut named = self.entries()?;
        named.retain(is_old);
        named.sort();
        Ok(models.into_iter().map(|m| m.1).chain(named).collect())
    }

    /// Writes a file of the folder as a whole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_whole(&self.path.join(name), bytes)
    }

    /// Takes a file into the folder, under its own name: data that was written for this run.
    ///
    /// # Errors
    /// [`Error::Contents`] of a file that is not named as data of a run; [`Error::Io`].
    pub fn take(&self, from: &Path) -> Result<()> {
        let name = from.file_name().and_then(|n| n.to_str()).filter(|name| is_data(name));
        let Some(name) = name else {
            return Err(Error::contents(from, format!("is no data of a run; call it {DATA} or test-NAME.npz")));
        };
        let to = self.path.join(name);
        if fs::rename(from, &to).is_ok() {
            return Ok(());
        }
        // Onto another disk.
        write_whole(&to, &input::bytes(from, input::ARRAYS)?)
    }

    /// Writes the names of the classes, where they are more than their numbers.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_classes(&self, names: &[String]) -> Result<()> {
        if names.iter().enumerate().all(|(class, name)| *name == class.to_string()) {
            return Ok(());
        }
        let mut bytes = serde_json::to_vec_pretty(names).map_err(Error::encode("the names of the classes"))?;
        bytes.push(b'\n');
        self.write(CLASSES, &bytes)
    }

    /// Cuts `metrics.jsonl` back to what the checkpoints know: of `model` the first `epochs` epochs, of others all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn cut_epochs(&self, model: &str, epochs: usize) -> Result<()> {
        let path = self.path.join(EPOCHS);
        let bytes = match files::read(&path, input::JSON) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("read", &path)(e)),
        };
        // A line that was cut off by a kill is no line.
        let keep = |line: &[u8]| {
            serde_json::from_slice::<EpochLine>(line).is_ok_and(|l| l.model != model || l.epoch <= epochs)
        };
        let kept: Vec<u8> =
            input::lines(&bytes).filter(|(_, l)| keep(l)).flat_map(|(_, l)| [l, b"\n"].concat()).collect();
        if kept == bytes { Ok(()) } else { write_whole(&path, &kept) }
    }

    /// Appends one epoch to `metrics.jsonl`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append_epoch(&self, line: &EpochLine) -> Result<()> {
        let path = self.path.join(EPOCHS);
        let text = format!("{}\n", serde_json::to_string(line).map_err(Error::encode("an epoch"))?);
        let append = || OpenOptions::new().create(true).append(true).open(&path)?.write_all(text.as_bytes());
        append().map_err(|e| write_error("write", &path, e))
    }
}

/// The names of the classes that lie beside a model, which has so many; none where there are none.
///
/// # Errors
/// [`Error::Io`]; [`Error::Contents`] of a file that does not name each class.
pub fn classes_beside(model: &Path, classes: usize) -> Result<Vec<String>> {
    let path = model.with_file_name(CLASSES);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = serde_json::from_slice(&input::bytes(&path, input::TEXT)?).unwrap_or_default();
    if names.len() != classes {
        let problem =
            format!("is no list of {classes} names, one for each class of the model; remove it, or restore it");
        return Err(Error::contents(&path, problem));
    }
    Ok(names)
}

/// Whether a file of this name belongs to a run, beside those of its models.
fn is_named(name: &str) -> bool {
    NAMED.contains(&name) || is_data(name)
}

/// Whether a file of this name is data that came with a run.
fn is_data(name: &str) -> bool {
    name == DATA || (name.starts_with("test-") && name.ends_with(".npz"))
}

/// Files of a run folder beside those of its models and its data.
const NAMED: [&str; 9] = [CONFIG, EPOCHS, METRICS, PREDICTIONS, PROVENANCE, REPORT, CARD, CLASSES, IMPORT];

/// The model that a file of this name is of, if it is a checkpoint or a model file of a run.
fn model_of(name: &str) -> Option<&str> {
    let model = name.strip_suffix(SUFFIX).or_else(|| name.strip_suffix(MODEL_SUFFIX))?;
    let quantized = || Strategy::ALL.iter().any(|s| model.starts_with(&format!("{s}-")));
    (model == FLOAT || quantized()).then_some(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(model: &str, epoch: usize) -> EpochLine {
        let event = Event::Epoch {
            epoch,
            epochs: 3,
            nll: 0.5,
            kl: 0.25,
            validation_accuracy: 0.9,
            validation_nll: 0.3,
            images_per_second: 100.0,
        };
        EpochLine::new(model, &event).unwrap()
    }

    #[test]
    fn epochs_beyond_the_checkpoint_and_torn_lines_are_cut() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::make(Some(&dir.path().join("a")), "x", false, "seed = 1\n").unwrap();
        let wanted = [line("float", 1), line("float", 2), line("jq-w4a4", 1)];
        for l in [&wanted[0], &wanted[1], &line("float", 3), &wanted[2]] {
            folder.append_epoch(l).unwrap();
        }
        let path = folder.path().join(EPOCHS);
        // Also within a character.
        let torn = [&fs::read(&path).unwrap()[..], b"{\"phase\":\"fl\xe2\x88"].concat();
        fs::write(&path, torn).unwrap();
        folder.cut_epochs("float", 2).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let found: Vec<EpochLine> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn only_run_folders_are_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a");
        fs::create_dir(&out).unwrap();
        assert!(RunFolder::check_free(&out, false).is_ok());
        fs::write(out.join("letter.txt"), "dear").unwrap();
        assert!(RunFolder::check_free(&out, true).is_err());
        fs::write(out.join(CONFIG), "").unwrap();
        assert!(RunFolder::check_free(&out, false).is_err());
        let old = ["float.qbnn", "jq-w3a3.qbnn", "float.safetensors", "metrics.json", "float.qbnn.7-0.part"];
        let own = ["mine.qbnn", "notes.part"];
        old.iter().chain(&own).for_each(|n| fs::write(out.join(n), "").unwrap());
        let held = RunFolder::make(Some(&out), "x", true, "seed = 2\n").unwrap();
        assert!(out.join("letter.txt").is_file() && own.iter().all(|n| out.join(n).is_file()));
        assert!(!old.iter().any(|n| out.join(n).exists()));
        // Nobody else gets it meanwhile.
        assert!(RunFolder::make(Some(&out), "x", true, "").unwrap_err().to_string().contains("process"));
        drop(held);
        drop(RunFolder::make(Some(&out), "x", true, "").unwrap());
    }
}

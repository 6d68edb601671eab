//! Writing files that a user names.
//!
//! Three rules. A plain file is written under another name and renamed, at the end of the symbolic links that lead to it:
//! links, permissions and, until the new one is whole, the old contents stay. What is no plain file (a device, a pipe,
//! `/dev/stdout`) is written through: renaming would put a plain file in its place. And no file is written that the
//! command reads.

use crate::error::{Error, Result};
use qbnn_bnn::internals::files;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a file, as the module says.
///
/// # Errors
/// What the system said.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let through = |written: io::Result<()>| match written {
        // A reader that has enough and goes away is no fault here.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    };
    match (fs::metadata(path), descriptor(path)) {
        (_, Some(Descriptor::Own(1))) => {
            let mut out = io::stdout().lock();
            through(out.write_all(bytes).and_then(|()| out.flush()))
        }
        (_, Some(Descriptor::Own(2))) => through(io::stderr().lock().write_all(bytes)),
        // Opened by whoever started the command: what stands there already is not ours to cut off.
        (Ok(_), Some(_)) => through(OpenOptions::new().append(true).open(path).and_then(|mut f| f.write_all(bytes))),
        (Ok(meta), None) if meta.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")),
        (Ok(meta), None) if !meta.is_file() => {
            through(OpenOptions::new().write(true).open(path).and_then(|mut f| f.write_all(bytes)))
        }
        _ => files::replace(path, bytes),
    }
}

/// Writes a file as [`write()`] does, with an error for people.
///
/// # Errors
/// [`Error::Io`] with the fix.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes).map_err(|e| write_error("write", path, e))
}

/// The error of what could not be written, with the fix.
pub(crate) fn write_error(action: &'static str, path: &Path, error: io::Error) -> Error {
    let fix = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space and resume; what was written before is intact"
        }
        _ => "choose a folder that can be written with --out",
    };
    Error::Io { action, path: path.to_owned(), error, fix: Some(fix) }
}

/// Whether a path leads to this command's own stdout: its messages go elsewhere then.
pub fn is_stdout(path: &Path) -> bool {
    descriptor(path) == Some(Descriptor::Own(1))
}

/// Whether a path leads to an open file of a process.
pub fn is_open(path: &Path) -> bool {
    descriptor(path).is_some()
}

/// An open file, named by the number under which a process has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Descriptor {
    /// One of this process.
    Own(u32),
    /// One of another process.
    Other,
}

/// The open file that a path such as `/dev/stdout` or `/dev/fd/3` leads to, over any number of links.
fn descriptor(path: &Path) -> Option<Descriptor> {
    let mut path = path.to_owned();
    for _ in 0..40 {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Ok(folder) = parent.canonicalize()
            && let Some(number) = path.file_name().and_then(OsStr::to_str).and_then(|n| n.parse().ok())
            && let Some(owner) = owner(&folder)
        {
            return Some(if owner { Descriptor::Own(number) } else { Descriptor::Other });
        }
        let to = fs::read_link(&path).ok()?;
        path = parent.join(to);
    }
    None
}

/// Whether a folder of open files is that of this process; `None` for any other folder.
fn owner(folder: &Path) -> Option<bool> {
    if folder == Path::new("/dev/fd") {
        return Some(true);
    }
    let parts: Vec<&str> = folder.iter().filter_map(OsStr::to_str).collect();
    match parts[..] {
        // Of a process, or of one of its threads.
        ["/", "proc", process, "fd"] | ["/", "proc", process, "task", _, "fd"] => {
            Some(process.parse() == Ok(std::process::id()))
        }
        _ => None,
    }
}

/// Refuses a file to write that is one to read, under whatever name. `flag` is how it was named.
///
/// # Errors
/// [`Error::WouldOverwrite`].
pub fn refuse_inputs<P: AsRef<Path>>(flag: &str, out: &Path, inputs: impl IntoIterator<Item = P>) -> Result<()> {
    let Some(own) = Identity::of(out) else { return Ok(()) };
    for input in inputs {
        if Identity::of(input.as_ref()).is_some_and(|of_input| of_input == own) {
            let (flag, out, input) = (flag.to_owned(), out.to_owned(), input.as_ref().to_owned());
            return Err(Error::WouldOverwrite { flag, out, input });
        }
    }
    Ok(())
}

/// Refuses a folder to write files of an ending into, where one of those that are there is a file to read.
///
/// # Errors
/// [`Error::WouldOverwrite`].
pub fn refuse_inputs_in(flag: &str, folder: &Path, ending: &str, inputs: &[PathBuf]) -> Result<()> {
    for path in inside(folder).into_iter().filter(|p| p.extension().is_some_and(|e| e == ending)) {
        refuse_inputs(flag, &path, inputs)?;
    }
    Ok(())
}

/// What lies in a folder; nothing where it cannot be listed.
pub fn inside(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|all| all.filter_map(|e| Some(e.ok()?.path())).collect());
    entries.unwrap_or_default()
}

/// What makes two names those of one file.
#[derive(PartialEq, Eq)]
struct Identity(#[cfg(unix)] (u64, u64), #[cfg(not(unix))] PathBuf);

impl Identity {
    /// Of a plain file that is there, at the end of its links.
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Identity((meta.dev(), meta.ino())))
    }

    /// Of a plain file that is there, at the end of its links.
    #[cfg(not(unix))]
    fn of(path: &Path) -> Option<Self> {
        let path = path.canonicalize().ok().filter(|p| p.is_file())?;
        Some(Identity(path))
    }
}

/// Refuses a file of a usual name, which nobody asked for by name, that another program or a person wrote: `mark` stands
/// in the first bytes of those that this program writes.
///
/// # Errors
/// [`Error::NotOurs`]; a file that cannot be read.
pub fn refuse_others(path: &Path, mark: &str) -> Result<()> {
    use io::Read;
    if !path.is_file() {
        return Ok(());
    }
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|f| f.take(1 << 12).read_to_end(&mut start));
    read.map_err(Error::io("read", path))?;
    if start.is_empty() || String::from_utf8_lossy(&start).contains(mark) {
        return Ok(());
    }
    Err(Error::NotOurs { path: path.to_owned() })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn open_files_are_told_from_others() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/dev/stdout", dir.path().join("out")).unwrap();
        if cfg!(target_os = "linux") {
            assert!(is_stdout(Path::new("/dev/stdout")) && is_stdout(Path::new("/proc/self/fd/1")));
            assert!(is_stdout(&dir.path().join("out")) && is_stdout(Path::new("/dev/fd/1")));
            assert_eq!(descriptor(Path::new("/dev/stderr")), Some(Descriptor::Own(2)));
            assert_eq!(descriptor(Path::new("/proc/1/fd/1")).filter(|d| *d != Descriptor::Other), None);
        }
        for plain in ["1", "x", "/dev/null", "a/b/1"] {
            assert_eq!(descriptor(&dir.path().join(plain)), None);
        }
    }

    #[test]
    fn inputs_are_known_by_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("in"), "x").unwrap();
        fs::write(at("other"), "x").unwrap();
        symlink("in", at("link")).unwrap();
        fs::hard_link(at("in"), at("hard")).unwrap();
        for same in ["in", "link", "hard", "./in"] {
            let error = refuse_inputs("--out", &at(same), [at("other"), at("in")]).unwrap_err().to_string();
            assert!(error.contains("--out") && error.contains(same), "{error}");
        }
        assert!(refuse_inputs("--out", &at("other"), [at("in")]).is_ok());
        assert!(refuse_inputs("--out", &at("new"), [at("new"), at("in")]).is_ok());
        assert!(refuse_inputs("--out", Path::new("/dev/null"), ["/dev/null"]).is_ok());
    }
}

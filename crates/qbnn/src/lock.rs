//! Who writes in a folder: one command at a time.
//!
//! The lock is the operating system's (it ends with the process, however that ends); the file tells who holds it. It is
//! removed with the lock, so a folder that nobody writes in has none, unless its last writer was killed.

use crate::error::{Error, Result};
use crate::output;
use qbnn_bnn::internals::files;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Its name in a folder.
pub const LOCK: &str = "lock.json";

/// How long a lock without a word of its owner is read again: it has just been taken.
const PATIENCE: Duration = Duration::from_millis(500);

/// Who holds a lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Owner {
    pid: u32,
    command: String,
    since: String,
}

/// A lock that this process holds.
#[derive(Debug)]
pub struct Lock {
    /// Open for as long as the lock is held.
    _file: File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock ends: a file that is there without a lock is nobody's, and the next one takes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Lock {
    /// Takes the lock of a folder.
    ///
    /// # Errors
    /// [`Error::Locked`] says which process holds it; [`Error::Io`] that the folder cannot be written.
    pub fn folder(folder: &Path) -> Result<Self> {
        Self::take(&folder.join(LOCK), &folder.display().to_string())
    }

    /// Takes a lock by its file; `what` is written to under it.
    ///
    /// # Errors
    /// As [`Lock::folder`].
    pub fn take(path: &Path, what: &str) -> Result<Self> {
        match Self::attempt(path).map_err(cannot(path))? {
            Some(lock) => Ok(lock),
            None => Err(Error::Locked { what: what.to_owned(), owner: owner(path) }),
        }
    }

    /// Waits for a lock; `None` once `stop` says so. `waiting` hears once who holds it.
    ///
    /// # Errors
    /// [`Error::Io`]: the file cannot be written.
    pub fn wait(path: &Path, stop: impl Fn() -> bool, waiting: impl FnOnce(&str)) -> Result<Option<Self>> {
        let mut waiting = Some(waiting);
        loop {
            if let Some(lock) = Self::attempt(path).map_err(cannot(path))? {
                return Ok(Some(lock));
            }
            if let Some(waiting) = waiting.take() {
                waiting(&owner(path));
            }
            if stop() {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// `None` if another one holds it.
    fn attempt(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                // A file system without locks: nothing can be promised there.
                Err(TryLockError::Error(e)) => return Err(e),
            }
            // Its last owner may have removed the file between opening and locking it.
            if !is_at(&file, path) {
                continue;
            }
            let since = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
            let owner = Owner { pid: std::process::id(), command: crate::shell::command(), since };
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(serde_json::to_string(&owner)?.as_bytes())?;
            return Ok(Some(Lock { _file: file, path: path.to_owned() }));
        }
    }
}

fn cannot(path: &Path) -> impl FnOnce(io::Error) -> Error {
    Error::io_fix("lock", path, "choose a folder that can be written with --out")
}

/// Whether a path still leads to an open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |m: std::fs::Metadata| (m.dev(), m.ino());
    let (open, named) = (file.metadata().map(place), std::fs::metadata(path).map(place));
    matches!((open, named), (Ok(open), Ok(named)) if open == named)
}

/// Whether a path still leads to an open file: an open one cannot be removed here.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// The owner of a lock, in words.
fn owner(path: &Path) -> String {
    let begun = Instant::now();
    loop {
        let text = crate::input::text(path, crate::input::TEXT).unwrap_or_default();
        match serde_json::from_str::<Owner>(&text) {
            Ok(Owner { pid, command, since }) => return format!("process {pid} (`{command}`, since {since})"),
            _ if begun.elapsed() > PATIENCE => return "another process".to_owned(),
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Whether a file could be written to, without touching what is there.
///
/// # Errors
/// [`Error::Io`]: what the system says.
pub fn check_writable(path: &Path) -> Result<()> {
    let fix = "name another file with --out";
    let fail = |e: io::Error| Error::io_fix("write", path, fix)(e);
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(fail(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"))),
        // Something else than a file is written through; it may be a pipe, which opening would disturb.
        Ok(there) if !there.is_file() => Ok(()),
        // So is a file that whoever started the command opened.
        _ if output::is_open(path) => Ok(()),
        // What is a file is replaced by a new one beside it.
        _ => {
            let path = files::target(path).map_err(fail)?;
            let (part, _) = files::temporary(&path).map_err(fail)?;
            std::fs::remove_file(part).map_err(fail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_the_next_one_is_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::folder(dir.path()).unwrap();
        let error = Lock::folder(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())) && error.contains("since"), "{error}");
        assert!(Lock::wait(&dir.path().join(LOCK), || true, |_| ()).unwrap().is_none());
        drop(lock);
        assert!(!dir.path().join(LOCK).exists());
        // What a killed owner left is no lock.
        std::fs::write(dir.path().join(LOCK), "{\"pid\":1").unwrap();
        drop(Lock::folder(dir.path()).unwrap());
        assert!(Lock::folder(&dir.path().join("nowhere")).is_err());
    }

    #[test]
    fn many_at_once_never_hold_it_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let lock = loop {
                            if let Some(lock) = Lock::attempt(&path).unwrap() {
                                break lock;
                            }
                            std::thread::yield_now();
                        };
                        let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(before, 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }
}

//! Files that are written whole or not at all, and read up to a limit.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// End of the name of a file that is not whole yet.
const PART: &str = ".part";

/// Symbolic links that are followed one after the other, as on Linux.
const LINKS: usize = 40;

/// Writers that must not be cut off.
static WRITERS: AtomicUsize = AtomicUsize::new(0);

/// A stretch of writing that a program which is asked to stop lets come to its end.
#[derive(Debug)]
pub struct Writing(());

impl Writing {
    /// Begins; it ends when this is dropped.
    #[must_use]
    pub fn begin() -> Self {
        WRITERS.fetch_add(1, Ordering::SeqCst);
        Writing(())
    }

    /// Whether there is one anywhere in this process.
    pub fn is_on() -> bool {
        WRITERS.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Reads a file (or pipe, or device) that may be of anyone: no more than `limit` bytes.
///
/// # Errors
/// What the system said; [`io::ErrorKind::FileTooLarge`] says what was found and the limit.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_open(&mut File::open(path)?, limit)
}

/// The same of a file that is open.
///
/// # Errors
/// As [`read`].
pub fn read_open(file: &mut File, limit: u64) -> io::Result<Vec<u8>> {
    let meta = file.metadata()?;
    let too_large =
        |found: String| io::Error::new(io::ErrorKind::FileTooLarge, format!("{found}, wanted at most {limit}"));
    // Only a plain file has a length that means anything; it may still grow.
    if meta.is_file() && meta.len() > limit {
        return Err(too_large(format!("it holds {} bytes", meta.len())));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(format!("it goes on after {limit} bytes")));
    }
    Ok(bytes)
}

/// Where a path leads: the end of its symbolic links, whether or not anything is there.
///
/// # Errors
/// Links that lead in a circle.
pub fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(to) => path = path.parent().map_or_else(|| to.clone(), |folder| folder.join(&to)),
            // No link, or nothing at all.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("its symbolic links lead in a circle"))
}

/// Writes a file under a temporary name of its own beside `path`, then renames it: what was there stays whole until then.
/// Symbolic links are followed and stay; the new file has the permissions, and where that is allowed the owner, of the
/// old one.
///
/// # Errors
/// What the system said; what is there and is no plain file. The temporary file is removed again.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let _writing = Writing::begin();
    let path = &target(path)?;
    let old = fs::metadata(path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return Err(io::Error::other("it is no plain file"));
    }
    let (part, mut file) = temporary(path)?;
    let mut write = || {
        file.write_all(bytes)?;
        old.as_ref().map_or(Ok(()), |old| copy_ownership(&file, old))?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().inspect_err(|_| {
        // What is left of a failed write is of no use to anyone; that it cannot be removed adds nothing.
        let _ = fs::remove_file(&part);
    })
}

/// Gives a file the owner and the permissions of another.
fn copy_ownership(file: &File, old: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        // Only root may give files away; anyone else's file stays with who wrote it.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(old.permissions())
}

/// A new file `<path>.<process>-<number>.part`: no two writers have the same.
///
/// # Errors
/// What the system said.
pub fn temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{}-{number}{PART}", std::process::id()));
        let part = PathBuf::from(part);
        match OpenOptions::new().write(true).create_new(true).open(&part) {
            // Left by a killed process that had this number.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (part, file)),
        }
    }
}

/// The name of the file that a temporary one was to become; `None` for any other name.
pub fn whole_name(part: &str) -> Option<&str> {
    let stem = part.strip_suffix(PART)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match stem.rsplit_once('.') {
        Some((name, mark)) if mark.split_once('-').is_some_and(|(a, b)| digits(a) && digits(b)) => Some(name),
        // As earlier versions named them.
        _ => Some(stem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_never_shared_and_lead_back() {
        let path = std::env::temp_dir().join(format!("qbnn-files-{}.txt", std::process::id()));
        let (first, second) = (temporary(&path).unwrap().0, temporary(&path).unwrap().0);
        assert_ne!(first, second);
        for part in [&first, &second] {
            let name = part.file_name().and_then(|n| n.to_str()).unwrap();
            assert_eq!(whole_name(name), path.file_name().and_then(|n| n.to_str()));
            fs::remove_file(part).unwrap();
        }
        assert_eq!(whole_name("float.safetensors.part"), Some("float.safetensors"));
        assert_eq!(whole_name("float.safetensors"), None);
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::remove_file(&path).unwrap();
        assert!(replace(&path.join("nowhere"), b"").is_err());
    }

    #[test]
    fn what_is_too_long_is_refused_with_both_numbers() {
        let path = std::env::temp_dir().join(format!("qbnn-files-long-{}.txt", std::process::id()));
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read(&path, 10).unwrap(), [7; 10]);
        let error = read(&path, 9).unwrap_err().to_string();
        assert!(error.contains("10 bytes") && error.contains("at most 9"), "{error}");
        fs::remove_file(&path).unwrap();
        if cfg!(target_os = "linux") {
            let error = read(Path::new("/dev/zero"), 1000).unwrap_err().to_string();
            assert!(error.contains("after 1000 bytes"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_permissions_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = std::env::temp_dir().join(format!("qbnn-files-links-{}", std::process::id()));
        fs::create_dir_all(folder.join("far")).unwrap();
        let at = |name: &str| folder.join(name);
        fs::write(at("far/file"), "old").unwrap();
        fs::set_permissions(at("far/file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("far/file", at("near")).unwrap();
        symlink("near", at("nearer")).unwrap();
        replace(&at("nearer"), b"new").unwrap();
        assert_eq!(fs::read(at("far/file")).unwrap(), b"new");
        assert!(at("nearer").is_symlink() && at("near").is_symlink());
        assert_eq!(fs::metadata(at("far/file")).unwrap().permissions().mode() & 0o777, 0o640);
        symlink("far/made", at("dangling")).unwrap();
        replace(&at("dangling"), b"made").unwrap();
        assert_eq!(fs::read(at("far/made")).unwrap(), b"made");
        symlink("circle", at("circle")).unwrap();
        assert!(replace(&at("circle"), b"").unwrap_err().to_string().contains("circle"));
        assert_eq!(fs::read_dir(at("far")).unwrap().count(), 2, "something was left behind");
        fs::remove_dir_all(&folder).unwrap();
    }
}

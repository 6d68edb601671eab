//! Files that are written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// End of the name of a file that is not whole yet.
const PART: &str = ".part";

/// Writes a file under a temporary name of its own beside `path`, then renames it: what was there stays whole until then.
///
/// # Errors
/// What the system said. The temporary file is removed again.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (part, mut file) = temporary(path)?;
    let mut write = || {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().inspect_err(|_| {
        // What is left of a failed write is of no use to anyone; that it cannot be removed adds nothing.
        let _ = fs::remove_file(&part);
    })
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
}

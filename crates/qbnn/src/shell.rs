//! Words of a command line as a shell reads them back: for every command that is shown to be copied.

use std::ffi::OsStr;

/// A word, in quotes where a shell would take it apart or take it for an option.
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref().to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A path as an argument: quoted, and not to be taken for an option.
pub fn path(path: impl AsRef<OsStr>) -> String {
    let path = path.as_ref();
    match path.to_string_lossy().starts_with('-') {
        true => quoted(format!("./{}", path.to_string_lossy())),
        false => quoted(path),
    }
}

/// The command as it was typed, the program by its name alone.
pub fn command() -> String {
    let words = std::env::args_os().skip(1).map(quoted);
    std::iter::once("qbnn".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_meant() {
        let words = ["runs/a-1", "", "my runs/a", "it's", "$HOME", "a;b", "été", "a\nb", "*", "~", "a\"b", "a\\b"];
        let line = words.map(quoted).join(" ");
        assert_eq!(quoted("runs/a-1"), "runs/a-1");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!([path("-x y"), path("-"), path("a b")], ["'./-x y'", "./-", "'a b'"]);
        if cfg!(unix) {
            let shell =
                std::process::Command::new("sh").args(["-c", &format!("printf '%s|' {line}")]).output().unwrap();
            assert_eq!(String::from_utf8(shell.stdout).unwrap(), words.map(|w| format!("{w}|")).concat());
        }
    }
}

//! How a failure ends the program: one line on stderr and an exit code.
//!
//! A mistake in what was asked for (a flag, a key, a value) exits with 2, everything else with 1.

use qbnn::error::is_usage;
use std::fmt;

/// A mistake at the command line, in words that name the flag and the fix.
#[derive(Debug)]
struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A mistake at the command line as an error to return.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// The whole chain on one line.
pub fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Exit code of a mistake in what was asked for.
pub const USAGE: u8 = 2;
/// Exit code of every other failure.
pub const FAILURE: u8 = 1;
/// Exit code of a command that was asked to stop, by Ctrl-C, SIGTERM or a closed terminal: that of a shell for Ctrl-C.
pub const STOPPED: u8 = 130;

/// The exit code of an error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|e| e.is::<Usage>() || is_usage(e)) { USAGE } else { FAILURE }
}

/// What the parser of the command line says in several paragraphs, on one line: the mistake and its tips, without the usage.
pub fn parser_line(text: &str) -> String {
    let text = text.strip_prefix("error:").unwrap_or(text);
    let told = text.split("\n\nUsage:").next().and_then(|t| t.split("\n\nFor more information").next()).unwrap_or(text);
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}; --help shows what there is", words.replace(" tip: ", "; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_speaks_on_one_line() {
        let text = "error: unrecognized subcommand 'rnu'\n\n  tip: a similar subcommand exists: 'run'\n\n\
                    Usage: qbnn [OPTIONS] <COMMAND>\n\nFor more information, try '--help'.\n";
        let wanted = "unrecognized subcommand 'rnu'; a similar subcommand exists: 'run'; --help shows what there is";
        assert_eq!(parser_line(text), wanted);
        let text =
            "error: invalid value 'x' for '--seed <N>': wanted a number\n\nFor more information, try '--help'.\n";
        assert_eq!(
            parser_line(text),
            "invalid value 'x' for '--seed <N>': wanted a number; --help shows what there is"
        );
    }
}

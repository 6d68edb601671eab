//! What a download tells of its progress, and how it is told to stop.

use crate::error::DataError;
use std::ops::ControlFlow;

/// What happens during [`crate::fetch()`]. `file` is the name of the file as it is downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent<'a> {
    /// The file is already there and correct; nothing is downloaded.
    Present {
        /// The file.
        file: &'a str,
    },
    /// A mirror has answered.
    Started {
        /// The file.
        file: &'a str,
        /// Its address.
        url: &'a str,
        /// Bytes that had arrived earlier and are not sent again.
        resumed: u64,
    },
    /// More has arrived.
    Progress {
        /// The file.
        file: &'a str,
        /// Bytes so far, those of earlier calls included.
        bytes: u64,
        /// Size of the whole file in bytes, where the mirror tells.
        total: Option<u64>,
    },
    /// A mirror has failed; the same one is asked to go on, or the next is tried, or none is left.
    Failed {
        /// The file.
        file: &'a str,
        /// The address that failed.
        url: &'a str,
        /// What happened, on one line.
        reason: &'a str,
    },
    /// The file has arrived and is correct.
    Verified {
        /// The file.
        file: &'a str,
    },
    /// Files have been converted to IDX.
    Converted {
        /// The set's name.
        set: &'a str,
    },
}

/// What is told of the progress; [`ControlFlow::Break`] stops the download, keeping what has arrived.
pub type OnEvent<'a> = dyn FnMut(FetchEvent<'_>) -> ControlFlow<()> + 'a;

/// Tells an event of a file.
pub(super) fn tell(on: &mut OnEvent<'_>, event: FetchEvent<'_>, file: &str) -> Result<(), DataError> {
    if on(event).is_break() { Err(DataError::Stopped { file: file.into() }) } else { Ok(()) }
}

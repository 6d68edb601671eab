//! Mistakes in what was asked for, told apart from every other failure.
//!
//! Libraries speak of settings and networks with errors of their own; which of them are mistakes of the user is decided
//! here, once.

use qbnn_bnn::BnnError;
use qbnn_data::DataError;
use std::fmt;

/// A mistake in what was asked for, in words that name the flag or key and the fix.
#[derive(Debug)]
pub struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A [`Usage`] mistake as an error to return.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Whether an error is a mistake in what was asked for.
pub fn is_usage(error: &anyhow::Error) -> bool {
    let asked = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<Usage>()
            || matches!(cause.downcast_ref(), Some(BnnError::Setting { .. } | BnnError::Network { .. }))
            || matches!(cause.downcast_ref(), Some(DataError::UnknownName { .. } | DataError::Limit { .. }))
    };
    error.chain().any(asked)
}

/// The whole chain on one line.
pub fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

//! How figures are written in tables.

use qbnn_eval::Headline;
pub use qbnn_eval::report::thousands;

/// Accuracy in percent, the rest as it is.
pub fn number(headline: Headline, value: f64, signed: bool) -> String {
    let (value, digits) = if headline == Headline::Accuracy { (100.0 * value, 2) } else { (value, 4) };
    if signed { format!("{value:+.digits$}") } else { format!("{value:.digits$}") }
}

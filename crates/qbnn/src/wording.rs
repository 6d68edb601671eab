//! How figures are written in tables.

use qbnn_eval::Headline;
pub use qbnn_eval::report::thousands;

/// Accuracy and coverage in percent, the rest as it is; areas under curves of risk, which are small, with six decimals.
pub fn number(headline: Headline, value: f64, signed: bool) -> String {
    let (value, digits) = match headline {
        Headline::Accuracy | Headline::Coverage(_) => (100.0 * value, 2),
        Headline::Aurc(_) | Headline::Augrc(_) => (value, 6),
        _ => (value, 4),
    };
    if signed { format!("{value:+.digits$}") } else { format!("{value:.digits$}") }
}

//! The analytic pass: every layer against 100,000 draws within their sampling error, and against a slow twin in f64.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails should fail loudly where it stands")]

mod layers;
mod networks;
mod reference;

const DRAWS: usize = 100_000;
/// Standard errors that a right answer may be off; of some thousand comparisons none is.
const ERRORS: f64 = 5.0;

//! Benchmarks: what they measure, apart from how it is shown.
//!
//! Machines are noisy, so every time stands beside another one of the same run: each round measures both sides in turn,
//! and medians over the rounds are compared.

pub mod args;
pub mod floor;
#[allow(unsafe_code, reason = "a call of another crate; the block has its proof")]
mod gemm;
pub mod machine;
pub mod networks;
pub mod run;
pub mod subject;
pub mod train;

/// The middle of some times, NaN of none.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

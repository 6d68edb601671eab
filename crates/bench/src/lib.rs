//! How fast models run ([`inference`]) and networks train ([`training`]), beside what the processor could do at best.
//!
//! Computers are noisy. Each time is therefore compared with another one of the same run: every round measures both in
//! turn, and the rounds are summarised (the fastest time of inference, the median of training). A limit is measured, not
//! looked up: a loop of nothing but multiply-adds for inference, the bare matrix products of a step for training.
//!
//! A measurement returns a record that serializes. Progress is reported to a [`qbnn_bnn::predictor::Progress`], which can
//! also stop it. Nothing here prints or writes files.
//!
//! ```
//! use qbnn_bench::inference::{self, Plan, Subject, What};
//! use qbnn_bench::Effort;
//! use qbnn_bnn::predictor::NoProgress;
//!
//! # fn main() -> Result<(), qbnn_bench::Error> {
//! let effort = Effort { rounds: 1, seconds: 0.0 };
//! let plan = Plan { batches: vec![1], threads: vec![1], effort };
//! let record = inference::measure(&[Subject::built_in("mlp")?], &plan, &mut NoProgress)?;
//! let row = record.networks[0].find(What::Streamed, Some(1), 1);
//! println!("one image takes {:.3} ms", 1e3 * row.map_or(f64::NAN, |row| row.seconds));
//! # assert!(row.is_some_and(|row| row.seconds > 0.0));
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]

mod error;
#[allow(unsafe_code, reason = "a call of another crate; the block has its proof")]
mod gemm;
pub mod inference;
mod machine;
mod made_up;
mod networks;
mod target;
pub mod training;

pub use error::Error;
pub use machine::Machine;
pub use networks::NAMES;
pub use target::Target;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds over everything.
    pub rounds: usize,
    /// Seconds of one measurement in one round, at least.
    pub seconds: f64,
}

/// The middle of some times, NaN of none.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

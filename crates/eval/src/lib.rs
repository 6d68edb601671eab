//! Metrics of accuracy, calibration and disentangled uncertainty, on plain arrays.
//!
//! This crate knows no model. It takes class probabilities `probs[S][N][C]` (S draws of the network, N inputs,
//! C classes) and labels, whoever made them, and answers three questions: how often is the prediction right, how
//! honest are its probabilities, and does each kind of uncertainty react to the kind of input it is meant for.
//! Nothing is printed, no file is read or written; all arithmetic is `f64`, entropies are in nats.
//!
//! The way through: [`Predictions::new`] checks an array, [`Groups`] gathers named groups of inputs, each with a [`Role`],
//! [`evaluate`] measures them with bootstrap intervals, [`compare`] pairs two models on the same inputs, and
//! [`Metrics`] is the schema of `metrics.json`. [`report`] turns metrics and predictions into a page.
//!
//! With validation inputs, [`evaluate_calibrated`] also measures what the model is worth after temperature scaling and with
//! conformal sets. What a finished model is to answer is chosen on inputs that it was not trained with: a temperature ([`fit_temperature`]),
//! conformal sets of classes ([`ConformalRule`]), and thresholds for abstaining and for unknown inputs
//! ([`threshold_for_error`], [`threshold_for_coverage`], [`threshold_for_false_alarms`]).
//!
//! ```
//! use qbnn_eval::{evaluate, Contrast, EvalOptions, Groups, Headline, Predictions, Score, TestGroup};
//! # fn main() -> Result<(), qbnn_eval::EvalError> {
//! // Two draws, two inputs, two classes.
//! let clean = Predictions::new(2, 2, 2, vec![0.9, 0.1, 0.2, 0.8, 0.9, 0.1, 0.1, 0.9])?;
//! let ood = Predictions::new(2, 1, 2, vec![0.9, 0.1, 0.1, 0.9])?;
//! let groups = Groups(vec![TestGroup::clean(clean, vec![0, 1]), TestGroup::ood(ood)]);
//! let evaluation = evaluate(&groups, &EvalOptions::default())?;
//! assert_eq!(evaluation.value(Headline::Accuracy), Some(1.0));
//! assert_eq!(evaluation.value(Headline::Auroc(Score::Epistemic, Contrast::OodVsClean)), Some(1.0));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod agreement;
mod backend;
mod bootstrap;
mod calibration;
mod calibrator;
mod conformal;
mod detection;
mod disentangle;
mod draws;
mod error;
mod groups;
mod headline;
mod metrics;
mod parallel;
mod predictions;
mod rank;
pub mod report;
mod risk;
mod statistics;
mod student;
mod sum;
mod temperature;
mod threshold;
mod uncertainty;
mod weighted;

pub use agreement::{Agreement, GroupAgreement};
pub use backend::Backend;
pub use bootstrap::{Interval, Resampler, logit_interval, percentile_interval};
pub use calibration::{Calibration, ECE_BINS, NLL_EPS, accuracy, bin_of, brier, calibration, ece, nll};
pub use calibrator::{ALPHA, Calibrator};
pub use conformal::{
    ConformalRule, ConformalScore, SetQuality, aps_scores, fewest_inputs, quantile_rank, set_quality, upper_quantile,
};
pub use detection::{Detection, Detections, average_precision, fpr95};
pub use disentangle::{
    EvalOptions, EvaluatedGroup, Evaluation, Further, Measured, compare, evaluate, evaluate_calibrated, over_draw_seeds,
};
pub use draws::{MAX_SETS, by_samples};
pub use error::EvalError;
pub use groups::{Groups, Role, SHIFTS_MEAN, Shift, TestGroup, is_shown};
pub use headline::{About, Absent, Aim, ByHeadline, Contrast, Headline, Measure, OfGroup, Score};
pub use metrics::{
    Bits, Clamped, Counts, Difference, DifferenceEntry, GroupEntry, GroupMeans, MeanUncertainty, Metrics,
    ModelDescription, ModelEntry, ParameterBytes, SCHEMA_VERSION, SamplesEntry, Spread, Strategy, TIES_MATTER,
};
pub use predictions::{Precision, Predictions, ROW_SUM_TOLERANCE};
pub use rank::{TIE, auroc, mid_ranks, spearman};
pub use risk::{Risk, WeightedRisk, risk};
pub use student::t975;
pub use temperature::{TEMPERATURES, TemperatureFit, apply_temperature, fit_temperature};
pub use threshold::{
    Selection, Threshold, selection, threshold_for_coverage, threshold_for_error, threshold_for_false_alarms,
};
pub use uncertainty::{Uncertainty, arg_max, entropy, uncertainty};
pub use weighted::{PooledScores, WeightedEce, WeightedMean, WeightedSpearman};

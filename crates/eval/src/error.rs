//! Everything that can be wrong with what a caller hands in, one line each: what was found, what was wanted, the fix.

use thiserror::Error;

/// An input that cannot be evaluated. Every message is a single line.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EvalError {
    /// The flat array does not hold `samples * inputs * classes` values.
    #[error(
        "found {found} probabilities, wanted samples {samples} x inputs {inputs} x classes {classes}; \
         pass probs[S][N][C] row-major and its true shape"
    )]
    ProbsLength {
        /// Values handed in.
        found: usize,
        /// Draws claimed.
        samples: usize,
        /// Inputs claimed.
        inputs: usize,
        /// Classes claimed.
        classes: usize,
    },
    /// A dimension is too small to mean anything.
    #[error("found {found} {dimension}, wanted at least {wanted}; give the group more {dimension} or leave it out")]
    TooFew {
        /// `samples`, `inputs` or `classes`.
        dimension: &'static str,
        /// The size handed in.
        found: usize,
        /// The least size that works.
        wanted: usize,
    },
    /// A value is NaN or outside [0, 1].
    #[error(
        "found {value} at sample {sample}, input {input}, class {class}, wanted a probability in [0, 1]; \
         pass softmax outputs, not logits, and look for NaN upstream"
    )]
    NotAProbability {
        /// The offending value.
        value: f64,
        /// Its draw.
        sample: usize,
        /// Its input.
        input: usize,
        /// Its class.
        class: usize,
    },
    /// The probabilities of one input under one draw do not sum to 1.
    #[error(
        "found probabilities that sum to {sum} at sample {sample}, input {input}, wanted 1 within 0.001; \
         normalise each row, and check that the order is [S][N][C]"
    )]
    RowSum {
        /// The sum found.
        sum: f64,
        /// The row's draw.
        sample: usize,
        /// The row's input.
        input: usize,
    },
    /// As many labels as inputs are needed.
    #[error(
        "found {found} labels, wanted {wanted} (one per input); pass the labels of the same inputs in the same order"
    )]
    LabelCount {
        /// Labels handed in.
        found: usize,
        /// Inputs to be labelled.
        wanted: usize,
    },
    /// A label names no class.
    #[error("found label {label} at input {input}, wanted one in 0..{classes}; number the classes from 0")]
    LabelRange {
        /// The offending label.
        label: usize,
        /// Its input.
        input: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Two groups of one evaluation do not have the same number of samples or classes.
    #[error(
        "found {found} {dimension} in group {group}, wanted {wanted} as in clean; predict every group with the same model and settings"
    )]
    GroupsDisagree {
        /// Its name.
        group: String,
        /// `samples` or `classes`.
        dimension: &'static str,
        /// The size in that group.
        found: usize,
        /// The size in the clean group.
        wanted: usize,
    },
    /// Every evaluation needs inputs with one right label.
    #[error("found no clean group, wanted one: accuracy and calibration need inputs that have one right label")]
    NoClean,
    /// Two groups have one name.
    #[error("found two groups called {name}, wanted a name of its own for each; rename one")]
    GroupTwice {
        /// The name.
        name: String,
    },
    /// Two arrays that belong together differ in length.
    #[error("found {what} of lengths {left} and {right}, wanted equal lengths; pass one value of each per input")]
    LengthsDiffer {
        /// What the arrays hold.
        what: &'static str,
        /// Length of the first.
        left: usize,
        /// Length of the second.
        right: usize,
    },
    /// A set of scores is empty where at least one is needed.
    #[error("found no {which}, wanted at least one; give the group some inputs or leave the metric out")]
    NoScores {
        /// Which set.
        which: &'static str,
    },
    /// A score is NaN and so has no rank.
    #[error(
        "found NaN in {which} at index {index}, wanted numbers that can be ranked; remove it or look for its cause upstream"
    )]
    NanScore {
        /// Which set.
        which: &'static str,
        /// Position in that set.
        index: usize,
    },
    /// An energy that is NaN or infinite.
    #[error(
        "found an energy of {value} at sample {sample}, input {input}, wanted a finite number; look for logits that overflow upstream"
    )]
    NotAnEnergy {
        /// The offending value.
        value: f64,
        /// Its draw.
        sample: usize,
        /// Its input.
        input: usize,
    },
    /// More inputs than the bootstrap's 32-bit positions can number.
    #[error("found {found} inputs in all, wanted fewer than 2^31; evaluate a subset")]
    TooManyInputs {
        /// Inputs of all groups together.
        found: usize,
    },
    /// Two evaluations do not share inputs or bootstrap settings, so no paired difference exists.
    #[error(
        "found evaluations that differ in {what}, wanted the same; evaluate both models on the same inputs with the same options"
    )]
    NotPaired {
        /// What differs.
        what: &'static str,
    },
    /// A number that JSON cannot hold.
    #[error(
        "found a number that is not finite in {field} of {name}, wanted a finite one or null; recompute that entry with evaluate"
    )]
    NotFinite {
        /// The schema's field.
        field: String,
        /// The model's name.
        name: String,
    },
    /// A model without one of the metrics that every model has.
    #[error("found no {metric} of {name}, wanted a number; `qbnn eval` on the run writes it again")]
    MissingMetric {
        /// The metric.
        metric: &'static str,
        /// The model's name.
        name: String,
    },
    /// A file of another schema.
    #[error("found schema_version {found}, wanted at most {wanted}; write the file again with this version of qbnn")]
    SchemaVersion {
        /// The version in the file.
        found: u32,
        /// The version this crate reads.
        wanted: u32,
    },
    /// A temperature that nothing can be divided by.
    #[error("found temperature {found}, wanted a positive finite number; fit it on labelled inputs")]
    Temperature {
        /// The temperature.
        found: f64,
    },
    /// A probability that a rule is made for, at or beyond the ends of its range.
    #[error(
        "found a level of {found}, wanted one between 0 and 1, neither of them; 0.1 is usual for alpha, 0.95 for coverage"
    )]
    Level {
        /// The level.
        found: f64,
    },
    /// Fewer inputs than a level needs.
    #[error("found {found} inputs for a level of {level}, wanted at least {wanted}; give more inputs or ask for less")]
    TooFewFor {
        /// Inputs handed in.
        found: usize,
        /// The fewest that this level needs.
        wanted: usize,
        /// The level.
        level: f64,
    },
    /// No threshold leaves so few wrong predictions.
    #[error(
        "found no threshold with an error of {wanted} among what it keeps, wanted one; {least:.4} is the least here: ask for \
         that or more, or give more inputs"
    )]
    ErrorOutOfReach {
        /// The error asked for.
        wanted: f64,
        /// The least that any threshold has.
        least: f64,
    },
}

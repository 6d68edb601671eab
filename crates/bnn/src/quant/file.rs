//! What a model file can hold of one parameter of a quantizer.

use qbnn_core::fixed::OCTAVE;

/// log2 of the least scale. A tensor or channel with less to say is rounded with an error of at most 2^-17.
pub const LEAST: f32 = -16.0;
/// A number of octaves that stays below a limit when it is rounded to the 2048ths that a file holds.
pub const BELOW: f32 = 2.0 / OCTAVE as f32;

/// Lifts a number that is too small; what is no number stays what it is.
pub fn at_least(least: f32, value: &mut f32) {
    if *value < least {
        *value = least;
    }
}

/// Lowers a number that is too large; what is no number stays what it is.
pub fn at_most(most: f32, value: &mut f32) {
    if *value > most {
        *value = most;
    }
}

/// A logarithm, rounded to the 2048ths of an octave that a file holds.
pub fn snapped(log2: f32) -> f32 {
    (log2 * OCTAVE as f32).round() / OCTAVE as f32
}

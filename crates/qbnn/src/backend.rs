//! What computes the predictions of a model here.

use anyhow::Result;
use qbnn_bnn::lower::lower;
use qbnn_bnn::{Checkpoint, Strategy, machine};
use qbnn_eval::Backend;

/// What [`crate::evaluate::draws`] takes for a checkpoint.
pub fn of(checkpoint: &Checkpoint) -> Result<Backend> {
    if machine::runs(checkpoint) {
        return Ok(Backend::Integer { kernel: Some(machine::kernel()?.name().to_owned()) });
    }
    match &checkpoint.quantize {
        Some(q) if q.strategy == Strategy::Jq && !q.is_float() => {
            let why = lower(checkpoint).err().map_or("the machine does not run it".to_owned(), |e| e.to_string());
            Ok(Backend::Simulated { why })
        }
        // Their draws are floats on a device too.
        _ => Ok(Backend::Float),
    }
}

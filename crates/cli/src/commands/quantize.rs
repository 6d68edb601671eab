//! `qbnn quantize`: from a float checkpoint to a quantized one beside it, with training through the quantizers or
//! without.

use super::train::report;
use crate::session::Session;
use crate::settings::QuantizeCommand;
use anyhow::Result;
use qbnn::steps;

/// Quantizes.
pub fn quantize(session: &Session, args: &QuantizeCommand) -> Result<()> {
    let settings = |run: Option<&std::path::Path>| args.base.layers(run, &[&args.quantize]);
    report(session, &steps::quantize(&session.caller(), &args.from, &settings, args.overwrite)?)
}

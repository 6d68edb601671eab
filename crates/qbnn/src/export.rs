//! What has a model file, told before anything is trained; and model files held against their checkpoints.

use crate::error::{At, Error, Result};
use crate::observer::Observer;
use crate::preprocess::Prepared;
use qbnn_bnn::{BnnError, Checkpoint, ImagesView, NetworkSpec, QuantizeSettings, TrainSettings, verify};

/// Refuses, before anything is trained, a quantization that could have no model file.
///
/// # Errors
/// [`Error::NoModelFile`] says what has none, and what to do instead.
pub fn check(
    network: &NetworkSpec,
    data: &Prepared<'_>,
    train: &TrainSettings,
    quantize: &QuantizeSettings,
) -> Result<()> {
    let classes = data.dataset.classes();
    verify::check(network, data.shape(), classes, data.normalisation(), train, Some(quantize))
        .map_err(Error::NoModelFile)
}

/// Says, before a float network is trained, that it will have no model file.
pub fn warn_of_float(observer: &dyn Observer, network: &NetworkSpec, data: &Prepared<'_>, train: &TrainSettings) {
    warning_of_float(network, data, train).iter().for_each(|line| observer.warn(line));
}

/// The same in words; `None` of a network that will have one.
pub(crate) fn warning_of_float(network: &NetworkSpec, data: &Prepared<'_>, train: &TrainSettings) -> Option<String> {
    let classes = data.dataset.classes();
    let found = verify::check(network, data.shape(), classes, data.normalisation(), train, None).err();
    found.map(|e| format!("{e}. The network is trained, but will have no model file and no quantized one"))
}

/// The model file of a finished checkpoint, checked on a few of the images that it was trained on. A float network
/// without one can be evaluated all the same: what it lacks is said, and there are no bytes.
///
/// # Errors
/// [`Error::Bnn`] at the model: what its file does not hold, or how far it is from the checkpoint.
pub fn file(
    observer: &dyn Observer,
    name: &str,
    checkpoint: &Checkpoint,
    images: ImagesView<'_>,
) -> Result<Option<Vec<u8>>> {
    match verify::export(checkpoint, images) {
        Ok(file) => Ok(Some(file)),
        Err(e) if checkpoint.quantize.is_none() && !matches!(e, BnnError::Apart(_)) => {
            observer.warn(&format!("{name} has no model file: {e}"));
            Ok(None)
        }
        Err(e) => Err(e).at(|| format!("{name}.qbnn is not written; the checkpoint is whole")),
    }
}

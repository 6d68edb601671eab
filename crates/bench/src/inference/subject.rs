//! What is measured: a model file, and the same network in float.

use crate::Error;
use crate::made_up::MadeUp;
use qbnn_bnn::{
    Activation, Checkpoint, LayerSpec, NetworkSpec, Normalisation, OpSpec, QuantizeSettings, Shape, TrainSettings,
    export,
};
use qbnn_core::model::{Function, Layer, Model, Op};

/// Names of the networks that are measured where no file is named.
pub const BUILT_IN: [&str; 2] = ["lenet5", "mlp"];

/// A network, quantized and in float.
pub struct Subject {
    /// Where the file comes from, or `None` for an untrained built-in network.
    pub(super) name: Option<String>,
    /// The model file.
    pub(super) file: Vec<u8>,
    /// The same layers in float with an untrained posterior: what is in the weights does not change the time. `None`
    /// where float has no such layers.
    pub(super) float: Option<Checkpoint>,
}

impl Subject {
    /// The bytes of a model file. `name` says where they come from, in the record and in errors.
    ///
    /// # Errors
    /// Bytes that are no model.
    pub fn of_file(name: impl Into<String>, file: Vec<u8>) -> Result<Self, Error> {
        let float = float(Model::new(&file)?);
        Ok(Subject { name: Some(name.into()), file, float })
    }

    /// A network of [`BUILT_IN`], JQ W4A4, untrained.
    ///
    /// # Errors
    /// Another name.
    pub fn built_in(name: &str) -> Result<Self, Error> {
        let spec = NetworkSpec::named(name, 10).ok_or_else(|| Error::Network { name: name.to_owned() })?;
        let float = untrained(&spec, Shape { channels: 1, rows: 28, columns: 28 }, 10)?;
        let images = MadeUp::new(float.net().input, 128);
        let settings = QuantizeSettings { epochs: 0, calibration: 128, ..QuantizeSettings::default() };
        let file = export(&Checkpoint::quantized(float.clone(), settings, &images.data())?)?;
        Ok(Subject { name: None, file, float: Some(float) })
    }
}

fn untrained(spec: &NetworkSpec, input: Shape, classes: usize) -> Result<Checkpoint, Error> {
    Ok(Checkpoint::new(spec, input, classes, Normalisation { mean: 0.13, std: 0.31 }, 1, TrainSettings::default())?)
}

/// The layers of a model file as a network in float.
fn float(model: Model<'_>) -> Option<Checkpoint> {
    let name = |value: usize| value.checked_sub(1).map(|i| format!("layer{i}"));
    let mut layers = Vec::new();
    for (i, layer) in model.iter().enumerate() {
        // The image has no name: only the first layer reads it.
        if (layer.input == 0) != (i == 0) {
            return None;
        }
        let op = op(&model, &layer, &name)?;
        layers.push(LayerSpec { name: name(i + 1), input: name(layer.input), op });
    }
    untrained(&NetworkSpec { name: model.name().to_owned(), layers }, model.input(), model.classes()).ok()
}

fn op(model: &Model<'_>, layer: &Layer, name: &impl Fn(usize) -> Option<String>) -> Option<OpSpec> {
    Some(match layer.op {
        Op::Linear(l) => {
            let (from, out) = (model.shape_of(layer.input), layer.shape.channels);
            if (l.kernel_rows, l.kernel_columns, l.padding) == (from.rows, from.columns, 0) {
                OpSpec::Dense { out }
            } else if l.kernel_rows == l.kernel_columns {
                let (kernel, stride, padding, groups) = (l.kernel_rows, l.stride, l.padding, l.groups);
                OpSpec::Conv { out, kernel, stride, padding, groups }
            } else {
                return None;
            }
        }
        Op::Pool(p) if p.max => OpSpec::MaxPool { size: p.size, stride: Some(p.stride) },
        Op::Pool(p) => OpSpec::AveragePool { size: p.size, stride: Some(p.stride) },
        Op::Activation(a) => match a.function {
            Function::Relu => OpSpec::Activation(Activation::Relu),
            Function::ClippedRelu => OpSpec::Activation(Activation::ClippedRelu { max: 6.0 }),
            Function::LeakyRelu => OpSpec::Activation(Activation::LeakyRelu { slope: 0.01 }),
            Function::Hardtanh => OpSpec::Activation(Activation::Hardtanh),
        },
        Op::Add { other } => OpSpec::Add { from: name(other)? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_float_twin_has_the_same_work() {
        for name in BUILT_IN {
            let subject = Subject::built_in(name).unwrap();
            let model = Model::new(&subject.file).unwrap();
            let twin = float(model).unwrap();
            assert_eq!(twin.net().multiply_adds() as u64, model.multiply_adds());
            assert_eq!(twin.net().parameters() as u64, model.parameters());
        }
    }
}

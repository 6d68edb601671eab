//! Models to evaluate, each opened once: exported, described, made ready to predict.

use crate::ensemble::Ensemble;
use crate::error::Result;
use crate::model_file::ModelFile;
use qbnn_bnn::predictor::{Export, Predictor};
use qbnn_bnn::{Checkpoint, pfp};
use qbnn_core::model::Kind;
use qbnn_eval::{Bits, ModelDescription, ParameterBytes, Strategy};

/// A model to evaluate.
pub enum Model {
    /// One network.
    Checkpoint(Box<Checkpoint>),
    /// A model file alone: what a device runs.
    File(ModelFile),
    /// Several model files together.
    Ensemble(Ensemble),
}

/// A model ready to predict.
pub struct Opened {
    /// What predicts by draws.
    pub predictor: Box<dyn Predictor>,
    /// What predicts by one analytic pass, or why there is none; `None` if it was not asked for.
    pub analytic: Option<Result<Box<dyn Predictor>, String>>,
    /// What the evaluation cannot know of it.
    pub description: ModelDescription,
    /// What tells it from any other.
    pub identity: String,
}

impl Model {
    /// Whether it is one float network, with which others can be compared.
    pub fn is_float(&self) -> bool {
        match self {
            Model::Checkpoint(checkpoint) => checkpoint.quantize.is_none(),
            Model::File(file) => file.kind == Kind::Float,
            Model::Ensemble(_) => false,
        }
    }

    /// Opens it, and its analytic pass with such weights.
    ///
    /// # Errors
    /// [`crate::Error::Bnn`] of a model that cannot run; those of [`ModelFile::describe`] and
    /// [`Ensemble::describe`].
    pub fn open(&self, name: &str, pfp: Option<pfp::Weights>) -> Result<Opened> {
        match self {
            Model::Checkpoint(checkpoint) => {
                let export = Export::new(checkpoint);
                let analytic: Option<Result<Box<dyn Predictor>, String>> = match (pfp, export.file()) {
                    (None, _) => None,
                    (Some(_), Err(e)) => Some(Err(e.to_string())),
                    (Some(weights), Ok(_)) => export.analytic(weights)?.map(|pass| Ok(Box::new(pass) as _)),
                };
                Ok(Opened {
                    predictor: export.predictor()?,
                    analytic,
                    // Whether or not it lies beside the checkpoint: what does not fit the format has none.
                    description: describe(name, checkpoint, export.file().ok().map(|file| file.len() as u64)),
                    identity: checkpoint.identity(),
                })
            }
            Model::File(file) => Ok(Opened {
                predictor: file.predictor()?,
                analytic: pfp.map(|weights| file.analytic(weights)).transpose()?.map(|pass| Ok(Box::new(pass) as _)),
                description: file.describe(name)?,
                identity: file.identity(),
            }),
            Model::Ensemble(ensemble) => Ok(Opened {
                predictor: ensemble.predictor()?,
                analytic: pfp.map(|weights| ensemble.analytic(weights)).transpose()?.map(Ok),
                description: ensemble.describe(name)?,
                identity: ensemble.identity(),
            }),
        }
    }
}

/// What the evaluation cannot know of a model; a model file has so many bytes.
pub fn describe(name: &str, checkpoint: &Checkpoint, file_bytes: Option<u64>) -> ModelDescription {
    let bytes = checkpoint.bytes();
    // Widths are checked to be at most 32 wherever settings come in.
    let width = |bits: u32| bits.try_into().unwrap_or(u8::MAX);
    let (strategy, bits) = match &checkpoint.quantize {
        None => (Strategy::Float, Bits::FLOAT),
        Some(q) => (
            match q.strategy {
                qbnn_bnn::Strategy::Vpq => Strategy::Vpq,
                qbnn_bnn::Strategy::Spq => Strategy::Spq,
                qbnn_bnn::Strategy::Jq => Strategy::Jq,
            },
            Bits {
                mu: width(q.bits.mu),
                sigma: width(q.bits.sigma),
                weight: width(q.bits.weight),
                activation: width(q.bits.activation),
            },
        ),
    };
    ModelDescription {
        name: name.to_owned(),
        strategy,
        bits,
        parameter_bytes: bytes.total() as u64,
        parameters: Some(ParameterBytes {
            weights_bytes: bytes.weights as u64,
            biases_bytes: bytes.biases as u64,
            scales_bytes: bytes.scales as u64,
        }),
        file_bytes,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Silent;
    use crate::config::EvalConfig;
    use crate::evaluate::evaluate_models;
    use crate::preprocess::Prepared;
    use qbnn_bnn::internals::export::exports;
    use qbnn_bnn::{NetworkSpec, QuantizeSettings, TrainSettings};
    use qbnn_data::{Dataset, Limits, Locations, load};

    fn data() -> Dataset {
        let limits = Limits { train_limit: Some(100), group_limit: Some(20) };
        load("strokes", &Locations::default(), 1, limits).unwrap()
    }

    /// A JQ network that reads strokes, untrained.
    pub fn network(seed: u64) -> Checkpoint {
        let dataset = data();
        let (data, classes) = (Prepared::new(&dataset), dataset.classes());
        let spec = NetworkSpec::named("mlp", classes).unwrap();
        let train = TrainSettings::default();
        let train_data = data.train_data(&train, seed).unwrap();
        let float = Checkpoint::new(&spec, data.shape(), classes, data.normalisation(), seed, train.clone()).unwrap();
        let settings = QuantizeSettings { epochs: 0, calibration: 64, ..QuantizeSettings::default() };
        Checkpoint::quantized(float, settings, &train_data).unwrap()
    }

    #[test]
    fn an_evaluation_exports_a_model_once() {
        let (dataset, jq) = (data(), network(1));
        let models = [("jq".to_owned(), Model::Checkpoint(Box::new(jq)))];
        let settings = EvalConfig { samples: 2, bootstrap: 0, ..EvalConfig::default() };
        for pfp in [None, Some(pfp::Weights::Stored)] {
            let before = exports();
            let evaluated = evaluate_models(&Silent, &models, &Prepared::new(&dataset), settings, pfp, 1, "").unwrap();
            assert_eq!(exports() - before, 1, "{pfp:?}");
            let entry = &evaluated.metrics.models[0];
            assert!(matches!(entry.backend, Some(qbnn_eval::Backend::Integer { .. })), "{:?}", entry.backend);
            assert_eq!(evaluated.metrics.models.len(), 1 + usize::from(pfp.is_some()));
        }
    }
}

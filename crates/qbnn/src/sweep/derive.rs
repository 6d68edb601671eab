//! The backend of results of before it was written down: by the rule that the program had then, where a spec tells.
//!
//! The rule is frozen: what the integer runtime learns later changes nothing about figures of before.

use super::plan::Run;
use super::spec::Model;
use qbnn_bnn::pfp;
use qbnn_bnn::{Activation, NetworkSpec, OpSpec, QuantizeSettings, Scale, SigmaGrid, Strategy};
use qbnn_eval::Backend;

/// What computed the figures of a run; `None` where its settings do not tell.
pub fn backend(run: &Run) -> Option<Backend> {
    let quantize = &run.config.quantize;
    match run.model {
        Model::Float => Some(Backend::Float),
        Model::Ensemble => Some(Backend::Ensemble { members: vec![Backend::Float; run.floats.len()] }),
        Model::QuantizedEnsemble => {
            let member = backend(&Run { model: Model::Quantized, ..run.clone() })?;
            Some(Backend::Ensemble { members: vec![member; run.floats.len()] })
        }
        Model::Pfp => Some(Backend::Analytic { weights: pfp::Weights::Stored.name().to_owned() }),
        Model::Quantized if quantize.is_float() || quantize.strategy != Strategy::Jq => Some(Backend::Float),
        Model::Quantized => {
            // The layers of a network by another name may have been such as the integer runtime did not know.
            let own = run.config.network.layer.is_some() || run.config.network.file.is_some();
            let why = grids(quantize).or_else(|| run.config.network.spec(10).ok().and_then(|s| activations(&s)));
            match why {
                Some(why) => Some(Backend::Simulated { why }),
                None if own => None,
                None => Some(Backend::Integer { kernel: None }),
            }
        }
    }
}

/// Grids that no model file holds.
fn grids(q: &QuantizeSettings) -> Option<String> {
    if q.noise_bits != 8 {
        return Some(format!("noise_bits = {}", q.noise_bits));
    }
    if q.sigma_grid != SigmaGrid::Log {
        return Some(format!("sigma_grid = {}", q.sigma_grid.name()));
    }
    (q.sigma_scale != Scale::Tensor).then(|| "sigma_scale = channel".to_owned())
}

/// Functions that have no integer twin.
fn activations(spec: &NetworkSpec) -> Option<String> {
    spec.layers.iter().find_map(|layer| match layer.op {
        OpSpec::Activation(f @ (Activation::Tanh | Activation::Sigmoid)) => Some(f.name().to_owned()),
        _ => None,
    })
}

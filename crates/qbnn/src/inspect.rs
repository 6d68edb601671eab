//! What a model file holds: widths, layers, sigmas, and the memory to run it.

use crate::calibrate::Rule;
use crate::decided::{pass_name, temperature};
use qbnn_core::draw::Rounding;
use qbnn_core::fixed::OCTAVE;
use qbnn_core::model::write_section::Content;
use qbnn_core::model::{Kind, Layer, Model, Op};
use qbnn_core::run::{Plan, Step};
use qbnn_core::single::{Place, Single};
use qbnn_core::{Bits, UniformCode, pack};
use serde::Serialize;

/// Widths in bits, 32 for float.
#[derive(Clone, Debug, Serialize)]
pub struct Widths {
    /// Of the stored means.
    pub mu: u32,
    /// Of the stored standard deviations; 0 where there are none.
    pub sigma: u32,
    /// Of the drawn weights.
    pub weight: u32,
    /// Of the activations.
    pub activation: u32,
}

/// Bytes to run a model in integers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Working memory, with weights drawn on the way.
    pub streamed: usize,
    /// Further bytes for each draw that is kept.
    pub per_draw: usize,
    /// Working memory of one image at a time, weights drawn on the way, constants worked out anew ([`Single::least`]); none for
    /// a model with too many layers for that.
    pub one_image: Option<usize>,
    /// The same with all constants held ([`Single::most`]).
    pub one_image_fast: Option<usize>,
}

/// The sigmas of a layer's weights.
#[derive(Clone, Debug, Serialize)]
pub struct Sigmas {
    /// Least and largest that a weight has.
    #[serde(rename = "sigma")]
    pub used: [f64; 2],
    /// Least and largest of their grid, where they are codes.
    #[serde(rename = "sigma_grid")]
    pub grid: Option<[f64; 2]>,
}

/// A layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerSummary {
    /// What it does.
    pub layer: String,
    /// Shape of its output.
    pub output: String,
    /// The value that it reads: 0 is the image, i + 1 the output of layer i.
    pub input: usize,
    /// Bytes of its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its weights and biases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// Its sigmas.
    #[serde(flatten)]
    pub sigmas: Option<Sigmas>,
}

/// A model file.
#[derive(Clone, Debug, Serialize)]
pub struct ModelSummary {
    /// The network's name.
    pub name: String,
    /// `float`, `vpq`, `spq` or `jq`.
    pub kind: &'static str,
    /// `gaussian`, `point` or `dropout`.
    pub posterior: &'static str,
    /// Bytes of the file.
    pub bytes: usize,
    /// Shape of its images.
    pub input: String,
    /// Number of classes.
    pub classes: usize,
    /// Weights and biases.
    pub parameters: u64,
    /// Multiply-adds of an image under one draw.
    pub multiply_adds: u64,
    /// Widths.
    pub bits: Widths,
    /// How drawn weights are rounded to their grid, where they have one.
    pub rounding: Option<&'static str>,
    /// The layers.
    pub layers: Vec<LayerSummary>,
    /// Memory to run it, for a model that the integer runtime runs.
    pub memory: Option<Memory>,
    /// What its section holds, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<SectionSummary>,
}

/// The section of a model file.
#[derive(Clone, Debug, Serialize)]
pub struct SectionSummary {
    /// Names of the classes, where they are more than their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// What the model decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decisions: Option<DecisionsSummary>,
    /// Why it cannot be read; the network is not concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a model decides, and how that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct DecisionsSummary {
    /// The data, where it is told.
    pub data: Option<String>,
    /// What was measured: draws, or a kind of analytic pass.
    pub measured_on: &'static str,
    /// Draws; 0 for an analytic pass.
    pub samples: u32,
    /// Their seed.
    pub seed: u64,
    /// The temperature.
    pub temperature: f64,
    /// The thresholds.
    #[serde(flatten)]
    pub rule: Rule,
}

impl SectionSummary {
    /// Of a model; `None` where its file has no section.
    fn of(model: &Model<'_>) -> Option<Self> {
        let content = match Content::of(model) {
            Ok(content) => content,
            Err(error) => {
                let error = Some(error.to_string());
                return Some(SectionSummary { classes: Vec::new(), decisions: None, error });
            }
        };
        let decisions = content.decisions.as_ref().map(|own| DecisionsSummary {
            data: content.data_name.clone(),
            measured_on: pass_name(own.pass),
            samples: own.samples,
            seed: own.seed,
            temperature: temperature(own),
            rule: Rule::of(own),
        });
        let found = SectionSummary { classes: content.class_names, decisions, error: None };
        (found.decisions.is_some() || !found.classes.is_empty()).then_some(found)
    }
}

impl ModelSummary {
    /// Of a model whose file has so many bytes.
    pub fn of(model: &Model<'_>, bytes: usize) -> Self {
        let width = |bits: Option<Bits>| bits.map_or(32, Bits::get);
        ModelSummary {
            name: model.name().to_owned(),
            kind: model.kind().name(),
            posterior: model.posterior().name(),
            bytes,
            input: model.input().to_string(),
            classes: model.classes(),
            parameters: model.parameters(),
            multiply_adds: model.multiply_adds(),
            bits: Widths {
                mu: width(model.mu_bits()),
                sigma: if model.posterior().has_sigma() { width(model.sigma_code().map(|s| s.0)) } else { 0 },
                weight: width(model.weight_code().map(UniformCode::bits)),
                activation: width(model.activation_bits()),
            },
            rounding: rounding(model),
            layers: model.iter().map(|layer| summary(model, &layer)).collect(),
            memory: memory(model),
            section: SectionSummary::of(model),
        }
    }
}

fn summary(model: &Model<'_>, layer: &Layer) -> LayerSummary {
    LayerSummary {
        layer: what(model, layer),
        output: layer.shape.to_string(),
        input: layer.input,
        bytes: if let Op::Linear(l) = layer.op { Some(l.parameter_bytes()) } else { None },
        parameters: parameters(layer),
        sigmas: sigmas(model, layer),
    }
}

/// How drawn weights meet their grid, where they have one.
fn rounding(model: &Model<'_>) -> Option<&'static str> {
    model.kind().runs_on_codes().then_some(match model.rounding() {
        Rounding::Nearest => "nearest",
        Rounding::Stochastic => "stochastic",
    })
}

/// Bytes to run a model that the machine runs: streamed, and for each draw that is kept.
fn memory(model: &Model<'_>) -> Option<Memory> {
    if model.kind() != Kind::Jq {
        return None;
    }
    let mut steps = vec![Step::default(); model.layers()];
    let plan = Plan::new(*model, &mut steps).ok()?;
    let together = plan.draws_together();
    let streamed = plan.scratch().total() + 4 * plan.constants();
    let mut places = vec![Place::default(); model.layers()];
    let single = Single::new(*model, &mut places).ok();
    Some(Memory {
        streamed,
        per_draw: plan.weights(together).total() / together,
        one_image: single.as_ref().map(Single::least),
        one_image_fast: single.as_ref().map(Single::most),
    })
}

fn sigmas(model: &Model<'_>, layer: &Layer) -> Option<Sigmas> {
    let Op::Linear(l) = layer.op else { return None };
    if !model.posterior().has_sigma() {
        return None;
    }
    if let Some(floats) = model.floats(layer) {
        let all = floats.sigma.as_chunks::<4>().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes)));
        let ends = all.fold([f64::INFINITY, 0.0], |[low, high], sigma| [low.min(sigma), high.max(sigma)]);
        return Some(Sigmas { used: ends, grid: None });
    }
    let (codes, bits) = (model.codes(layer)?, model.sigma_code()?);
    let value = |code: u8| {
        let log2 = codes.sigma_top() as f64 - code as f64 * codes.sigma_step() as f64;
        (log2 / OCTAVE as f64).exp2()
    };
    // Code 0 is the largest.
    let all = (0..layer.shape.channels * l.fan_in()).filter_map(|i| pack::get(codes.sigma, i, bits.0));
    let (low, high) = all.fold((u8::MAX, 0), |(low, high), code| (low.min(code), high.max(code)));
    Some(Sigmas { used: [value(high), value(low)], grid: Some([value(bits.max() as u8), value(0)]) })
}

/// Weights and biases of a layer.
fn parameters(layer: &Layer) -> Option<u64> {
    let Op::Linear(l) = layer.op else { return None };
    Some((l.fan_in() as u64 + 1) * layer.shape.channels as u64)
}

fn what(model: &Model<'_>, layer: &Layer) -> String {
    match layer.op {
        Op::Linear(l) => {
            let from = model.shape_of(layer.input);
            if (l.kernel_rows, l.kernel_columns) == (from.rows, from.columns) && l.padding == 0 {
                return "dense".to_owned();
            }
            let mut text = format!("conv {}x{}", l.kernel_rows, l.kernel_columns);
            let extras = [("stride", l.stride, 1), ("padding", l.padding, 0), ("groups", l.groups, 1)];
            for (name, value, _) in extras.iter().filter(|(_, value, usual)| value != usual) {
                text.push_str(&format!(", {name} {value}"));
            }
            text
        }
        Op::Pool(p) => format!("{}-pool {}x{}", if p.max { "max" } else { "average" }, p.size, p.size),
        Op::Activation(a) => format!("{:?}", a.function).to_lowercase(),
        Op::Add { other } => format!("add layer {other}"),
    }
}

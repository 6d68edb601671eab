//! The description of a network: a short list of layers that a person can write in TOML.
//!
//! ```toml
//! name = "tiny"
//! [[layer]]
//! type = "conv"
//! out = 8
//! kernel = 3
//! padding = 1
//! [[layer]]
//! type = "relu"
//! [[layer]]
//! type = "flatten"
//! [[layer]]
//! type = "dense"
//! out = 10
//! ```
//!
//! A layer reads the one before it unless `input` names another; `add` sums the layer before it and `from`.

use serde::{Deserialize, Serialize};

/// A network: its name and its layers, first to last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// What reports call it.
    pub name: String,
    /// The layers, in the order in which they run.
    #[serde(rename = "layer")]
    pub layers: Vec<LayerSpec>,
}

/// One layer and where its input comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerSpec {
    /// A name that later layers and files use; by default the type and its count (`conv1`, `dense3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The layer whose output this one reads; by default the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What it does.
    #[serde(flatten)]
    pub op: OpSpec,
}

fn one() -> usize {
    1
}

/// The closed set of layers: each has a forward and a backward here, and an integer twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OpSpec {
    /// Fully connected, with bias. Its input is flattened.
    Dense {
        /// Units.
        out: usize,
    },
    /// 2-D convolution (cross-correlation), square kernel, with bias.
    Conv {
        /// Output channels.
        out: usize,
        /// Kernel height and width.
        kernel: usize,
        /// Step in both directions.
        #[serde(default = "one")]
        stride: usize,
        /// Zeros around the input, each side.
        #[serde(default)]
        padding: usize,
        /// Groups that input and output channels are split into.
        #[serde(default = "one")]
        groups: usize,
    },
    /// Largest of each window.
    MaxPool {
        /// Window height and width.
        size: usize,
        /// Step; by default the size.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<usize>,
    },
    /// Mean of each window.
    AveragePool {
        /// Window height and width.
        size: usize,
        /// Step; by default the size.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<usize>,
    },
    /// max(x, 0).
    Relu,
    /// x above zero, slope * x below.
    LeakyRelu {
        /// Slope below zero.
        #[serde(default = "leaky_slope")]
        slope: f32,
    },
    /// min(max(x, 0), max).
    ClippedRelu {
        /// Where it clips.
        #[serde(default = "relu_clip")]
        max: f32,
    },
    /// min(max(x, -1), 1).
    Hardtanh,
    /// tanh(x).
    Tanh,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// Channels, rows and columns become one axis.
    Flatten,
    /// Sum of the layer before and another of the same shape.
    Add {
        /// The other layer's name.
        from: String,
    },
}

/// As PyTorch has it.
const LEAKY_SLOPE: f32 = 0.01;

/// As ReLU6 has it.
const RELU_CLIP: f32 = 6.0;

fn leaky_slope() -> f32 {
    LEAKY_SLOPE
}

fn relu_clip() -> f32 {
    RELU_CLIP
}

/// Activation functions by name, with their usual parameters.
const ACTIVATIONS: [(&str, OpSpec); 6] = [
    ("relu", OpSpec::Relu),
    ("leaky-relu", OpSpec::LeakyRelu { slope: LEAKY_SLOPE }),
    ("clipped-relu", OpSpec::ClippedRelu { max: RELU_CLIP }),
    ("hardtanh", OpSpec::Hardtanh),
    ("tanh", OpSpec::Tanh),
    ("sigmoid", OpSpec::Sigmoid),
];

impl OpSpec {
    /// Names of the activation functions.
    pub fn activation_names() -> impl Iterator<Item = &'static str> {
        ACTIVATIONS.iter().map(|a| a.0)
    }

    /// The activation function of a name, with its usual parameters.
    pub fn activation(name: &str) -> Option<Self> {
        ACTIVATIONS.iter().find(|a| a.0 == name).map(|a| a.1.clone())
    }

    /// The word that default layer names begin with.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            OpSpec::Dense { .. } => "dense",
            OpSpec::Conv { .. } => "conv",
            OpSpec::MaxPool { .. } | OpSpec::AveragePool { .. } => "pool",
            OpSpec::Relu
            | OpSpec::LeakyRelu { .. }
            | OpSpec::ClippedRelu { .. }
            | OpSpec::Hardtanh
            | OpSpec::Tanh
            | OpSpec::Sigmoid => "activation",
            OpSpec::Flatten => "flatten",
            OpSpec::Add { .. } => "add",
        }
    }
}

impl NetworkSpec {
    /// Puts another activation function in the place of every one.
    pub fn with_activation(mut self, function: &OpSpec) -> Self {
        for layer in self.layers.iter_mut().filter(|l| l.op.word() == function.word()) {
            layer.op = function.clone();
        }
        self
    }

    /// Names that [`NetworkSpec::named`] knows.
    pub const NAMES: [&'static str; 2] = ["mlp", "lenet5"];

    /// A network of the house: `mlp` (two hidden layers of 100) or `lenet5` (conv 6@5x5 padded, conv 16@5x5, 120, 84),
    /// with `classes` outputs. `None` for another name.
    pub fn named(name: &str, classes: usize) -> Option<Self> {
        let dense = |out| OpSpec::Dense { out };
        let conv = |out, padding| OpSpec::Conv { out, kernel: 5, stride: 1, padding, groups: 1 };
        let pool = || OpSpec::MaxPool { size: 2, stride: None };
        let relu = || OpSpec::Relu;
        let ops = match name {
            "mlp" => vec![OpSpec::Flatten, dense(100), relu(), dense(100), relu(), dense(classes)],
            "lenet5" => vec![
                conv(6, 2),
                relu(),
                pool(),
                conv(16, 0),
                relu(),
                pool(),
                OpSpec::Flatten,
                dense(120),
                relu(),
                dense(84),
                relu(),
                dense(classes),
            ],
            _ => return None,
        };
        let layers = ops.into_iter().map(|op| LayerSpec { name: None, input: None, op }).collect();
        Some(NetworkSpec { name: name.to_owned(), layers })
    }
}

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
//! A layer reads the one before it unless `input` names another; `add` sums the layer before it and `from`. The image is
//! named `image`.

use super::activation::Activation;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

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

/// The closed set of layers: each has a forward and a backward here, and an integer twin. Activation functions are a list
/// of their own ([`super::activation`]); in a file they stand beside the others, each under its own `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
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
    /// Channels, rows and columns become one axis.
    Flatten,
    /// Sum of the layer before and another of the same shape.
    Add {
        /// The other layer's name.
        from: String,
    },
    /// A function of single numbers.
    #[serde(skip)]
    Activation(Activation),
}

impl Serialize for OpSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            OpSpec::Activation(function) => function.serialize(serializer),
            other => OpSpec::serialize(other, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for OpSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        let name = map.get("type").and_then(Value::as_str);
        let read = if name.is_some_and(|name| Activation::NAMES.contains(&name)) {
            activation(map).map(OpSpec::Activation)
        } else {
            OpSpec::deserialize(Value::Object(map))
        };
        read.map_err(|error| match error.to_string() {
            unknown if unknown.starts_with("unknown variant") => {
                de::Error::custom(format_args!("{unknown}, or an activation: {}", Activation::NAMES.join(", ")))
            }
            other => de::Error::custom(other),
        })
    }
}

/// Reads an activation. What it does not know is an error also where it has no parameter at all, which serde lets pass.
fn activation(map: Map<String, Value>) -> serde_json::Result<Activation> {
    let keys: Vec<String> = map.keys().cloned().collect();
    let function = Activation::deserialize(Value::Object(map))?;
    let known = serde_json::to_value(function)?;
    match keys.into_iter().find(|key| known.get(key).is_none()) {
        Some(key) => Err(de::Error::custom(format_args!("unknown field `{key}` of {}", function.name()))),
        None => Ok(function),
    }
}

impl OpSpec {
    /// The word that default layer names begin with.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            OpSpec::Dense { .. } => "dense",
            OpSpec::Conv { .. } => "conv",
            OpSpec::MaxPool { .. } | OpSpec::AveragePool { .. } => "pool",
            OpSpec::Activation(_) => "activation",
            OpSpec::Flatten => "flatten",
            OpSpec::Add { .. } => "add",
        }
    }
}

impl NetworkSpec {
    /// Puts another activation function in the place of every one.
    pub fn with_activation(mut self, function: Activation) -> Self {
        for layer in &mut self.layers {
            if let OpSpec::Activation(of_layer) = &mut layer.op {
                *of_layer = function;
            }
        }
        self
    }

    /// Names that [`NetworkSpec::named`] knows.
    pub const NAMES: [&'static str; 2] = ["mlp", "lenet5"];

    /// A built-in network: `mlp` (two hidden layers of 100) or `lenet5` (conv 6@5x5 padded, conv 16@5x5, 120, 84),
    /// with `classes` outputs. `None` for another name.
    pub fn named(name: &str, classes: usize) -> Option<Self> {
        let dense = |out| OpSpec::Dense { out };
        let conv = |out, padding| OpSpec::Conv { out, kernel: 5, stride: 1, padding, groups: 1 };
        let pool = || OpSpec::MaxPool { size: 2, stride: None };
        let relu = || OpSpec::Activation(Activation::Relu);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_activation_is_described_by_its_name_and_has_a_usual_parameter() {
        for &name in Activation::NAMES {
            let function = Activation::named(name).unwrap();
            assert_eq!((function.name(), function.check()), (name, Ok(())));
            let text = format!(r#"{{"name": "n", "layer": [{{"type": "{name}", "name": "own"}}]}}"#);
            let spec: NetworkSpec = serde_json::from_str(&text).unwrap();
            assert_eq!(spec.layers[0].op, OpSpec::Activation(function));
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<NetworkSpec>(&json).unwrap(), spec, "{json}");
        }
        assert_eq!(Activation::named("relu6"), None);
    }

    #[test]
    fn what_no_layer_is_or_has_is_named() {
        let read = |layer: &str| serde_json::from_str::<OpSpec>(layer).unwrap_err().to_string();
        let error = read(r#"{"type": "gelu"}"#);
        assert!(error.contains("`gelu`") && error.contains("`conv`") && error.contains("hardtanh"), "{error}");
        assert!(read(r#"{"type": "relu", "slope": 0.1}"#).contains("`slope`"));
        assert!(read(r#"{"type": "dense", "outs": 3}"#).contains("`outs`"));
        assert!(read(r#"{"type": "leaky-relu", "slope": "steep"}"#).contains("steep"));
        assert!(read(r#"{"out": 3}"#).contains("type"));
    }
}

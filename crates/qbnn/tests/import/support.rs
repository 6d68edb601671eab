//! Files and networks of the tests.

use qbnn::import::assign::{Posterior, Taking, assign};
use qbnn::import::{self, Found, Told};
use qbnn_bnn::internals::nn::network::Network;
use qbnn_bnn::{NetworkSpec, Shape};
use std::path::PathBuf;

/// The network of every fixture: reads 4 x 4 images.
pub const NETWORK: &str = r#"
name = "tiny"
[[layer]]
type = "conv"
out = 2
kernel = 3
[[layer]]
type = "relu"
[[layer]]
type = "flatten"
[[layer]]
type = "dense"
out = 3
"#;

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../data/tests/fixtures/posteriors").join(name)
}

pub fn network(text: &str, side: usize, classes: usize) -> Network {
    let spec: NetworkSpec = toml::from_str(text).unwrap();
    Network::new(&spec, Shape { channels: 1, rows: side, columns: side }, classes).unwrap()
}

/// What an assistant of a person tells a file's reader.
pub fn told(family: Option<&str>) -> Told {
    Told { family: family.map(|f| f.parse().unwrap()), ..Told::default() }
}

pub fn found(name: &str) -> Found {
    import::read(&fixture(name), &Told::default(), None).unwrap()
}

pub fn posterior(found: &Found) -> Posterior {
    assign(found, &network(NETWORK, 4, 3), &Taking::default()).unwrap()
}

/// One tensor of safetensors: name, shape, values.
pub type Tensor<'a> = (&'a str, Vec<usize>, Vec<f32>);

/// Writes a safetensors file.
pub fn write(path: &std::path::Path, tensors: &[Tensor<'_>]) {
    use safetensors::tensor::{Dtype, TensorView};
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> =
        tensors.iter().map(|(n, s, v)| (*n, s.clone(), v.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let views = bytes.iter().map(|(n, s, b)| (*n, TensorView::new(Dtype::F32, s.clone(), b).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

//! The networks that are measured.

use crate::Error;
use qbnn_bnn::{Activation, LayerSpec, NetworkSpec, OpSpec, Shape};

/// Names of the networks whose training can be measured.
pub const NAMES: [&str; 3] = ["lenet5", "mlp", "residual"];

/// A network by name, and the shape of its images.
pub fn network(name: &str) -> Result<(NetworkSpec, Shape), Error> {
    let grey = Shape { channels: 1, rows: 28, columns: 28 };
    match NetworkSpec::named(name, 10) {
        Some(spec) => Ok((spec, grey)),
        None if name == "residual" => Ok((residual(), Shape { channels: 3, rows: 32, columns: 32 })),
        None => Err(Error::Network { name: name.to_owned() }),
    }
}

/// A residual network of the CIFAR kind (He et al. 2016, section 4.2, n = 3): 19 convolutions and a dense layer, about
/// 0.27 million weights. Where the shape changes a strided convolution of one pixel joins; there is no normalisation.
fn residual() -> NetworkSpec {
    let mut layers: Vec<LayerSpec> = Vec::new();
    let mut push = |name: Option<String>, input: Option<String>, op: OpSpec| layers.push(LayerSpec { name, input, op });
    let conv = |out, kernel, stride| OpSpec::Conv { out, kernel, stride, padding: kernel / 2, groups: 1 };
    push(None, None, conv(16, 3, 1));
    push(Some("block0".into()), None, OpSpec::Activation(Activation::Relu));
    let mut before = "block0".to_owned();
    for (i, (out, stride)) in
        [(16, 1), (16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1)].into_iter().enumerate()
    {
        let mut skip = before.clone();
        if stride > 1 {
            skip = format!("skip{}", i + 1);
            push(Some(skip.clone()), Some(before.clone()), conv(out, 1, stride));
        }
        push(None, Some(before), conv(out, 3, stride));
        push(None, None, OpSpec::Activation(Activation::Relu));
        push(None, None, conv(out, 3, 1));
        push(None, None, OpSpec::Add { from: skip });
        before = format!("block{}", i + 1);
        push(Some(before.clone()), None, OpSpec::Activation(Activation::Relu));
    }
    push(None, None, OpSpec::AveragePool { size: 8, stride: None });
    push(None, None, OpSpec::Flatten);
    push(None, None, OpSpec::Dense { out: 10 });
    NetworkSpec { name: "residual".into(), layers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qbnn_bnn::Network;

    #[test]
    fn every_network_fits_its_images() {
        for name in NAMES {
            let (spec, image) = network(name).unwrap();
            let net = Network::new(&spec, image, 10).unwrap();
            if name == "residual" {
                assert!((265_000..285_000).contains(&net.parameters()), "{}", net.parameters());
            }
        }
        assert!(network("resnet50").is_err());
    }
}

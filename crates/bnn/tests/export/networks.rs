//! Random small networks of every layer, in any order that the layers allow.

use super::random::Random;
use qbnn_bnn::{BitWidths, Network, NetworkSpec, QuantizeSettings, Rounding, Shape, Strategy};
use serde_json::{Value, json};

/// A network, and what reads it.
pub struct Case {
    pub spec: NetworkSpec,
    pub shape: Shape,
    pub classes: usize,
}

/// What is known of a value while a network grows.
#[derive(Clone, Copy)]
struct Known {
    shape: Shape,
    /// Whether its numbers are codes where activations are rounded.
    codes: bool,
}

struct Growing<'r> {
    random: &'r mut Random,
    layers: Vec<Value>,
    /// The image, then every layer's output.
    values: Vec<Known>,
}

impl Growing<'_> {
    fn chance(&mut self, percent: usize) -> bool {
        self.random.range(1, 100) <= percent
    }

    fn last(&self) -> Known {
        self.values[self.values.len() - 1]
    }

    fn push(&mut self, mut layer: Value, shape: Shape, codes: bool) {
        layer["name"] = format!("l{}", self.layers.len() + 1).into();
        self.layers.push(layer);
        self.values.push(Known { shape, codes });
    }

    fn name(value: usize) -> String {
        if value == 0 { "image".into() } else { format!("l{value}") }
    }

    fn activation(&mut self) {
        let layer = match self.random.range(0, 4) {
            0 | 1 => json!({ "type": "relu" }),
            2 => json!({ "type": "leaky-relu", "slope": self.random.range(0, 9) as f32 / 10.0 }),
            3 => json!({ "type": "clipped-relu", "max": 0.3 + self.random.range(0, 30) as f32 / 10.0 }),
            _ => json!({ "type": "hardtanh" }),
        };
        let shape = self.last().shape;
        self.push(layer, shape, true);
    }

    fn dense(&mut self, out: usize) {
        self.push(json!({ "type": "dense", "out": out }), Shape::flat(out), false);
    }

    fn conv(&mut self) {
        let from = self.last().shape;
        let side = from.rows.min(from.columns);
        let kernel = self.random.range(1, 4).min(side + 2);
        let padding = self.random.range(0, kernel - 1).max(kernel.saturating_sub(side).div_ceil(2));
        let stride = self.random.range(1, 3);
        let groups = (1..=from.channels).filter(|g| from.channels.is_multiple_of(*g)).collect::<Vec<_>>();
        let groups = if self.chance(40) { groups[self.random.range(0, groups.len() - 1)] } else { 1 };
        let out = groups * self.random.range(1, (8 / groups).max(1));
        let size = |side: usize| (side + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1);
        if let (Some(rows), Some(columns)) = (size(from.rows), size(from.columns)) {
            let layer = json!({
                "type": "conv", "out": out, "kernel": kernel, "stride": stride, "padding": padding, "groups": groups
            });
            self.push(layer, Shape { channels: out, rows, columns }, false);
        }
    }

    fn pool(&mut self) {
        let Known { shape: from, codes } = self.last();
        let size = self.random.range(1, 3).min(from.rows).min(from.columns);
        let stride = self.random.range(1, 3);
        let kind = if self.chance(60) { "average-pool" } else { "max-pool" };
        let out = |side: usize| (side - size) / stride + 1;
        let shape = Shape { rows: out(from.rows), columns: out(from.columns), ..from };
        self.push(json!({ "type": kind, "size": size, "stride": stride }), shape, codes);
    }

    fn flatten(&mut self) {
        let Known { shape, codes } = self.last();
        self.push(json!({ "type": "flatten" }), Shape::flat(shape.len()), codes);
    }

    /// The sum with an earlier value of this shape, where there is one.
    fn add(&mut self) {
        let shape = self.last().shape;
        let others: Vec<usize> = (0..self.values.len() - 1).filter(|&v| self.values[v].shape == shape).collect();
        if let Some(at) = others.len().checked_sub(1) {
            let from = others[self.random.range(0, at)];
            self.push(json!({ "type": "add", "from": Self::name(from) }), shape, false);
        }
    }

    /// Lets the next layer read an earlier value: an activation of it, so that there is a layer to name it.
    fn branch(&mut self) {
        let value = self.random.range(0, self.values.len() - 1);
        let Known { shape, codes } = self.values[value];
        if !codes {
            self.push(json!({ "type": "relu", "input": Self::name(value) }), shape, true);
        } else {
            let layer = json!({ "type": "max-pool", "size": 1, "stride": 1, "input": Self::name(value) });
            self.push(layer, shape, true);
        }
    }
}

/// A random network, in which linear layers mostly read codes, as quantized networks must.
pub fn network(random: &mut Random) -> Case {
    let shape = Shape { channels: random.range(1, 3), rows: random.range(2, 8), columns: random.range(2, 8) };
    let classes = random.range(2, 5);
    let length = random.range(1, 9);
    let mut growing = Growing { random, layers: Vec::new(), values: vec![Known { shape, codes: true }] };
    while growing.layers.len() < length {
        let free = growing.chance(4);
        let codes = growing.last().codes;
        match growing.random.range(0, 11) {
            0..=2 if codes || free => growing.conv(),
            3 if codes || free => {
                let out = growing.random.range(1, 9);
                growing.dense(out);
            }
            4..=6 if !codes || free => growing.activation(),
            7 => growing.pool(),
            8 => growing.flatten(),
            9 | 10 => growing.add(),
            11 => growing.branch(),
            _ => {}
        }
    }
    if !growing.last().codes {
        growing.activation();
    }
    if growing.chance(90) {
        growing.dense(classes);
    } else {
        growing.flatten();
        if growing.last().shape.len() != classes {
            growing.dense(classes);
        }
    }
    if growing.chance(10) {
        growing.add();
    }
    let layers = growing.layers;
    let spec = serde_json::from_value(json!({ "name": "random", "layer": layers })).unwrap();
    Case { spec, shape, classes }
}

/// Settings of every strategy, with widths and rounding of chance.
pub fn settings(random: &mut Random) -> Vec<QuantizeSettings> {
    let strategies = [Strategy::Vpq, Strategy::Spq, Strategy::Jq];
    strategies
        .into_iter()
        .map(|strategy| {
            let mut bits = || random.range(2, 8) as u32;
            let (mu, sigma, weight, activation) = (bits(), bits(), bits(), bits());
            let wide = strategy.widths(32);
            let bits = match strategy {
                // VPQ may leave activations alone.
                Strategy::Vpq => BitWidths { mu, sigma, activation: if mu == 2 { 32 } else { activation }, ..wide },
                Strategy::Spq => BitWidths { weight, activation, ..wide },
                Strategy::Jq => BitWidths { mu, sigma, weight, activation },
            };
            let rounding = if random.range(0, 1) == 0 { Rounding::Nearest } else { Rounding::Stochastic };
            QuantizeSettings { strategy, bits, rounding, calibration: 32, ..QuantizeSettings::default() }
        })
        .collect()
}

/// Whether the layers fit each other.
pub fn builds(case: &Case) -> bool {
    Network::new(&case.spec, case.shape, case.classes).is_ok()
}

//! The network as a table, before it is trained: layers, parameters, arithmetic, and what it weighs at each width.

use crate::layout::{Medium, Sheet, wrap};
use qbnn::wording::thousands;
use qbnn_bnn::Network;
use qbnn_bnn::internals::nn::network::{Node, Op};

/// Widths whose bytes are shown, widest first; 32 is float.
const WIDTHS: [usize; 5] = [32, 8, 4, 3, 2];

/// Parameters of a layer, and its multiply-adds for one image under one draw.
fn costs(net: &Network, node: &Node) -> (usize, usize) {
    match &node.op {
        Op::Linear { weight, bias, .. } => {
            let (weights, biases) = (net.tensors[*weight].range.len(), net.tensors[*bias].range.len());
            (weights + biases, weights * node.shape.rows * node.shape.columns)
        }
        _ => (0, 0),
    }
}

fn kind(op: &Op) -> &'static str {
    match op {
        Op::Linear { .. } => "",
        Op::Pool(_) => "pooling",
        Op::Activation { .. } => "activation",
        Op::Flatten => "shape only",
        Op::Add { .. } => "sum",
    }
}

/// The table and a line of bytes, as they are shown there.
pub fn table(net: &Network, medium: Medium) -> String {
    let mut cells = vec![["layer", "output", "parameters", "multiply-adds"].map(str::to_owned).to_vec()];
    for node in &net.nodes {
        let (parameters, adds) = costs(net, node);
        let number = |n: usize| if n == 0 { kind(&node.op).to_owned() } else { thousands(n as u64) };
        let adds = if adds == 0 { String::new() } else { thousands(adds as u64) };
        cells.push(vec![node.name.clone(), node.shape.to_string(), number(parameters), adds]);
    }
    let [parameters, adds] = [net.parameters(), net.multiply_adds()].map(|n| thousands(n as u64));
    cells.push(vec![net.spec.name.clone(), format!("from {}", net.input), parameters, adds]);
    match medium {
        Medium::Terminal(columns) => {
            format!("{}\n{}", Sheet::framed(1, &cells).text(medium), wrap(&bytes(net), columns, 0))
        }
        // A layer is one line about what goes on, not a figure.
        Medium::Lines => {
            let heads = ["", "-> ", "parameters ", "multiply-adds "];
            let part = |(head, cell): (&str, &String)| match cell.chars().next().is_some_and(|c| c.is_ascii_digit()) {
                true => format!("{head}{cell}"),
                false => cell.clone(),
            };
            let line = |row: &Vec<String>| {
                let parts = heads.into_iter().zip(row).filter(|(_, cell)| !cell.is_empty()).map(part);
                parts.collect::<Vec<_>>().join(", ")
            };
            let lines: Vec<String> = cells.iter().skip(1).map(line).collect();
            format!("{}\n{}", lines.join("\n"), bytes(net))
        }
    }
}

/// Mean and standard deviation of every weight, packed.
fn bytes(net: &Network) -> String {
    let weights: Vec<usize> = net.tensors.iter().filter(|t| !t.bias).map(|t| t.range.len()).collect();
    let packed = |bits: usize| weights.iter().map(|n| 2 * (n * bits).div_ceil(8)).sum::<usize>();
    let each = WIDTHS.map(|b| {
        let name = if b == 32 { "float".to_owned() } else { format!("{b} bits") };
        format!("{name} {}", thousands(packed(b) as u64))
    });
    format!("bytes of the weights' mu and sigma alone: {}", each.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fits;
    use qbnn_bnn::{NetworkSpec, Shape};

    #[test]
    fn lenet5_adds_up() {
        let spec = NetworkSpec::named("lenet5", 10).unwrap();
        let net = Network::new(&spec, Shape { channels: 1, rows: 28, columns: 28 }, 10).unwrap();
        let sums = net.nodes.iter().map(|n| costs(&net, n)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        assert_eq!(sums, (net.parameters(), net.multiply_adds()));
        let text = table(&net, Medium::Terminal(100));
        // 61,470 weights: 8 bytes each in float, one in 4 bits.
        for part in ["conv1", "61,706", "float 491,760", "4 bits 61,47"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        for columns in [20, 40, 60, 100] {
            let text = table(&net, Medium::Terminal(columns));
            assert!(fits(&text, columns), "{text}");
        }
    }
}

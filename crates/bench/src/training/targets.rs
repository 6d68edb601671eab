//! What this project wants of training, in bare matrix products of the same computer.

use super::{Kind, Row, find};
use crate::Target;

/// A network, a kind, and the most that a step may take in bare products, on one thread.
const STEPS: [(&str, Kind, f64); 4] = [
    ("lenet5", Kind::Float, 1.8),
    ("lenet5", Kind::JqW4a4, 2.1),
    ("mlp", Kind::Float, 1.8),
    ("residual", Kind::Float, 2.5),
];
/// Two threads against one, lenet5 in float.
const TWO_THREADS: f64 = 1.8;

/// The targets that these rows can answer.
pub fn of(rows: &[Row]) -> Vec<Target> {
    let find = |network: &str, kind: Kind, threads: usize| find(rows, network, kind, threads);
    let mut out = Vec::new();
    for (network, kind, most) in STEPS {
        if let Some(row) = find(network, kind, 1) {
            let what = format!("{network} {}: step over bare products", kind.name());
            out.push(Target::at_most(what, most, row.ratio));
        }
    }
    if let (Some(one), Some(two)) = (find("lenet5", Kind::Float, 1), find("lenet5", Kind::Float, 2)) {
        let measured = two.steps_per_second / one.steps_per_second;
        out.push(Target::at_least("lenet5 float: two threads against one".to_owned(), TWO_THREADS, measured));
    }
    out
}

//! What this project wants of inference: fractions and ratios, which any computer can be asked for.

use super::{Measured, What};
use crate::Target;

/// The network of most targets.
const NETWORK: &str = "lenet5";
/// What a built-in network must reach of the limit: materialised, batch 1000, one thread.
const OF_LIMIT: [(&str, f64); 2] = [(NETWORK, 0.35), ("mlp", 0.7)];
/// Images a second at batch 1, of those at batch 1000.
const ALONE: f64 = 0.4;
/// Latency at batch 1: streamed over materialised.
const STREAMED: f64 = 3.0;
/// Weights drawn a second, of the limit's multiply-adds.
const DRAWN: f64 = 1.0 / 45.0;
/// Latency of one image: an analytic pass over a float pass.
const PFP: f64 = 4.0;
/// Two threads against one, batch 1000.
const TWO_THREADS: f64 = 1.8;
/// Batch of throughput.
const MANY: usize = 1000;

/// The targets that the rows of a network can answer; only the built-in networks have any.
pub fn of(network: &Measured) -> Vec<Target> {
    let find = |what, batch, threads| network.find(what, batch, threads);
    let (one, many) = (find(What::Materialised, Some(1), 1), find(What::Materialised, Some(MANY), 1));
    let name = |what: &str| format!("{}: {what}", network.name);
    let mut out = Vec::new();
    if let (Some((_, wanted)), Some(of)) =
        (OF_LIMIT.iter().find(|(of, _)| *of == network.name), many.and_then(|row| row.of_limit))
    {
        out.push(Target::at_least(name("materialised, batch 1000, of the limit"), *wanted, of));
    }
    if network.name != NETWORK {
        return out;
    }
    if let (Some(one), Some(many)) = (one, many) {
        let what = name("materialised, images/s at batch 1 of those at 1000");
        out.push(Target::at_least(what, ALONE, one.rate / many.rate));
    }
    if let (Some(one), Some(streamed)) = (one, find(What::Streamed, Some(1), 1)) {
        let what = name("latency at batch 1, streamed over materialised");
        out.push(Target::at_most(what, STREAMED, streamed.seconds / one.seconds));
    }
    if let Some(of) = find(What::Drawing, None, 1).and_then(|row| row.of_limit) {
        out.push(Target::at_least(name("weights drawn, of the limit's multiply-adds"), DRAWN, of));
    }
    if let (Some(pass), Some(pfp)) = (find(What::Pass, Some(1), 1), find(What::Pfp, Some(1), 1)) {
        let what = name("latency at batch 1, PFP over one float pass");
        out.push(Target::at_most(what, PFP, pfp.seconds / pass.seconds));
    }
    if let (Some(one), Some(two)) = (many, find(What::Materialised, Some(MANY), 2)) {
        let what = name("two threads against one, batch 1000");
        out.push(Target::at_least(what, TWO_THREADS, one.wall_seconds / two.wall_seconds));
    }
    out
}

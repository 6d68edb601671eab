//! Files of one's own: tensors whose names differ in one word, which says what they are, as `conv1.weight_mean` and
//! `conv1.weight_logvar`, or `fc1w_mu` and `fc1w_sigma`.
//!
//! The word says how a standard deviation is stored (`WORDS`). In a parameter store of Pyro its constraint counts over the
//! word. Since words are used loosely, the reading is told in a warning, with the ways to compare it.

use super::family::Family;
use super::found::{Found, FoundLayer, FoundSigma, FoundTensor};
use super::names::place;
use super::recognise::Told;
use super::rules::SigmaRule;
use super::source::{Constraint, Source, short};
use std::collections::BTreeSet;

/// Words for a mean.
const MEANS: [&str; 4] = ["mu", "mean", "loc", "means"];

const LOG_STD: SigmaRule = SigmaRule::LogStd { add: 0.0 };

/// Words for what is stored of a standard deviation, and what they say.
const WORDS: [(&str, SigmaRule); 25] = [
    ("sigma", SigmaRule::Std),
    ("std", SigmaRule::Std),
    ("stddev", SigmaRule::Std),
    ("scale", SigmaRule::Std),
    ("sd", SigmaRule::Std),
    ("sigmas", SigmaRule::Std),
    ("var", SigmaRule::Variance),
    ("variance", SigmaRule::Variance),
    ("sigma2", SigmaRule::Variance),
    ("rho", SigmaRule::Softplus { add: 0.0 }),
    ("p", SigmaRule::Softplus { add: 0.0 }),
    ("logvar", SigmaRule::LogVariance),
    ("log_var", SigmaRule::LogVariance),
    ("logvariance", SigmaRule::LogVariance),
    ("log_variance", SigmaRule::LogVariance),
    ("log_sigma2", SigmaRule::LogVariance),
    ("logsigma", LOG_STD),
    ("log_sigma", LOG_STD),
    ("logstd", LOG_STD),
    ("log_std", LOG_STD),
    ("logscale", LOG_STD),
    ("log_scale", LOG_STD),
    ("prec", SigmaRule::Precision),
    ("precision", SigmaRule::Precision),
    ("log_precision", SigmaRule::LogPrecision),
];

/// What parts of a layer are called.
const PARTS: [&str; 6] = ["weight", "weights", "kernel", "bias", "w", "b"];

/// The layers of such a file; `None` where it has no such names.
///
/// # Errors
/// A standard deviation that its word does not explain; biases of no layer.
pub(super) fn recognise(source: &Source<'_>, told: &Told) -> Result<Option<Found>, String> {
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    let mut readings = BTreeSet::new();
    for &(name, array) in &source.tensors {
        let Some((other, word, rule)) = pair(source, name) else { continue };
        let Some(raw) = source.get(&other).filter(|raw| raw.shape == array.shape) else { continue };
        let rule = match (told.sigma, source.constraints.get(other.as_str())) {
            (Some(told), _) => told,
            (None, Some(Constraint::Positive(rule))) => *rule,
            (None, None) if rule != SigmaRule::Std || raw.values.iter().all(|&x| x >= 0.0) => rule,
            (None, None) => {
                return Err(format!(
                    "{other} is called {word} and holds numbers below 0: say with --sigma how it is stored (softplus and \
                     log-std are usual)"
                ));
            }
            (None, Some(_)) => {
                return Err(format!(
                    "the file keeps {other} as it is learned, without a constraint, and not by which function it becomes a \
                     standard deviation: say it with --sigma (softplus and log-std are usual)"
                ));
            }
        };
        readings.insert(format!("{rule} of {word}"));
        let sigma = FoundSigma::Stored { raw: raw.values.clone(), rule, source: other };
        let (shape, mu) = (array.shape.clone(), array.values.clone());
        let tensor = FoundTensor { shape, mu, sigma, source: name.to_owned(), prior: None };
        let into = if array.shape.len() > 1 { &mut weights } else { &mut biases };
        into.push((layer(name), tensor));
    }
    if weights.is_empty() {
        return Ok(None);
    }
    let mut layers = Vec::with_capacity(weights.len());
    for (name, weight) in weights {
        let is_of = |(layer, bias): &(String, FoundTensor)| {
            *layer == name && weight.shape.iter().any(|size| *size == bias.shape.iter().product::<usize>())
        };
        let bias = biases.iter().position(is_of).map(|at| biases.remove(at).1);
        layers.push(FoundLayer::new(name, weight, bias));
    }
    if let Some((_, bias)) = biases.first() {
        return Err(format!(
            "{} {:?} is called as a mean and is the bias of no layer found ({}); say which tensors are which with --map",
            bias.source,
            bias.shape,
            short(layers.iter().map(|l| l.weight.source.as_str()))
        ));
    }
    let readings: Vec<String> = readings.into_iter().collect();
    let mut found = Found::new(Family::Arrays, layers);
    found.warnings.push(format!(
        "the file is of no library that is known: its names are taken by their words, sigma as {}; compare with --elbo, or say \
         another rule with --sigma",
        readings.join(", ")
    ));
    Ok(Some(found))
}

/// The tensor of standard deviations beside one of means: its name, its word and what that says.
fn pair(source: &Source<'_>, name: &str) -> Option<(String, &'static str, SigmaRule)> {
    for mean in MEANS {
        for (start, end) in words(name, mean) {
            let with = |word: &str| format!("{}{word}{}", &name[..start], &name[end..]);
            let found = WORDS.into_iter().find(|(word, _)| source.get(&with(word)).is_some());
            let upper = || WORDS.into_iter().find(|(word, _)| source.get(&with(&word.to_uppercase())).is_some());
            if let Some((word, rule)) = found {
                return Some((with(word), word, rule));
            }
            if let Some((word, rule)) = upper() {
                return Some((with(&word.to_uppercase()), word, rule));
            }
        }
    }
    None
}

/// Where a word stands in a name, between its ends and what is neither letter nor digit.
fn words<'a>(name: &'a str, word: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let lower = name.to_ascii_lowercase();
    let all: Vec<usize> = lower.match_indices(word).map(|(at, _)| at).collect();
    all.into_iter()
        .map(|at| (at, at + word.len()))
        .filter(move |&(start, end)| is_edge(name[..start].chars().next_back()) && is_edge(name[end..].chars().next()))
}

/// The layer of a tensor of means: its name without the words for a mean and for a part.
fn layer(name: &str) -> String {
    let cut = |c: char| !c.is_alphanumeric();
    let kept: Vec<String> = name
        .split(cut)
        .filter(|word| {
            let lower = word.to_ascii_lowercase();
            !lower.is_empty() && !MEANS.contains(&lower.as_str()) && !PARTS.contains(&lower.as_str())
        })
        .map(|word| match word.strip_suffix(['w', 'b', 'W', 'B']) {
            // fc1w, fc1b
            Some(stem) if stem.ends_with(|c: char| c.is_ascii_digit()) || stem == "out" => stem.to_owned(),
            _ => word.to_owned(),
        })
        .collect();
    // w1 and b1
    let bare = |word: &String| {
        let digits = word.strip_prefix(['w', 'b', 'W', 'B']).filter(|rest| !rest.is_empty());
        digits.filter(|rest| rest.bytes().all(|b| b.is_ascii_digit())).map(|rest| format!("layer{rest}"))
    };
    let joined = kept.iter().map(|word| bare(word).unwrap_or_else(|| word.clone())).collect::<Vec<_>>().join(".");
    if joined.is_empty() { place(name).0.to_owned() } else { joined }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_into_a_layer_and_the_rest() {
        for (weight, bias, name) in [
            ("conv1.weight_mean", "conv1.bias_mean", "conv1"),
            ("net.0.W_mu", "net.0.b_mu", "net.0"),
            ("fc1w_mu", "fc1b_mu", "fc1"),
            ("outw_mu", "outb_mu", "out"),
            ("w2.mu", "b2.mu", "layer2"),
            ("mu_w3", "mu_b3", "layer3"),
            ("enc/dense/kernel_loc", "enc/dense/bias_loc", "enc.dense"),
        ] {
            assert_eq!((layer(weight), layer(bias)), (name.to_owned(), name.to_owned()));
        }
        assert_eq!(words("mult.mu_w.mu", "mu").collect::<Vec<_>>(), [(5, 7), (10, 12)]);
    }

    #[test]
    fn a_word_stands_once() {
        for (index, (word, _)) in WORDS.iter().enumerate() {
            assert!(WORDS[..index].iter().all(|(other, _)| other != word), "{word}");
        }
    }
}

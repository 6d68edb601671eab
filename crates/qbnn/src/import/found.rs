//! What was found in a file: layers with means and standard deviations, in the file's own layout and order.

use super::family::Family;
use super::layout::{Layout, permuted};
use super::rules::SigmaRule;
use crate::neutral::Description;

/// Means and standard deviations of a weight or of biases.
#[derive(Clone, Debug)]
pub struct FoundTensor {
    /// Sizes.
    pub shape: Vec<usize>,
    /// Means.
    pub mu: Vec<f64>,
    /// Standard deviations.
    pub sigma: FoundSigma,
    /// The name of the means in the file.
    pub source: String,
    /// Standard deviations of the prior, where the file has them: one for each number, or one for all.
    pub prior: Option<Vec<f64>>,
}

/// Standard deviations, and where they come from.
#[derive(Clone, Debug)]
pub enum FoundSigma {
    /// By a rule from what a tensor of the file stores.
    Stored {
        /// As many numbers as means.
        raw: Vec<f64>,
        /// The rule.
        rule: SigmaRule,
        /// The tensor's name.
        source: String,
    },
    /// Computed from several tensors or numbers of the file.
    Computed {
        /// Standard deviations.
        sigma: Vec<f64>,
        /// The formula.
        formula: String,
    },
    /// None: the library learns a value.
    Deterministic,
}

impl FoundSigma {
    /// The standard deviations; `None` where there are none.
    #[must_use]
    pub fn values(&self) -> Option<Vec<f64>> {
        match self {
            FoundSigma::Stored { raw, rule, .. } => Some(raw.iter().map(|&x| rule.sigma(x)).collect()),
            FoundSigma::Computed { sigma, .. } => Some(sigma.clone()),
            FoundSigma::Deterministic => None,
        }
    }

    /// In words: which tensor, by which rule.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            FoundSigma::Stored { rule, source, .. } => format!("{rule} of {source}"),
            FoundSigma::Computed { formula, .. } => formula.clone(),
            FoundSigma::Deterministic => "none".to_owned(),
        }
    }
}

/// A linear layer of the file.
#[derive(Clone, Debug)]
pub struct FoundLayer {
    /// Its name there.
    pub name: String,
    /// Weights.
    pub weight: FoundTensor,
    /// Biases.
    pub bias: Option<FoundTensor>,
    /// Batch normalisation of what it gives.
    pub behind: Option<BatchNorm>,
    /// Batch normalisation of what it reads.
    pub before: Option<BatchNorm>,
}

impl FoundLayer {
    /// A layer without batch normalisation.
    pub(super) fn new(name: String, weight: FoundTensor, bias: Option<FoundTensor>) -> Self {
        FoundLayer { name, weight, bias, behind: None, before: None }
    }
}

/// A batch normalisation with fixed statistics: y = `scale` (x - `mean`) / sqrt(`variance` + epsilon) + `offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Its name in the file.
    pub name: String,
    /// gamma, of each channel.
    pub scale: Vec<f64>,
    /// beta.
    pub offset: Vec<f64>,
    /// Running means.
    pub mean: Vec<f64>,
    /// Running variances.
    pub variance: Vec<f64>,
    /// What is added to a variance, unless another is told.
    pub epsilon: f64,
}

impl BatchNorm {
    /// Its channels in another order, if there are as many.
    pub(super) fn permuted(&self, order: &[usize]) -> Self {
        let of = |values: &[f64]| if values.len() == order.len() { permuted(values, order) } else { values.to_vec() };
        BatchNorm {
            name: self.name.clone(),
            scale: of(&self.scale),
            offset: of(&self.offset),
            mean: of(&self.mean),
            variance: of(&self.variance),
            epsilon: self.epsilon,
        }
    }
}

/// A batch normalisation of a file that no layer has taken yet.
#[derive(Clone, Debug)]
pub struct FoundNorm {
    /// The normalisation.
    pub norm: BatchNorm,
    /// How many of the layers stand before it in the file.
    pub after: usize,
}

/// Everything that a file says of a posterior.
#[derive(Clone, Debug)]
pub struct Found {
    /// What wrote it.
    pub family: Family,
    /// In which layout.
    pub layout: Layout,
    /// Linear layers, in the order of the file.
    pub layers: Vec<FoundLayer>,
    /// Whether that is the order of their names and perhaps not that in which they run.
    pub sorted: bool,
    /// Batch normalisations, in the order of the file, until each has its layer.
    pub norms: Vec<FoundNorm>,
    /// The standard deviation of the prior, where the file has it.
    pub prior_sigma: Option<f64>,
    /// What a file of the neutral form says of itself.
    pub described: Option<Description>,
    /// What a person should know, each in a sentence.
    pub warnings: Vec<String>,
    /// What was done that goes without saying, each in a sentence.
    pub notes: Vec<String>,
}

impl Found {
    /// Layers of a library in its layout, and nothing else yet.
    pub(super) fn new(family: Family, layers: Vec<FoundLayer>) -> Self {
        Found {
            family,
            layout: family.layout(),
            layers,
            sorted: false,
            norms: Vec::new(),
            prior_sigma: None,
            described: None,
            warnings: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The tensors, with their layers' names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &FoundTensor)> {
        self.layers.iter().flat_map(|layer| {
            let of = |tensor| (layer.name.as_str(), tensor);
            std::iter::once(of(&layer.weight)).chain(layer.bias.as_ref().map(of))
        })
    }

    /// Reads all stored standard deviations by another rule.
    pub fn with_rule(&mut self, other: SigmaRule) {
        for layer in &mut self.layers {
            for tensor in std::iter::once(&mut layer.weight).chain(&mut layer.bias) {
                if let FoundSigma::Stored { rule, .. } = &mut tensor.sigma {
                    *rule = other;
                }
            }
        }
    }
}

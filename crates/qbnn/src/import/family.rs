//! The libraries whose files are read: under which names each stores means and standard deviations, by which rule a
//! standard deviation is stored, in which layout a weight.
//!
//! The table is `FORMS`. What has no names of its own (a flat vector, or a dictionary of an optimizer) is read in
//! `flat`.

use super::layout::Layout;
use super::rules::SigmaRule;
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The single precision epsilon that TFP adds to a softplus.
const EPSILON: f64 = f32::EPSILON as f64;

/// A library, or a way of storing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Pyro: `AutoNormal`, as a parameter store or a `state_dict`.
    Pyro,
    /// TyXe: its own `AutoNormal`.
    Tyxe,
    /// Bayesian-Torch: reparameterization and flipout layers.
    BayesianTorch,
    /// torchbnn.
    Torchbnn,
    /// BLiTZ.
    Blitz,
    /// torch-uncertainty.
    TorchUncertainty,
    /// IVON (ivon-opt): a model and the state of its optimizer.
    Ivon,
    /// SWAG with a diagonal covariance: means and means of squares.
    Swag,
    /// laplace-torch: `DiagLaplace`.
    Laplace,
    /// numpyro: `AutoNormal` over a Flax module.
    Numpyro,
    /// TensorFlow Probability: reparameterization and flipout layers.
    Tfp,
    /// The neutral form that `qbnn export` writes.
    Arrays,
}

impl Family {
    /// Every family.
    pub const ALL: [Family; 12] = [
        Family::Pyro,
        Family::Tyxe,
        Family::BayesianTorch,
        Family::Torchbnn,
        Family::Blitz,
        Family::TorchUncertainty,
        Family::Ivon,
        Family::Swag,
        Family::Laplace,
        Family::Numpyro,
        Family::Tfp,
        Family::Arrays,
    ];

    /// Its name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Pyro => "pyro",
            Family::Tyxe => "tyxe",
            Family::BayesianTorch => "bayesian-torch",
            Family::Torchbnn => "torchbnn",
            Family::Blitz => "blitz",
            Family::TorchUncertainty => "torch-uncertainty",
            Family::Ivon => "ivon",
            Family::Swag => "swag",
            Family::Laplace => "laplace",
            Family::Numpyro => "numpyro",
            Family::Tfp => "tfp",
            Family::Arrays => "arrays",
        }
    }

    /// How it lays out weights.
    #[must_use]
    pub fn layout(self) -> Layout {
        if matches!(self, Family::Numpyro | Family::Tfp) { Layout::Jax } else { Layout::Torch }
    }

    /// Whether its posterior is the optimum of an ELBO, so that the ELBO of another reading of sigma must be worse.
    #[must_use]
    pub fn maximises_elbo(self) -> bool {
        !matches!(self, Family::Swag | Family::Laplace)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|family| family.name() == text);
        found.ok_or_else(|| format!("wanted one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl Serialize for Family {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What says by which rule a standard deviation is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    /// The library's code.
    Rule(SigmaRule),
    /// The file: it names the constraint of each parameter.
    Constraint,
    /// Nothing in the file. With the family named by `--from`, this is what its classes do by default.
    Default(SigmaRule),
    /// A standard deviation, or, where some are below 0, what the name hides.
    OrNegative(SigmaRule),
}

/// Names of one kind of tensor. `*` stands for the name of the layer; what comes before the text in front of it is the name
/// of a guide and is passed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub family: Family,
    pub is_bias: bool,
    pub mu: &'static str,
    /// The first that is there counts.
    pub sigma: &'static [&'static str],
    pub reading: Reading,
}

const fn weight(family: Family, mu: &'static str, sigma: &'static [&'static str], reading: Reading) -> Form {
    Form { family, is_bias: false, mu, sigma, reading }
}

const fn bias(family: Family, mu: &'static str, sigma: &'static [&'static str], reading: Reading) -> Form {
    Form { family, is_bias: true, mu, sigma, reading }
}

const LOG_STD: Reading = Reading::Rule(SigmaRule::LogStd { add: 0.0 });
const SOFTPLUS: Reading = Reading::Rule(SigmaRule::Softplus { add: 0.0 });
const STD: Reading = Reading::Rule(SigmaRule::Std);
const USUAL_SOFTPLUS: Reading = Reading::Default(SigmaRule::Softplus { add: 0.0 });
const USUAL_LOG_STD: Reading = Reading::Default(SigmaRule::LogStd { add: 0.0 });
const FLAX: Reading = Reading::OrNegative(SigmaRule::Softplus { add: 0.0 });
const TFP: Reading = Reading::Rule(SigmaRule::Softplus { add: EPSILON });

/// Every form. Sources: Pyro 1.9 (`infer/autoguide/guides.py`), TyXe 0.0.2 (`guides.py`), Bayesian-Torch 0.5
/// (`layers/variational_layers`), torchbnn 1.2 (`modules`), BLiTZ 0.2.8 (`modules`), torch-uncertainty 0.13
/// (`layers/bayesian`), wjmaddox/swa_gaussian (`posteriors/swag.py`), numpyro 0.22 (`infer/autoguide.py`), TFP 0.25
/// (`layers/dense_variational.py`).
pub(super) const FORMS: [Form; 26] = [
    weight(Family::Pyro, "locs.*.weight", &["scales.*.weight"], Reading::Constraint),
    bias(Family::Pyro, "locs.*.bias", &["scales.*.bias"], Reading::Constraint),
    weight(Family::Pyro, "locs.*.weight_unconstrained", &["scales.*.weight_unconstrained"], USUAL_SOFTPLUS),
    bias(Family::Pyro, "locs.*.bias_unconstrained", &["scales.*.bias_unconstrained"], USUAL_SOFTPLUS),
    weight(Family::Tyxe, "*.weight.loc", &["*.weight.scale"], Reading::Constraint),
    bias(Family::Tyxe, "*.bias.loc", &["*.bias.scale"], Reading::Constraint),
    weight(Family::Tyxe, "*.weight.loc_unconstrained", &["*.weight.scale_unconstrained"], USUAL_LOG_STD),
    bias(Family::Tyxe, "*.bias.loc_unconstrained", &["*.bias.scale_unconstrained"], USUAL_LOG_STD),
    weight(Family::BayesianTorch, "*.mu_kernel", &["*.rho_kernel"], SOFTPLUS),
    weight(Family::BayesianTorch, "*.mu_weight", &["*.rho_weight"], SOFTPLUS),
    bias(Family::BayesianTorch, "*.mu_bias", &["*.rho_bias"], SOFTPLUS),
    weight(Family::Torchbnn, "*.weight_mu", &["*.weight_log_sigma"], LOG_STD),
    bias(Family::Torchbnn, "*.bias_mu", &["*.bias_log_sigma"], LOG_STD),
    weight(Family::Blitz, "*.weight_mu", &["*.weight_rho"], SOFTPLUS),
    bias(Family::Blitz, "*.bias_mu", &["*.bias_rho"], SOFTPLUS),
    // Its `sigma` is rho.
    weight(Family::TorchUncertainty, "*.weight_mu", &["*.weight_sigma"], SOFTPLUS),
    bias(Family::TorchUncertainty, "*.bias_mu", &["*.bias_sigma"], SOFTPLUS),
    weight(Family::Numpyro, "*.kernel_auto_loc", &["*.kernel_auto_scale"], FLAX),
    bias(Family::Numpyro, "*.bias_auto_loc", &["*.bias_auto_scale"], FLAX),
    weight(Family::Tfp, "*/kernel_posterior_loc:0", &["*/kernel_posterior_untransformed_scale:0"], TFP),
    bias(Family::Tfp, "*/bias_posterior_loc:0", &["*/bias_posterior_untransformed_scale:0"], TFP),
    weight(Family::Tfp, "*/kernel_posterior_loc", &["*/kernel_posterior_untransformed_scale"], TFP),
    bias(Family::Tfp, "*/bias_posterior_loc", &["*/bias_posterior_untransformed_scale"], TFP),
    weight(Family::Arrays, "*.weight.mu", &["*.weight.sigma"], STD),
    bias(Family::Arrays, "*.bias.mu", &["*.bias.sigma"], STD),
    weight(Family::Arrays, "*.kernel.mu", &["*.kernel.sigma"], STD),
];

/// Ends of names of tensors that a library stores and does not draw from: doubles, frozen or uninitialised noise, priors,
/// counters.
pub(super) const UNUSED: [&str; 22] = [
    ".num_batches_tracked",
    ".weight_sampler.mu",
    ".weight_sampler.rho",
    ".weight_sampler.eps_w",
    ".bias_sampler.mu",
    ".bias_sampler.rho",
    ".bias_sampler.eps_w",
    ".weight_prior_dist.pi",
    ".weight_prior_dist.mus",
    ".weight_prior_dist.sigmas",
    ".bias_prior_dist.pi",
    ".bias_prior_dist.mus",
    ".bias_prior_dist.sigmas",
    ".weight_eps",
    ".bias_eps",
    ".eps_weight",
    ".eps_kernel",
    ".eps_bias",
    ".prior_weight_mu",
    ".prior_weight_sigma",
    ".prior_bias_mu",
    ".prior_bias_sigma",
];

/// Tensors that a library stores twice: the end of the second name, and that of the first.
pub(super) const DOUBLES: [(&str, &[&str]); 4] = [
    (".weight_sampler.mu", &[".weight_mu"]),
    (".weight_sampler.rho", &[".weight_rho", ".weight_sigma"]),
    (".bias_sampler.mu", &[".bias_mu"]),
    (".bias_sampler.rho", &[".bias_rho", ".bias_sigma"]),
];

impl Form {
    /// The layer of a tensor of means, if its name has this form.
    pub(super) fn layer<'a>(&self, name: &'a str) -> Option<Named<'a>> {
        let (before, after) = self.mu.split_once('*')?;
        let rest = name.strip_suffix(after)?;
        let start = match before {
            "" => 0,
            // At the beginning, or behind the name of a guide.
            _ if rest.starts_with(before) => before.len(),
            _ => rest.find(&format!(".{before}"))? + 1 + before.len(),
        };
        let (layer, guide) = (&rest[start..], &rest[..start - before.len()]);
        (!layer.is_empty()).then_some(Named { guide, layer })
    }
}

/// A name in parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Named<'a> {
    /// What stands before the text in front of `*`.
    pub guide: &'a str,
    /// What `*` stands for.
    pub layer: &'a str,
}

impl Named<'_> {
    /// The name of another tensor of the same layer.
    pub(super) fn other(&self, form: &str) -> String {
        format!("{}{}", self.guide, form.replacen('*', self.layer, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together() {
        let of = |family: Family, name: &'static str| {
            let form = FORMS.into_iter().find(|f| f.family == family && f.layer(name).is_some())?;
            let named = form.layer(name)?;
            Some((named.layer, named.other(form.sigma[0]), form.is_bias))
        };
        let is = |layer: &'static str, sigma: &str, is_bias| Some((layer, sigma.to_owned(), is_bias));
        let pyro = of(Family::Pyro, "AutoNormal.locs.net.0.weight");
        assert_eq!(pyro, is("net.0", "AutoNormal.scales.net.0.weight", false));
        let state = of(Family::Pyro, "locs.fc.bias_unconstrained");
        assert_eq!(state, is("fc", "scales.fc.bias_unconstrained", true));
        let tyxe = of(Family::Tyxe, "net_guide.net.conv.weight.loc");
        assert_eq!(tyxe, is("net_guide.net.conv", "net_guide.net.conv.weight.scale", false));
        let tfp = of(Family::Tfp, "conv/bias_posterior_loc:0");
        assert_eq!(tfp, is("conv", "conv/bias_posterior_untransformed_scale:0", true));
        assert_eq!(of(Family::Pyro, "relocs.fc.weight"), None);
        assert_eq!(of(Family::Torchbnn, ".weight_mu"), None);
    }

    #[test]
    fn families_are_read_as_they_are_shown() {
        for family in Family::ALL {
            assert_eq!(family.to_string().parse(), Ok(family));
        }
        assert!("tensorflow".parse::<Family>().unwrap_err().contains("tfp"));
    }
}

//! The posterior: what is learned of every weight and bias, how it is drawn, what its divergence from the prior is.
//!
//! Each kind is a file with its type, which owns its parameters, draw, gradient and KL (the trait [`Family`]), and its
//! line in the list below. Whatever trains, stores or quantizes a posterior asks its [`Properties`], not its name.

mod family;
mod fused;

pub(crate) use dropout::kept;
pub use family::PosteriorSettings;
pub(crate) use family::{Family, Properties};

use crate::nn::Network;
use serde::{Deserialize, Serialize};

/// Builds [`Posterior`] and [`PosteriorKind`] of a list of modules. A module has a type of the kind's name that implements
/// [`Family`], `PROPERTIES`, and `initial` of (network, key, settings).
macro_rules! posteriors {
    ($($(#[$doc:meta])* $name:ident in $module:ident),+ $(,)?) => {
        $(mod $module;)+
        $(pub use $module::$name;)+

        /// What is learned of every weight and bias, flat over all tensors of a network.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Posterior {
            $($(#[$doc])* $name($name)),+
        }

        /// What is learned of every weight.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum PosteriorKind {
            $($(#[$doc])* $name),+
        }

        impl PosteriorKind {
            /// Every kind.
            pub const ALL: &'static [PosteriorKind] = &[$(PosteriorKind::$name),+];

            /// What is true of every posterior of this kind.
            pub(crate) fn properties(self) -> &'static Properties {
                match self {
                    $(PosteriorKind::$name => &$module::PROPERTIES),+
                }
            }
        }

        impl Posterior {
            /// A posterior of a kind, as training begins.
            pub fn initial(kind: PosteriorKind, net: &Network, key: [u32; 2], settings: PosteriorSettings) -> Self {
                match kind {
                    $(PosteriorKind::$name => Posterior::$name($module::initial(net, key, settings))),+
                }
            }

            /// Its kind.
            pub fn kind(&self) -> PosteriorKind {
                match self {
                    $(Posterior::$name(_) => PosteriorKind::$name),+
                }
            }

            pub(crate) fn family(&self) -> &dyn Family {
                match self {
                    $(Posterior::$name(posterior) => posterior),+
                }
            }

            pub(crate) fn family_mut(&mut self) -> &mut dyn Family {
                match self {
                    $(Posterior::$name(posterior) => posterior),+
                }
            }
        }
    };
}

posteriors! {
    /// A mean and a standard deviation.
    Gaussian in gaussian,
    /// A value: the deterministic network that related work compares with. The KL's weight is that of its prior (MAP).
    Point in point,
    /// A value, each draw with some units dropped: MC dropout (Gal, Ghahramani 2016).
    Dropout in dropout,
}

impl PosteriorKind {
    /// Its name, as settings have it.
    pub fn name(self) -> &'static str {
        self.properties().name
    }
}

impl Posterior {
    /// Means of every parameter.
    pub fn mu(&self) -> &[f32] {
        self.family().mu()
    }

    /// ln(sigma) of every parameter; `None` where no standard deviation is learned.
    pub fn log_sigma(&self) -> Option<&[f32]> {
        self.family().log_sigma()
    }

    /// The standard deviations: zeros where none is learned.
    pub fn sigma(&self) -> Vec<f32> {
        let mut sigma = Vec::new();
        self.family().sigma_into(&mut sigma);
        sigma
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_by_the_name_that_errors_call_it() {
        for kind in PosteriorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}

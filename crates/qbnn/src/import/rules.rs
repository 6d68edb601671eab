//! From what a file stores of a standard deviation to the standard deviation.
//!
//! Libraries store it as it is, as a variance, as a logarithm of either, through a softplus, or as a precision. All is
//! computed in double precision. Each library's rule is in [`super::family`]; the formulas were checked against the weights
//! that each library draws.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// How a standard deviation is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SigmaRule {
    /// As it is.
    Std,
    /// sigma = sqrt(x).
    Variance,
    /// sigma = `add` + exp(x): Pyro's `positive` and `greater_than` constraints, TyXe, torchbnn.
    LogStd {
        /// A lower bound.
        add: f64,
    },
    /// sigma = exp(x / 2).
    LogVariance,
    /// sigma = `add` + ln(1 + e^x): Pyro's `softplus_positive`, Bayesian-Torch, BLiTZ, torch-uncertainty, TFP.
    Softplus {
        /// A lower bound, or a small number against zeros.
        add: f64,
    },
    /// sigma = sqrt(ln(1 + e^x)).
    SoftplusVariance,
    /// sigma = `low` + (`high` - `low`) / (1 + e^-x): Pyro's `interval` constraint, TyXe with `max_guide_scale`.
    Interval {
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
    },
    /// sigma = 1 / sqrt(x).
    Precision,
    /// sigma = exp(-x / 2).
    LogPrecision,
}

impl SigmaRule {
    /// The rules that a person can name.
    pub const ALL: [(&'static str, SigmaRule); 8] = [
        ("std", SigmaRule::Std),
        ("variance", SigmaRule::Variance),
        ("log-std", SigmaRule::LogStd { add: 0.0 }),
        ("log-variance", SigmaRule::LogVariance),
        ("softplus", SigmaRule::Softplus { add: 0.0 }),
        ("softplus-variance", SigmaRule::SoftplusVariance),
        ("precision", SigmaRule::Precision),
        ("log-precision", SigmaRule::LogPrecision),
    ];

    /// The standard deviation that a stored number stands for; what is stored wrongly becomes NaN, an infinity or a number
    /// below 0.
    #[must_use]
    pub fn sigma(self, x: f64) -> f64 {
        match self {
            SigmaRule::Std => x,
            SigmaRule::Variance => x.sqrt(),
            SigmaRule::LogStd { add } => add + x.exp(),
            SigmaRule::LogVariance => (x / 2.0).exp(),
            SigmaRule::Softplus { add } => add + softplus(x),
            SigmaRule::SoftplusVariance => softplus(x).sqrt(),
            SigmaRule::Interval { low, high } => low + (high - low) / (1.0 + (-x).exp()),
            SigmaRule::Precision => 1.0 / x.sqrt(),
            SigmaRule::LogPrecision => (-x / 2.0).exp(),
        }
    }
}

/// ln(1 + e^x), without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

impl fmt::Display for SigmaRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let above = |f: &mut fmt::Formatter<'_>, name: &str, add: f64| match add {
            0.0 => f.write_str(name),
            add => write!(f, "{name} + {add:e}"),
        };
        match *self {
            SigmaRule::LogStd { add } => above(f, "log-std", add),
            SigmaRule::Softplus { add } => above(f, "softplus", add),
            SigmaRule::Interval { low, high } => write!(f, "interval {low} to {high}"),
            other => {
                let named = Self::ALL.into_iter().find(|named| named.1 == other);
                f.write_str(named.map_or("other", |named| named.0))
            }
        }
    }
}

impl FromStr for SigmaRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|named| named.0 == text);
        let names = || Self::ALL.map(|named| named.0).join(", ");
        named.map(|named| named.1).ok_or_else(|| format!("wanted one of {}", names()))
    }
}

impl Serialize for SigmaRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_gives_the_sigma_that_was_stored_by_it() {
        let near = |rule: SigmaRule, x: f64, sigma: f64| {
            assert!((rule.sigma(x) / sigma - 1.0).abs() < 1e-12, "{rule}: {} and {sigma}", rule.sigma(x));
        };
        for sigma in [1e-6f64, 0.02, 1.0, 30.0] {
            near(SigmaRule::Std, sigma, sigma);
            near(SigmaRule::Variance, sigma * sigma, sigma);
            near(SigmaRule::LogStd { add: 0.0 }, sigma.ln(), sigma);
            near(SigmaRule::LogVariance, (sigma * sigma).ln(), sigma);
            near(SigmaRule::Softplus { add: 0.0 }, sigma + (-(-sigma).exp_m1()).ln(), sigma);
            near(SigmaRule::Precision, 1.0 / (sigma * sigma), sigma);
            near(SigmaRule::LogPrecision, -(sigma * sigma).ln(), sigma);
        }
        near(SigmaRule::Interval { low: 0.0, high: 0.1 }, 0.0, 0.05);
        // Without overflow.
        near(SigmaRule::Softplus { add: 0.0 }, 800.0, 800.0);
        assert!(SigmaRule::Precision.sigma(-1.0).is_nan());
    }

    #[test]
    fn names_are_read_as_they_are_shown() {
        for (name, rule) in SigmaRule::ALL {
            assert_eq!((name.parse(), rule.to_string()), (Ok(rule), name.to_owned()));
        }
        assert!("sigma".parse::<SigmaRule>().unwrap_err().contains("log-variance"));
        assert_eq!(SigmaRule::Softplus { add: 1e-7 }.to_string(), "softplus + 1e-7");
    }
}

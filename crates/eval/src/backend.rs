//! What computed the predictions that were measured.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What computed a model's predictions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Backend {
    /// The integer runtime, as a device computes.
    Integer {
        /// Its kernel, where that is known. Results do not depend on it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kernel: Option<String>,
    },
    /// A simulation in float of what the integer runtime would compute.
    Simulated {
        /// Why the integer runtime does not run the model.
        why: String,
    },
    /// Draws in float.
    Float,
    /// One analytic pass (PFP) in float.
    Analytic {
        /// Whose moments its weights have: `stored` or `drawn`.
        weights: String,
    },
    /// Several networks that predict together.
    Ensemble {
        /// That of each.
        members: Vec<Backend>,
    },
}

impl Backend {
    /// In a word or two, as tables have it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Backend::Integer { .. } => "integer".to_owned(),
            Backend::Simulated { .. } => "simulated".to_owned(),
            Backend::Float => "float".to_owned(),
            Backend::Analytic { weights } => format!("analytic ({weights})"),
            Backend::Ensemble { members } => {
                let mut names: Vec<String> = members.iter().map(Backend::name).collect();
                names.dedup();
                format!("ensemble of {} ({})", members.len(), names.join(", "))
            }
        }
    }

    /// Whether any of its figures are of a simulation.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        match self {
            Backend::Simulated { .. } => true,
            Backend::Ensemble { members } => members.iter().any(Backend::is_simulated),
            Backend::Integer { .. } | Backend::Float | Backend::Analytic { .. } => false,
        }
    }
}

/// In full, with kernel or reason.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Integer { kernel: Some(kernel) } => write!(f, "integer ({kernel})"),
            Backend::Simulated { why } => write!(f, "simulated ({why})"),
            other => f.write_str(&other.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_is_read_as_it_was_written_and_says_what_it_is() {
        let simulated = Backend::Simulated { why: "sigma_grid = uniform".into() };
        let all = [
            (Backend::Integer { kernel: Some("scalar".into()) }, "integer (scalar)", false),
            (Backend::Integer { kernel: None }, "integer", false),
            (simulated.clone(), "simulated (sigma_grid = uniform)", true),
            (Backend::Float, "float", false),
            (Backend::Analytic { weights: "drawn".into() }, "analytic (drawn)", false),
            (Backend::Ensemble { members: vec![Backend::Float, Backend::Float] }, "ensemble of 2 (float)", false),
            (Backend::Ensemble { members: vec![simulated] }, "ensemble of 1 (simulated)", true),
        ];
        for (backend, words, is_simulated) in all {
            assert_eq!((backend.to_string().as_str(), backend.is_simulated()), (words, is_simulated));
            let json = serde_json::to_string(&backend).unwrap();
            assert_eq!(serde_json::from_str::<Backend>(&json).unwrap(), backend, "{json}");
        }
    }
}

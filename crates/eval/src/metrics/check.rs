//! Whether `metrics.json` holds what every reader may rely on.

use super::{Metrics, SCHEMA_VERSION};
use crate::{EvalError, Headline};

impl Metrics {
    /// Checks a file that was read, or one that was built by hand and is about to be written.
    ///
    /// # Errors
    ///
    /// [`EvalError::SchemaVersion`] for another version, [`EvalError::MissingMetric`] for a model that lacks what every
    /// model has, [`EvalError::NotFinite`] for a number that JSON cannot hold
    /// (serde_json would write it as `null`, and no reader would accept it for a required field).
    pub fn check(&self) -> Result<(), EvalError> {
        if self.schema_version != SCHEMA_VERSION {
            return Err(EvalError::SchemaVersion { found: self.schema_version, wanted: SCHEMA_VERSION });
        }
        for model in &self.models {
            for (headline, value) in model.values.iter() {
                finite(*value, headline.name(), &model.name)?;
                finite(
                    model.interval(headline).into_iter().flatten(),
                    &format!("ci95.{}", headline.name()),
                    &model.name,
                )?;
            }
            for headline in [Headline::Accuracy, Headline::Nll, Headline::Brier, Headline::Ece] {
                if model.value(headline).is_none() {
                    return Err(EvalError::MissingMetric { metric: headline.name(), name: model.name.clone() });
                }
            }
            if let Some(calibrator) = &model.calibrator {
                let numbers = calibrator.rules.iter().map(|rule| rule.quantile);
                finite(numbers.chain([calibrator.temperature, calibrator.alpha]), "calibrator", &model.name)?;
            }
            let means = &model.mean_uncertainty;
            let further = model.groups.iter().map(|g| g.mean_uncertainty);
            for mean in [means.clean, means.ambiguous, means.ood].into_iter().flatten().chain(further) {
                finite([mean.total, mean.aleatoric], "mean_uncertainty", &model.name)?;
                finite(mean.epistemic, "mean_uncertainty", &model.name)?;
            }
            for group in &model.groups {
                for headline in Headline::ALL {
                    let field = |what: &str| format!("groups.{}{what}.{}", group.name, headline.name());
                    finite(*group.metrics.get(headline), &field(""), &model.name)?;
                    finite(group.ci95.get(headline).iter().flatten().copied(), &field(".ci95"), &model.name)?;
                }
            }
            for entry in &model.by_samples {
                for spread in Headline::ALL.into_iter().filter_map(|h| *entry.metrics.get(h)) {
                    finite([spread.mean, spread.low, spread.high], "by_samples", &model.name)?;
                }
            }
        }
        for entry in &self.differences {
            for headline in Headline::ALL {
                let Some(difference) = entry.metrics.get(headline) else { continue };
                finite([difference.value], headline.name(), &entry.name)?;
                finite(difference.ci95.into_iter().flatten(), headline.name(), &entry.name)?;
            }
        }
        Ok(())
    }
}

/// Every number is finite.
fn finite(numbers: impl IntoIterator<Item = f64>, field: &str, name: &str) -> Result<(), EvalError> {
    if numbers.into_iter().all(f64::is_finite) {
        Ok(())
    } else {
        Err(EvalError::NotFinite { field: field.to_owned(), name: name.to_owned() })
    }
}

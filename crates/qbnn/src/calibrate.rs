//! `calibrate`: measures what a finished model file is to decide, and stores it in the file.
//!
//! All is measured on the model as it is stored and run, so after quantization: a temperature (smallest NLL), conformal sets
//! (coverage 1 - alpha), an abstain threshold (a coverage, or an error among what is answered) and a threshold for unknown
//! inputs (a rate of false alarms). The images are those of validation, which no weight was trained on. The test images are
//! taken only where that is asked for, and are then no test any more. The network in the file stays as it is, byte for byte;
//! so does what it predicts.

use crate::decided::{Decided, Fared, decide, in_units, level, of_level, pass_of, temperature};
use crate::error::{At, Error, Result};
use crate::observer::{Event, Observer};
use crate::output::write_whole;
use crate::predict::{Model, Prediction};
use crate::preprocess::Prepared;
use crate::run_folder::classes_beside;
use crate::{ensemble, model_file};
use qbnn_bnn::pfp;
use qbnn_bnn::predictor::Draws;
use qbnn_core::ImagesView;
use qbnn_core::decide::{Decisions, Limit, ONE, Pass, SetRule};
use qbnn_core::fixed::OCTAVE;
use qbnn_core::model::NAME_LIMIT;
use qbnn_core::model::write_section::{Content, with_section};
use qbnn_data::Role;
use qbnn_eval::{
    ConformalRule, ConformalScore, Threshold, fewest_inputs, fit_temperature, threshold_for_coverage,
    threshold_for_error, threshold_for_false_alarms,
};
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::Path;

pub use qbnn_core::decide::{Aim, Doubt, SetScore};

/// Most logits that are held at once.
const LOGITS: usize = 1 << 22;

/// Which images are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// Those of validation.
    #[default]
    Validation,
    /// The first clean test group.
    Test,
}

/// What is to be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What the abstain threshold is chosen for.
    pub aim: Aim,
    /// The coverage or the error, between 0 and 1.
    pub abstain_level: f64,
    /// What the model abstains by.
    pub abstain_by: Doubt,
    /// Rate of known inputs that are called unknown.
    pub false_alarms: f64,
    /// What tells unknown inputs.
    pub ood_by: Doubt,
    /// Rate of sets without the right class.
    pub alpha: f64,
    /// The score of conformal sets.
    pub conformal: SetScore,
    /// The draws that are measured.
    pub draws: Draws,
    /// Analytic passes instead of draws.
    pub pfp: Option<pfp::Weights>,
    /// The images.
    pub part: Part,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            aim: Aim::Coverage,
            abstain_level: 0.95,
            abstain_by: Doubt::Confidence,
            false_alarms: 0.05,
            ood_by: Doubt::Epistemic,
            alpha: 0.1,
            conformal: SetScore::Lac,
            draws: Draws { count: 32, seed: 0 },
            pfp: None,
            part: Part::Validation,
        }
    }
}

/// What was measured, on the images that it was chosen on.
#[derive(Clone, Debug, Serialize)]
pub struct Calibrated {
    /// The dataset.
    pub data: String,
    /// `validation`, or the test group.
    pub part: String,
    /// Draws; 0 for an analytic pass.
    pub samples: u32,
    /// Their seed.
    pub seed: u64,
    /// Mean -ln p(label), nats.
    pub nll: f64,
    /// The temperature, as it is stored.
    pub temperature: f64,
    /// The NLL at the best temperature, nats.
    pub nll_at_temperature: f64,
    /// Whether these images fix no temperature: the best one lies beyond the range that is looked at.
    pub temperature_at_end: bool,
    /// The rule that is stored.
    pub rule: Rule,
    /// How the rule fares on the images that it was chosen on.
    pub fared: Fared,
    /// The rule in the units of the file.
    #[serde(skip)]
    pub decisions: Decisions,
}

/// Decisions in numbers for people.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// Score of conformal sets.
    pub conformal: &'static str,
    /// Rate of sets without the right class.
    pub alpha: f64,
    /// Largest score of a class of a set.
    pub quantile: f64,
    /// What the model abstains by.
    pub abstain_by: &'static str,
    /// `coverage` or `error`.
    pub abstain_for: &'static str,
    /// The coverage or the error.
    pub abstain_level: f64,
    /// Doubt above which it abstains: nats, or 1 - probability.
    pub abstain_above: f64,
    /// What tells unknown inputs.
    pub ood_by: &'static str,
    /// Rate of known inputs that are called unknown.
    pub false_alarms: f64,
    /// Doubt above which an input is unknown.
    pub ood_above: f64,
    /// Images that it was chosen on.
    pub images: u32,
}

impl Rule {
    /// Of decisions.
    pub fn of(decisions: &Decisions) -> Self {
        let value = |limit: &Limit| limit.threshold as f64 / (1u64 << limit.doubt.fraction_bits()) as f64;
        Rule {
            conformal: decisions.sets.score.name(),
            alpha: of_level(decisions.sets.alpha),
            quantile: decisions.sets.quantile as f64 / ONE as f64,
            abstain_by: decisions.abstain.doubt.name(),
            abstain_for: if decisions.aim == Aim::Coverage { "coverage" } else { "error" },
            abstain_level: of_level(decisions.abstain.level),
            abstain_above: value(&decisions.abstain),
            ood_by: decisions.ood.doubt.name(),
            false_alarms: of_level(decisions.ood.level),
            ood_above: value(&decisions.ood),
            images: decisions.images,
        }
    }
}

impl Settings {
    /// Refuses what no number of images could give, and what so few cannot.
    fn check(&self, images: usize) -> Result<()> {
        let coverage = if self.aim == Aim::Coverage { Some(("--coverage", self.abstain_level)) } else { None };
        let levels = [("--alpha", 1.0 - self.alpha), ("--false-alarms", 1.0 - self.false_alarms)];
        if self.aim == Aim::Error && !(self.abstain_level > 0.0 && self.abstain_level < 1.0) {
            return Err(out_of_range("--error", self.abstain_level));
        }
        for (key, level) in levels.into_iter().chain(coverage) {
            let given = if key == "--coverage" { level } else { 1.0 - level };
            // What the file cannot tell from 0 or 1 is not stored.
            let held = (1e-6..=1.0 - 1e-6).contains(&level);
            let wanted = fewest_inputs(level).filter(|_| held).ok_or_else(|| out_of_range(key, given))?;
            if images < wanted {
                let wanted = format!("it needs {wanted} images, {images} were found; give more images or ask for less");
                return Err(Error::Setting { key, found: format!("{given:.6}"), wanted });
            }
        }
        if self.pfp.is_none() && self.draws.count < 2 && [self.abstain_by, self.ood_by].contains(&Doubt::Epistemic) {
            let wanted = "one draw has no epistemic uncertainty; draw 2 or more, or choose another doubt".to_owned();
            return Err(Error::Setting { key: "--samples", found: self.draws.count.to_string(), wanted });
        }
        Ok(())
    }
}

fn out_of_range(key: &'static str, found: f64) -> Error {
    Error::Setting { key, found: found.to_string(), wanted: "wanted a number between 0 and 1, neither of them".into() }
}

/// Measures a model file on the data and gives what it is to decide. Nothing is written ([`store`] does).
///
/// # Errors
/// An ensemble; a model that reads other images or has other classes; settings out of range; too few images; an error that no
/// threshold reaches; [`Error::Stopped`].
pub fn measure(observer: &dyn Observer, path: &Path, data: &Prepared<'_>, settings: &Settings) -> Result<Calibrated> {
    if ensemble::is_one(path) {
        let problem = "is an ensemble, which has no model file of its own to hold decisions; calibrate its members";
        return Err(Error::contents(path, problem));
    }
    let mut model = Model::open(path, settings.pfp)?;
    data.check(path, model.input(), model.classes())?;
    let beside = classes_beside(path, model.classes())?;
    let own = if model.class_names().is_empty() { &beside } else { model.class_names() };
    model_file::same_names(path, own, data)?;
    let dataset = data.dataset;
    let (images, labels, part) = match settings.part {
        Part::Validation => (&dataset.validation.images, &dataset.validation.labels, "validation".to_owned()),
        Part::Test => {
            let clean = dataset.first(Role::Clean);
            let labelled = clean.and_then(|group| Some((&group.images, group.labels.as_ref()?, group.name.clone())));
            labelled.ok_or_else(|| Error::mismatch(path, format!("{} has no clean test group", dataset.name)))?
        }
    };
    settings.check(images.len())?;
    let labels: Vec<usize> = labels.iter().map(|&label| usize::from(label)).collect();
    let what = format!("{} on {part}", path.display());
    let predictions = predict_all(observer, &mut model, images.view(), settings.draws, &what)?;
    let found = choose(&predictions, &labels, settings)?;
    Ok(Calibrated { data: dataset.name.clone(), part, ..found })
}

/// Predictions of images, so many at a time that their draws fit into memory.
pub(crate) fn predict_all(
    observer: &dyn Observer,
    model: &mut Model,
    images: ImagesView<'_>,
    draws: Draws,
    what: &str,
) -> Result<Vec<Prediction>> {
    let together = (LOGITS / draws.count.saturating_mul(model.classes()).max(1)).clamp(1, 4096);
    let (n, one) = (images.len(), images.shape.len().max(1));
    let mut all = Vec::with_capacity(n);
    for pixels in images.pixels.chunks(together.saturating_mul(one)) {
        let before = all.len();
        let part = pixels.len() / one;
        let mut progress = |done: usize, of: usize| {
            let done = before + (part as u128 * done as u128 / of.max(1) as u128) as usize;
            observer.event(Event::Predicting { what, done, of: n });
            if observer.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let found = model.predict(ImagesView { shape: images.shape, pixels }, draws, &mut progress);
        if found.is_err() {
            observer.event(Event::PredictingEnded);
        }
        all.extend(found?);
    }
    observer.event(Event::PredictingEnded);
    Ok(all)
}

/// Chooses the rule from predictions of labelled images.
fn choose(predictions: &[Prediction], labels: &[usize], settings: &Settings) -> Result<Calibrated> {
    let units: Vec<_> = predictions.iter().map(in_units).collect();
    let classes = units.first().map_or(0, |u| u.0.len());
    // Integers of at most 33 bits: their quotients, sums and differences below are exact.
    let probs: Vec<f64> = units.iter().flat_map(|u| u.0.iter().map(|&p| p as f64 / ONE as f64)).collect();
    let fit = fit_temperature(&probs, classes, labels).at(|| "no temperature".to_owned())?;
    let log2 = (fit.temperature.log2() * f64::from(OCTAVE)).round() as i16;
    let score = match settings.conformal {
        SetScore::Lac => ConformalScore::Lac,
        SetScore::Aps => ConformalScore::Aps,
        SetScore::ApsRandomised => ConformalScore::ApsRandomised,
    };
    let rule =
        ConformalRule::fit(score, settings.alpha, &probs, classes, labels).at(|| "no conformal sets".to_owned())?;
    let doubts = |doubt: Doubt| units.iter().map(|(mean, u)| doubt.of(mean, u) as f64).collect::<Vec<f64>>();
    for (key, doubt) in [("--abstain-by", settings.abstain_by), ("--ood-by", settings.ood_by)] {
        let all = doubts(doubt);
        // A deterministic network has no epistemic uncertainty: a threshold on it would refuse nothing, and look like one.
        if all.iter().all(|value| *value == all[0]) {
            let wanted =
                "every image has the same value; it tells nothing of this model, choose another doubt".to_owned();
            return Err(Error::Setting { key, found: doubt.name().to_owned(), wanted });
        }
    }
    let wrong: Vec<bool> = predictions.iter().zip(labels).map(|(p, &label)| p.class != label).collect();
    let abstain: Threshold = match settings.aim {
        Aim::Coverage => threshold_for_coverage(&doubts(settings.abstain_by), settings.abstain_level),
        Aim::Error => threshold_for_error(&doubts(settings.abstain_by), &wrong, settings.abstain_level),
    }
    .at(|| "no abstain threshold".to_owned())?;
    let ood = threshold_for_false_alarms(&doubts(settings.ood_by), settings.false_alarms)
        .at(|| "no threshold for unknown inputs".to_owned())?;
    let limit =
        |doubt, threshold: Threshold, value| Limit { doubt, threshold: threshold.value as u64, level: level(value) };
    let pass = pass_of(settings.pfp);
    let drawn = pass == Pass::Draws;
    let decisions = Decisions {
        log2_temperature: log2,
        pass,
        samples: if drawn { u32::try_from(settings.draws.count).unwrap_or(u32::MAX) } else { 0 },
        seed: if drawn { settings.draws.seed } else { 0 },
        images: u32::try_from(labels.len()).unwrap_or(u32::MAX),
        sets: SetRule {
            score: settings.conformal,
            quantile: (rule.quantile * ONE as f64) as u64,
            alpha: level(settings.alpha),
        },
        abstain: limit(settings.abstain_by, abstain, settings.abstain_level),
        aim: settings.aim,
        ood: limit(settings.ood_by, ood, settings.false_alarms),
    };
    let decided: Vec<(usize, Option<Decided>)> =
        predictions.iter().map(|p| (p.class, Some(decide(&decisions, p)))).collect();
    Ok(Calibrated {
        data: String::new(),
        part: String::new(),
        samples: decisions.samples,
        seed: decisions.seed,
        nll: fit.nll_before,
        temperature: temperature(&decisions),
        nll_at_temperature: fit.nll_after,
        temperature_at_end: fit.at_end,
        rule: Rule::of(&decisions),
        fared: Fared::of(&decided, labels)?,
        decisions,
    })
}

/// Writes what was measured into a model file, in the place of what it decided before: as a whole or not at all. Names of the
/// classes go with it, where the file has none and they are more than their numbers.
///
/// # Errors
/// A file that cannot be read or written, or has no room for a section.
pub fn store(path: &Path, out: &Path, calibrated: &Calibrated, class_names: &[String]) -> Result<()> {
    rewrite(path, out, |content| {
        content.decisions = Some(calibrated.decisions);
        content.data_name = Some(calibrated.data.clone()).filter(|name| name.len() <= NAME_LIMIT);
        if content.class_names.is_empty() {
            content.class_names = worth_naming(class_names);
        }
    })
}

/// Takes the decisions out of a model file; names of the classes stay.
///
/// # Errors
/// As [`store`].
pub fn remove(path: &Path, out: &Path) -> Result<()> {
    rewrite(path, out, |content| (content.decisions, content.data_name) = (None, None))
}

/// Names of classes that a model file holds: all, if they are more than their numbers and none is too long.
pub(crate) fn worth_naming(names: &[String]) -> Vec<String> {
    let plain = names.iter().enumerate().all(|(class, name)| *name == class.to_string());
    let fits = names.iter().all(|name| name.len() <= NAME_LIMIT)
        && names.iter().map(|name| name.len() + 1).sum::<usize>() <= usize::from(u16::MAX);
    if plain || !fits { Vec::new() } else { names.to_vec() }
}

fn rewrite(path: &Path, out: &Path, change: impl FnOnce(&mut Content)) -> Result<()> {
    let bytes = model_file::read(path)?;
    let model = model_file::of_file(path, &bytes)?;
    // A section that is not whole is written anew: that is the fix that its error names.
    let mut content = Content::of(&model).unwrap_or_default();
    change(&mut content);
    let file = with_section(&model, &content).map_err(|e| Error::contents(path, format!("cannot hold it: {e}")))?;
    write_whole(out, &file)
}

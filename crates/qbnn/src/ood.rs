//! Which synthetic OOD images a training makes: `train.ood_kinds`.
//!
//! A setting, a checkpoint or a ledger without that key is of version 0.1 or has no such training; of 0.1 are tiles,
//! negatives and stains. A new experiment gets [`DEFAULT`]: those without the negatives, which cost most of the accuracy on
//! shifted images (`docs/decisions.md`, 18; `experiments/ood-kinds.toml` is the whole question, not run yet).

use crate::error::{Error, Result};
use qbnn_bnn::TrainSettings;
use qbnn_data::synthetic_ood::Kind;

/// The kinds of a new experiment that names none.
pub const DEFAULT: [Kind; 2] = [Kind::Tiles, Kind::Stains];

/// Largest share of an OOD image in training images of a new experiment that says nothing of it. Without blends a network
/// doubts whatever lies on the way from an image to an OOD image, as noise, blur and low contrast do.
pub const BLEND: f32 = 0.25;

/// What a kind costs, where that is known and much: a training with it is warned of.
pub fn cost(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Negatives => Some(
            "images on the way to their negatives, or pale ones, are then doubted as OOD images are: accuracy on shifted \
             images falls",
        ),
        _ => None,
    }
}

/// The names of kinds, as settings hold them.
pub(crate) fn names(kinds: &[Kind]) -> Vec<String> {
    kinds.iter().map(ToString::to_string).collect()
}

/// The kinds of a training.
///
/// # Errors
/// [`Error::Setting`] of a name that is none, or of an empty list.
pub fn kinds(settings: &TrainSettings) -> Result<Vec<Kind>> {
    let Some(names) = &settings.ood_kinds else { return Ok(Kind::OF_0_1.to_vec()) };
    let wrong = |wanted: String| Error::Setting { key: "train.ood_kinds", found: format!("{names:?}"), wanted };
    if names.is_empty() {
        return Err(wrong("wanted at least one kind, or train.ood_weight = 0".to_owned()));
    }
    names.iter().map(|name| name.parse().map_err(wrong)).collect()
}

/// What a training should be told about its kinds: one line each.
pub fn warnings(settings: &TrainSettings) -> Vec<String> {
    if settings.ood_weight <= 0.0 {
        let kinds = settings.ood_kinds.as_ref().map(|kinds| format!("train.ood_kinds = {kinds:?}"));
        let blend = settings.ood_blend.map(|blend| format!("train.ood_blend = {blend}"));
        let idle = |set| format!("{set} has no effect: train.ood_weight is 0, so no OOD images are made");
        return kinds.into_iter().chain(blend).map(idle).collect();
    }
    let kinds = kinds(settings).unwrap_or_default();
    let costly = kinds.into_iter().filter_map(|kind| Some((kind, cost(kind)?)));
    costly
        .map(|(kind, cost)| {
            format!("train.ood_kinds has {kind}: {cost}; see docs/two-uncertainties.md, or leave {kind} out")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn settings(sets: &[&str]) -> Result<TrainSettings> {
        let mut layers = Layers::default();
        sets.iter().try_for_each(|set| layers.set(set))?;
        Ok(layers.finish()?.train)
    }

    #[test]
    fn kinds_are_the_default_of_a_new_experiment_and_those_of_0_1_of_an_old_one() {
        assert_eq!(settings(&[]).unwrap().ood_kinds, None);
        let weight = ["train.ood_weight=1", "train.draws=2"];
        assert_eq!(kinds(&settings(&weight).unwrap()).unwrap(), DEFAULT);
        let chosen = settings(&[weight[0], weight[1], r#"train.ood_kinds=["stains", "shapes"]"#]).unwrap();
        assert_eq!(kinds(&chosen).unwrap(), [Kind::Stains, Kind::Shapes]);
        // A checkpoint of 0.1, and the settings in a run folder of 0.1.
        let old = TrainSettings { ood_weight: 1.0, draws: 2, ..TrainSettings::default() };
        assert_eq!(kinds(&old).unwrap(), Kind::OF_0_1);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        for (text, wanted) in [
            ("[train]\ndraws = 2\nood_weight = 1.0\n", &Kind::OF_0_1[..]),
            ("[train]\ndraws = 2\nood_weight = 1.0\nood_kinds = [\"shapes\"]\n", &[Kind::Shapes]),
        ] {
            std::fs::write(&path, text).unwrap();
            let mut layers = Layers::default();
            layers.file(&path).unwrap();
            assert_eq!(kinds(&layers.finish().unwrap().train).unwrap(), wanted);
        }
    }

    #[test]
    fn a_new_experiment_blends_and_a_stored_one_does_what_it_did() {
        let weight = ["train.ood_weight=1", "train.draws=2"];
        assert_eq!(settings(&[]).unwrap().ood_blend, None);
        assert_eq!(settings(&weight).unwrap().ood_blend, Some(BLEND));
        let given = |blend: &str| settings(&[weight[0], weight[1], &format!("train.ood_blend={blend}")]);
        assert_eq!(given("0").unwrap().ood_blend, Some(0.0));
        assert_eq!(given("0.25").unwrap().ood_blend, Some(0.25));
        let error = given("0.9").unwrap_err().one_line();
        assert!(error.contains("ood_blend") && error.contains("0 to 0.75"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        for (line, wanted) in [("", 0.0), ("ood_blend = 0.25\n", 0.25)] {
            let text = format!("[train]\ndraws = 2\nood_weight = 1.0\nood_kinds = [\"shapes\"]\n{line}");
            std::fs::write(&path, text).unwrap();
            let mut layers = Layers::default();
            layers.file(&path).unwrap();
            assert_eq!(layers.finish().unwrap().train.ood_blend, Some(wanted));
        }
        let idle = TrainSettings { ood_blend: Some(0.5), ..TrainSettings::default() };
        assert!(warnings(&idle)[0].contains("train.ood_blend = 0.5 has no effect"));
    }

    #[test]
    fn what_is_no_kind_is_refused_and_what_costs_is_said() {
        let refuse = |set: &str| settings(&[set]).unwrap_err().one_line();
        let error = refuse(r#"train.ood_kinds=["tile"]"#);
        assert!(error.contains("train.ood_kinds") && error.contains("`tile` is no kind"), "{error}");
        assert!(refuse("train.ood_kinds=[]").contains("at least one kind"));
        let warned = |kinds: &[Kind], ood_weight: f32| {
            warnings(&TrainSettings { ood_weight, ood_kinds: Some(names(kinds)), ..TrainSettings::default() })
        };
        assert!(warned(&DEFAULT, 1.0).is_empty());
        let said = warned(&Kind::OF_0_1, 1.0);
        assert!(said.len() == 1 && said[0].contains("negatives") && said[0].contains("shifted"), "{said:?}");
        assert!(warned(&DEFAULT, 0.0)[0].contains("no effect"));
        assert!(warnings(&TrainSettings::default()).is_empty());
    }
}

//! Predictors: what an ensemble makes of its members, when one stops, and what it says it is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails should fail loudly where it stands")]

mod toy;

use qbnn_bnn::predictor::{
    Analytic, Backend, Draws, Ensemble, Export, Float, NoProgress, Predictor, of_checkpoint, of_file,
};
use qbnn_bnn::{BnnError, Checkpoint, ImagesView, QuantizeSettings, Shape, SigmaGrid, pfp};
use serde_json::json;
use std::ops::ControlFlow;
use toy::{CLASSES, trained};

const SHAPE: Shape = Shape { channels: 1, rows: 6, columns: 6 };

fn network(width: usize, settings: Option<QuantizeSettings>) -> (Checkpoint, Vec<u8>) {
    let layers = json!([{ "type": "dense", "out": width }, { "type": "relu" }, { "type": "dense", "out": CLASSES }]);
    trained(layers, SHAPE, settings)
}

fn float(checkpoint: &Checkpoint) -> Box<dyn Predictor> {
    Box::new(Float::new(checkpoint.net().clone(), checkpoint.guide().clone(), checkpoint.normalisation))
}

#[test]
fn members_share_the_draws_of_an_ensemble() {
    let ((a, pixels), (b, _)) = (network(5, None), network(7, None));
    let images = ImagesView { shape: SHAPE, pixels: &pixels[..SHAPE.len() * 9] };
    let of = |count| Draws { count, seed: 3 };
    let mut ensemble = Ensemble::new(vec![float(&a), float(&b)]).unwrap();
    let row = 9 * CLASSES;
    for count in [1, 2, 5, 8] {
        let each: Vec<_> =
            [&a, &b].map(|c| float(c).predict(images, of(count), &mut NoProgress).unwrap()).into_iter().collect();
        let found = ensemble.predict(images, of(count), &mut NoProgress).unwrap();
        assert_eq!((found.draws, found.images, found.classes), (count, 9, CLASSES));
        for (s, values) in found.values.chunks_exact(row).enumerate() {
            let own = &each[s % 2];
            assert_eq!(values, &own.values[s / 2 * row..][..row], "draw {s} of {count}");
            assert_eq!(found.energies[s * 9..][..9], own.energies[s / 2 * 9..][..9], "draw {s} of {count}");
        }
        assert_eq!(found.energies.len(), count * 9);
        assert!(found.of_image(4).all(|p| (p.iter().sum::<f64>() - 1.0).abs() < 1e-9));
        assert_eq!(found.of_image(4).count(), count);
    }
    // Told of every step of all members, in order.
    let mut steps = Vec::new();
    let tell = &mut |done: usize, of: usize| {
        steps.push((done, of));
        ControlFlow::Continue(())
    };
    ensemble.predict(images, of(4), tell).unwrap();
    assert_eq!(steps, [(1, 4), (2, 4), (3, 4), (4, 4)]);
    let stop = &mut |done: usize, _: usize| if done == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    assert!(matches!(ensemble.predict(images, of(4), stop), Err(BnnError::Stopped)));
    assert!(matches!(ensemble.predict(images, of(0), &mut NoProgress), Err(BnnError::Setting { .. })));
    assert_eq!(ensemble.backend().to_string(), "ensemble of 2 (float)");
}

#[test]
fn analytic_members_keep_all_their_points() {
    let ((a, pixels), (b, _)) = (network(5, None), network(7, None));
    let images = ImagesView { shape: SHAPE, pixels: &pixels[..SHAPE.len() * 4] };
    let pass = |c| -> Box<dyn Predictor> { Box::new(Export::new(c).analytic(pfp::Weights::Stored).unwrap().unwrap()) };
    let draws = Draws { count: 2, seed: 3 };
    let each = [&a, &b].map(|c| pass(c).predict(images, draws, &mut NoProgress).unwrap());
    let mut ensemble = Ensemble::new(vec![pass(&a), pass(&b)]).unwrap();
    let found = ensemble.predict(images, draws, &mut NoProgress).unwrap();
    assert_eq!(found.draws, 2 * pfp::POINTS);
    let mean = |p: &qbnn_bnn::predictor::Probabilities, at: usize| {
        p.values[at..].iter().step_by(4 * CLASSES).sum::<f64>() / p.draws as f64
    };
    for at in 0..4 * CLASSES {
        assert!((mean(&found, at) - (mean(&each[0], at) + mean(&each[1], at)) / 2.0).abs() < 1e-9);
    }
}

/// ln p - energy are the logits: those of the integer runtime to the last of its bits, whatever came with an image.
#[test]
fn probabilities_and_energies_are_the_logits() {
    let (jq, pixels) = network(5, Some(QuantizeSettings::default()));
    let (mut integer, mut simulated) = Export::new(&jq).both().unwrap().unwrap();
    let images = ImagesView { shape: SHAPE, pixels: &pixels[..SHAPE.len() * 7] };
    let draws = Draws { count: 3, seed: 5 };
    let logits = integer.logits(images, draws, &mut NoProgress).unwrap();
    let found = integer.predict(images, draws, &mut NoProgress).unwrap();
    assert_eq!(found.energies.len(), 3 * 7);
    for (i, (&p, &logit)) in found.values.iter().zip(&logits).enumerate() {
        let wanted = f64::from(logit) / 65_536.0;
        assert!((p.ln() - found.energies[i / CLASSES] - wanted).abs() < 1e-9, "{i}: {p} for {wanted}");
    }
    // The simulation's are near, and every backend's are those of the image alone.
    let near = simulated.predict(images, draws, &mut NoProgress).unwrap();
    assert!(near.energies.iter().zip(&found.energies).all(|(a, b)| (a - b).abs() < 0.5));
    let (plain, _) = network(5, None);
    let analytic = Export::new(&plain).analytic(pfp::Weights::Stored).unwrap().unwrap();
    let all: [Box<dyn Predictor>; 4] = [Box::new(integer), Box::new(simulated), float(&plain), Box::new(analytic)];
    for mut one in all {
        let together = one.predict(images, draws, &mut NoProgress).unwrap();
        assert!(together.energies.iter().all(|e| e.is_finite()));
        for image in 0..7 {
            let alone = ImagesView { shape: SHAPE, pixels: &pixels[SHAPE.len() * image..][..SHAPE.len()] };
            let alone = one.predict(alone, draws, &mut NoProgress).unwrap();
            let same: Vec<f64> = together.energies.iter().skip(image).step_by(7).copied().collect();
            assert_eq!(alone.energies, same, "{} image {image}", one.backend());
        }
    }
}

#[test]
fn members_must_read_the_same() {
    let message = |members| Ensemble::new(members).err().unwrap().to_string();
    assert!(message(Vec::new()).contains("no members"));
    let (a, _) = network(5, None);
    let wide = Shape { columns: 9, ..SHAPE };
    let (b, _) = trained(json!([{ "type": "dense", "out": CLASSES }]), wide, None);
    let text = message(vec![float(&a), float(&b)]);
    assert!(text.contains("member 2") && text.contains("1x6x9") && text.contains("1x6x6"), "{text}");
}

#[test]
fn the_backend_says_what_computes() {
    let (jq, pixels) = network(5, Some(QuantizeSettings::default()));
    let export = Export::new(&jq);
    let file = export.file().unwrap().to_vec();
    assert!(matches!(of_checkpoint(&jq).unwrap().backend(), Backend::Integer { .. }));
    assert!(matches!(of_file(file.clone()).unwrap().backend(), Backend::Integer { .. }));
    let analytic = Analytic::new(file.clone(), pfp::Weights::Drawn).unwrap();
    assert_eq!(analytic.backend().to_string(), "analytic (drawn)");
    let (mut integer, simulated) = export.both().unwrap().unwrap();
    assert!(matches!(simulated.backend(), Backend::Simulated { .. }));
    let images = ImagesView { shape: SHAPE, pixels: &pixels[..SHAPE.len() * 3] };
    let draws = Draws { count: 4, seed: 1 };
    let values = integer.predict(images, draws, &mut NoProgress).unwrap().values;
    assert_eq!(of_file(file).unwrap().predict(images, draws, &mut NoProgress).unwrap().values, values);
    // A JQ network without a model file is simulated, and it is said why.
    let settings = QuantizeSettings { sigma_grid: SigmaGrid::Uniform, ..QuantizeSettings::default() };
    let (uniform, _) = network(5, Some(settings));
    let export = Export::new(&uniform);
    let Backend::Simulated { why } = export.predictor().unwrap().backend() else { panic!("no simulation") };
    assert!(why.contains("sigma_grid"), "{why}");
    assert!(export.both().unwrap().is_none() && export.analytic(pfp::Weights::Stored).unwrap().is_none());
}

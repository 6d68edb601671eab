//! One image at a time against the naive way and against the block plan: every layer, every width, with constants held and not.

#![allow(clippy::unwrap_used, reason = "a test should fail where it stands")]

mod common;

use common::{Random, lenet5, lenet5_layers, machine, mlp, reference, zoo_layers};
use qbnn_core::Session;
use qbnn_core::draw::Rounding;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::{Model, Posterior};
use qbnn_core::run::RunError;
use qbnn_core::single::{Place, Single};

fn agrees(name: &str, file: &[u8], draws: std::ops::Range<u32>) {
    let model = Model::new(file).unwrap();
    let image = Random(5).bytes(model.input().len());
    let want = reference(file, 11, draws.clone(), &image);
    assert_eq!(want, machine(file, Kernel::best(), 11, draws.clone(), &image, true), "{name}");
    let mut places = vec![Place::default(); model.layers()];
    let single = Single::new(model, &mut places).unwrap();
    for bytes in [single.least(), single.most(), single.most() + 3] {
        // What memory holds before does not matter.
        let mut memory = Random(bytes as u64).bytes(bytes);
        let mut ready = single.prepare(&mut memory).unwrap();
        let mut found = vec![0; want.len()];
        for (logits, draw) in found.chunks_exact_mut(model.classes()).zip(draws.clone()) {
            ready.logits(&image, 11, draw, logits).unwrap();
        }
        let first = found.iter().zip(&want).position(|(f, w)| f != w);
        assert!(found == want, "{name}, {bytes} bytes: logit {first:?} of {}", want.len());
    }
}

#[test]
fn built_in_networks_agree() {
    agrees("lenet5", &lenet5(1, [4; 4], Rounding::Nearest), 0..3);
    agrees("lenet5, stochastic", &lenet5(2, [4; 4], Rounding::Stochastic), 7..9);
    agrees("lenet5, default widths", &lenet5(3, [4, 2, 8, 4], Rounding::Nearest), 0..2);
    agrees("mlp", &mlp(1, [4; 4], Rounding::Nearest), 3..6);
}

#[test]
fn a_network_of_everything_agrees_at_every_width_and_posterior() {
    for bits in [[4, 4, 4, 4], [8, 8, 8, 8], [2, 2, 2, 2], [3, 5, 7, 6], [8, 3, 4, 2]] {
        for rounding in [Rounding::Nearest, Rounding::Stochastic] {
            for posterior in [Posterior::Gaussian, Posterior::Point, Posterior::Dropout { dropped: 90 }] {
                let name = format!("zoo {bits:?} {rounding:?} {posterior:?}");
                agrees(&name, &zoo_layers(bits[0] as u64, bits, rounding).with(posterior).finish(), 1..4);
            }
        }
    }
    let dropout = Posterior::Dropout { dropped: 26 };
    agrees("lenet5, dropout", &lenet5_layers(1, [4; 4], Rounding::Nearest).with(dropout).finish(), 0..2);
}

#[test]
fn an_answer_is_that_of_a_session() {
    let file = lenet5(4, [4; 4], Rounding::Nearest);
    let model = Model::new(&file).unwrap();
    let image = Random(6).bytes(model.input().len());
    let want = Session::new(&file[..]).unwrap().classify(&image, 32, 9).unwrap();
    let mut places = vec![Place::default(); model.layers()];
    let single = Single::new(model, &mut places).unwrap();
    let mut memory = vec![0; single.most()];
    let mut probabilities = vec![0; model.classes()];
    let mut ready = single.prepare(&mut memory).unwrap();
    let found = ready.classify(&image, 0..32, 9, &mut probabilities).unwrap();
    let u = found.uncertainty;
    assert_eq!(
        (found.class, u.total, u.aleatoric, u.epistemic),
        (want.class, want.total, want.aleatoric, want.epistemic)
    );
    assert_eq!(probabilities, want.probabilities);
}

/// A chain needs its largest pair of neighbours: of LeNet-5 the outputs of both convolutions after their pools.
#[test]
fn memory_is_as_small_as_a_chain_allows() {
    let file = lenet5(1, [4; 4], Rounding::Nearest);
    let model = Model::new(&file).unwrap();
    let mut places = vec![Place::default(); model.layers()];
    let single = Single::new(model, &mut places).unwrap();
    let (values, row, levels, channels) = (6 * 14 * 14 + 16 * 5 * 5, 400, 2 * 16, 6 + 16 + 120 + 84 + 10);
    assert_eq!(single.least(), values + row + levels);
    assert_eq!(single.most(), values + row + 5 * levels + 32 * channels);
}

#[test]
fn what_does_not_fit_is_refused() {
    let file = lenet5(1, [4; 4], Rounding::Nearest);
    let model = Model::new(&file).unwrap();
    let found = Single::new(model, &mut [Place::default(); 3]).unwrap_err();
    assert!(matches!(found, RunError::Memory { found: 3, .. }), "{found:?}");
    let mut places = vec![Place::default(); model.layers()];
    let single = Single::new(model, &mut places).unwrap();
    let mut memory = vec![0; single.least() - 1];
    assert!(matches!(single.prepare(&mut memory).unwrap_err(), RunError::Memory { .. }));
    let mut memory = vec![0; single.least()];
    let mut ready = single.prepare(&mut memory).unwrap();
    let (image, mut ten) = (vec![0; 784], [0; 10]);
    assert_eq!(ready.classify(&image, 0..0, 1, &mut ten), Err(RunError::NoDraws));
    assert_eq!(ready.classify(&image[1..], 0..1, 1, &mut ten), Err(RunError::Images { found: 783, each: 784 }));
    assert_eq!(ready.classify(&image, 0..1, 1, &mut ten[1..]), Err(RunError::Logits { found: 9, wanted: Some(10) }));
    assert_eq!(ready.logits(&image, 1, 0, &mut [0; 9]), Err(RunError::Logits { found: 9, wanted: Some(10) }));
}

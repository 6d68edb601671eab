//! A session against the plan by hand: the same bytes for any model, batch and draws, and an error for all that does not fit.

#![allow(clippy::unwrap_used, reason = "a test should fail where it stands")]

mod common;

use common::{Random, lenet5, machine, mlp, with, zoo};
use proptest::prelude::*;
use qbnn_core::draw::Rounding;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::Model;
use qbnn_core::run::RunError;
use qbnn_core::uncertainty::uncertainty;
use qbnn_core::{ImagesView, Session, SessionError};

fn file(which: usize, seed: u64, bits: [u32; 4], stochastic: bool) -> Vec<u8> {
    let rounding = if stochastic { Rounding::Stochastic } else { Rounding::Nearest };
    [lenet5, mlp, zoo][which](seed, bits, rounding)
}

fn predict(session: &mut Session<'_>, pixels: &[u8], draws: std::ops::Range<u32>, seed: u64) -> Vec<i32> {
    let images = ImagesView { shape: session.input(), pixels };
    let mut out = vec![-1; draws.len() * images.len() * session.classes()];
    session.predict(images, draws, seed, &mut out).unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_bytes_as_the_plan_by_hand(
        which in 0usize..3, seed: u64, bits in prop::array::uniform4(2u32..=8), stochastic: bool,
        first in 0u32..20, count in 0u32..12, n in 0usize..40, kept_first in 0u32..10, kept in 0u32..40,
    ) {
        let file = file(which, seed, bits, stochastic);
        let pixels = Random(seed).bytes(n * Model::new(&file).unwrap().input().len());
        let draws = first..first + count;
        let fast = Kernel::best();
        let want = machine(&file, fast, seed, draws.clone(), &pixels, false);
        prop_assert_eq!(&machine(&file, fast, seed, draws.clone(), &pixels, true), &want);
        let mut session = Session::new(file.clone()).unwrap();
        prop_assert_eq!(&predict(&mut session, &pixels, draws.clone(), seed), &want, "streamed");
        // Kept draws: all, some or none of those that are asked for; then those of another seed.
        session.keep(draws.clone(), seed).unwrap();
        prop_assert_eq!(&predict(&mut session, &pixels, draws.clone(), seed), &want, "kept");
        session.keep(kept_first..kept_first + kept, seed).unwrap();
        prop_assert_eq!(&predict(&mut session, &pixels, draws.clone(), seed), &want, "others kept");
        // A copy lies elsewhere in memory.
        let mut copy = session.clone();
        session.keep(draws.clone(), seed ^ 1).unwrap();
        prop_assert_eq!(&predict(&mut session, &pixels, draws.clone(), seed), &want, "another seed kept");
        drop(session);
        prop_assert_eq!(&predict(&mut copy, &pixels, draws.clone(), seed), &want, "a copy");
        let mut borrowed = Session::with_kernel(&file[..], fast).unwrap();
        prop_assert_eq!(&predict(&mut borrowed, &pixels, draws, seed), &want, "borrowed");
    }

    #[test]
    fn an_answer_is_that_of_the_logits(which in 0usize..3, seed: u64, draws in 1u32..20) {
        let file = file(which, seed, [4; 4], false);
        let image = Random(seed).bytes(Model::new(&file).unwrap().input().len());
        let logits = machine(&file, Kernel::best(), seed, 0..draws, &image, true);
        let mut session = Session::new(file).unwrap();
        let mut mean = vec![0; session.classes()];
        let want = uncertainty(logits.chunks_exact(session.classes()), &mut mean).unwrap();
        // More draws before: nothing of them is left.
        session.classify(&image, draws + 5, seed + 1).unwrap();
        let found = session.classify(&image, draws, seed).unwrap();
        prop_assert_eq!((found.total, found.aleatoric, found.epistemic), (want.total, want.aleatoric, want.epistemic));
        let top = mean.iter().copied().max().unwrap();
        prop_assert_eq!(Some(found.class), mean.iter().position(|&p| p == top));
        prop_assert_eq!(found.probabilities, mean);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let file = mlp(3, [4; 4], Rounding::Nearest);
    assert!(matches!(Session::new(vec![1, 2]), Err(SessionError::Model(_))));
    assert!(matches!(Session::new(&file[..file.len() - 1]), Err(SessionError::Model(_))));
    let mut torn = file.clone();
    *torn.last_mut().unwrap() ^= 1;
    assert!(matches!(Session::new(torn), Err(SessionError::Model(_))));
    assert!(Session::new(with(&file, 44, b"other")).is_ok());
    let mut session = Session::new(file).unwrap();
    let (shape, classes) = (session.input(), session.classes());
    let image = vec![0; shape.len()];
    let mut out = vec![0; 2 * classes];
    let mut other = shape;
    other.rows += 1;
    let view = |shape, pixels| ImagesView { shape, pixels };
    assert_eq!(
        session.predict(view(other, &image), 0..2, 0, &mut out),
        Err(SessionError::Shape { found: other, wanted: shape })
    );
    for (pixels, draws, out) in [(&image[1..], 0..2, &mut out[..]), (&image[..], 0..3, &mut [0; 1][..])] {
        let found = session.predict(view(shape, pixels), draws, 0, out);
        assert!(
            matches!(found, Err(SessionError::Run(RunError::Images { .. } | RunError::Logits { .. }))),
            "{found:?}"
        );
    }
    for pixels in [&image[1..], &[][..], &[image.clone(), image.clone()].concat()[..]] {
        let wanted = SessionError::Image { found: pixels.len(), wanted: shape.len() };
        assert_eq!(session.classify(pixels, 2, 0), Err(wanted));
    }
    assert_eq!(session.classify(&image, 0, 0), Err(SessionError::NoDraws));
    let kept = session.keep(0..u32::MAX, 0);
    assert!(matches!(kept, Err(SessionError::Heap { .. })), "{kept:?}");
    // What was refused has changed nothing.
    assert!(session.classify(&image, 2, 0).is_ok());
    for error in [SessionError::NoDraws, kept.unwrap_err()] {
        let line = error.to_string();
        assert!(!line.is_empty() && !line.contains('\n'));
    }
}

//! What must hold for any input: the laws of the metrics, and that counting resamples is the same as copying them.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use proptest::prelude::*;
use qbnn_eval::{
    Contrast, PooledAuroc, Predictions, Resampler, Score, WeightedEce, WeightedMean, WeightedSpearman, auroc,
    calibration, mid_ranks, nll, spearman, uncertainty,
};

/// Scores with many ties.
fn scores(size: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![(-4i32..4).prop_map(f64::from), -3.0..3.0f64], size)
}

/// Any predictions, certain rows and zeros included.
fn predictions() -> impl Strategy<Value = Predictions> {
    (1usize..6, 1usize..8, 2usize..6).prop_flat_map(|(samples, inputs, classes)| {
        let part = prop_oneof![Just(0.0f64), 1e-6..1.0f64];
        let row = prop::collection::vec(part, classes).prop_map(|mut row| {
            if row.iter().sum::<f64>() == 0.0 {
                row[0] = 1.0;
            }
            let sum: f64 = row.iter().sum();
            row.iter().map(|v| v / sum).collect::<Vec<_>>()
        });
        prop::collection::vec(row, samples * inputs)
            .prop_map(move |rows| Predictions::new(samples, inputs, classes, rows.concat()).unwrap())
    })
}

/// AUROC by its definition, O(n^2).
fn auroc_by_pairs(positives: &[f64], negatives: &[f64]) -> f64 {
    let mut wins = 0.0;
    for p in positives {
        for n in negatives {
            wins += f64::from(u8::from(p > n)) + 0.5 * f64::from(u8::from(p == n));
        }
    }
    wins / (positives.len() * negatives.len()) as f64
}

/// Each value as often as it counts.
fn copies<T: Clone>(values: &[T], counts: &[u8]) -> Vec<T> {
    values.iter().zip(counts).flat_map(|(v, &c)| std::iter::repeat_n(v.clone(), c as usize)).collect()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-10
}

proptest! {
    #[test]
    fn auroc_is_its_definition(p in scores(1..40), n in scores(1..40)) {
        let found = auroc(&p, &n).unwrap();
        prop_assert!((0.0..=1.0).contains(&found));
        prop_assert!(near(found, auroc_by_pairs(&p, &n)));
        prop_assert!(near(found, 1.0 - auroc(&n, &p).unwrap()));
    }

    #[test]
    fn auroc_sees_order_alone(p in scores(1..40), n in scores(1..40)) {
        // Strictly monotone in exact arithmetic and, on this range, in f64 for values this far apart.
        let map = |v: &Vec<f64>| v.iter().map(|x| 8.0 * x).collect::<Vec<_>>();
        prop_assert_eq!(auroc(&p, &n).unwrap(), auroc(&map(&p), &map(&n)).unwrap());
        let ranks = mid_ranks(&[p.clone(), n.clone()].concat()).unwrap();
        let (rank_p, rank_n) = ranks.split_at(p.len());
        let bend = |v: &[f64]| v.iter().map(|r| -1.0 / r).collect::<Vec<_>>();
        prop_assert_eq!(auroc(&p, &n).unwrap(), auroc(&bend(rank_p), &bend(rank_n)).unwrap());
    }

    #[test]
    fn spearman_is_bounded_symmetric_and_odd(pairs in prop::collection::vec((-5i32..5, -5i32..5), 0..40)) {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().map(|&(x, y)| (f64::from(x), f64::from(y))).unzip();
        let found = spearman(&a, &b).unwrap();
        prop_assert_eq!(found, spearman(&b, &a).unwrap());
        if let Some(r) = found {
            prop_assert!((-1.0..=1.0).contains(&r));
            let minus: Vec<f64> = b.iter().map(|v| -v).collect();
            prop_assert!(near(spearman(&a, &minus).unwrap().unwrap(), -r));
            prop_assert!(near(spearman(&a, &a).unwrap().unwrap(), 1.0));
        }
    }

    #[test]
    fn uncertainties_keep_their_bounds(p in predictions()) {
        let u = uncertainty(&p);
        let most = (p.classes() as f64).ln() + 1e-12;
        for (i, (&total, &aleatoric)) in u.total.iter().zip(&u.aleatoric).enumerate() {
            prop_assert!(total <= most && (0.0..=total + 1e-12).contains(&aleatoric));
            if let Some(e) = &u.epistemic {
                prop_assert!(0.0 <= e[i] && e[i] <= total && near(e[i], total - aleatoric));
            }
        }
        prop_assert_eq!(u.epistemic.is_none(), p.samples() == 1);
        for row in u.mean_probs.chunks(p.classes()) {
            prop_assert!(near(row.iter().sum(), 1.0));
        }
    }

    #[test]
    fn the_order_of_draws_does_not_matter(p in predictions(), turn in 0usize..6) {
        let size = p.inputs() * p.classes();
        let mut probs = p.probs().to_vec();
        probs.rotate_left(turn % p.samples() * size);
        let turned = uncertainty(&Predictions::new(p.samples(), p.inputs(), p.classes(), probs).unwrap());
        let straight = uncertainty(&p);
        for (a, b) in straight.total.iter().zip(&turned.total).chain(straight.aleatoric.iter().zip(&turned.aleatoric)) {
            prop_assert!(near(*a, *b));
        }
        for (a, b) in straight.epistemic.iter().flatten().zip(turned.epistemic.iter().flatten()) {
            prop_assert!(near(*a, *b));
        }
    }

    #[test]
    fn calibration_keeps_its_bounds(p in predictions(), label in 0usize..2) {
        let mean = uncertainty(&p).mean_probs;
        let c = calibration(&mean, p.classes(), &vec![label; p.inputs()]).unwrap();
        prop_assert!((0.0..=1.0).contains(&c.accuracy) && (0.0..=27.7).contains(&c.nll));
        prop_assert!((0.0..=2.0 + 1e-12).contains(&c.brier) && (0.0..=1.0 + 1e-12).contains(&c.ece));
    }

    #[test]
    fn counted_auroc_is_the_resampled_one(
        p in prop::collection::vec((-4i32..4, 0u8..4), 1..30),
        n in prop::collection::vec((-4i32..4, 0u8..4), 1..30),
        m in prop::collection::vec((-4i32..4, 0u8..4), 0..30),
    ) {
        let unzip = |v: &[(i32, u8)]| -> (Vec<f64>, Vec<u8>) { v.iter().map(|&(s, c)| (f64::from(s), c)).unzip() };
        let ((p, cp), (n, cn), (m, cm)) = (unzip(&p), unzip(&n), unzip(&m));
        let counts = [cn.clone(), cm.clone(), cp.clone()].concat();
        let found = PooledAuroc::new([&n, &m, &p]).unwrap().value(&counts);
        let (n, m, p) = (copies(&n, &cn), copies(&m, &cm), copies(&p, &cp));
        for (contrast, found) in Contrast::ALL.into_iter().zip(found) {
            let plain = match contrast {
                Contrast::OodVsClean => auroc(&p, &n),
                Contrast::OodVsCleanAmbiguous if cm.is_empty() => auroc(&p, &[]),
                Contrast::OodVsCleanAmbiguous => auroc(&p, &[n.clone(), m.clone()].concat()),
                Contrast::AmbiguousVsClean => auroc(&m, &n),
            };
            match (found, plain) {
                (Some(w), Ok(plain)) => prop_assert!(near(w, plain), "{contrast:?}: {w} against {plain}"),
                (None, Err(_)) => {}
                (w, plain) => prop_assert!(false, "{contrast:?}: {w:?} against {plain:?}"),
            }
        }
    }

    /// Neither draws nor classes in another order change a score beyond what ties, and so no rank.
    #[test]
    fn no_order_changes_a_rank(p in predictions(), turn in 0usize..6, shift in 0usize..6) {
        let (samples, inputs, classes) = (p.samples(), p.inputs(), p.classes());
        let mut probs = p.probs().to_vec();
        probs.rotate_left(turn % samples * inputs * classes);
        probs.chunks_exact_mut(classes).for_each(|row| row.rotate_left(shift % classes));
        let (a, b) = (uncertainty(&p), uncertainty(&Predictions::new(samples, inputs, classes, probs).unwrap()));
        for score in Score::ALL {
            for (a, b) in score.of(&a).iter().flatten().zip(score.of(&b).iter().flatten()) {
                prop_assert_eq!(auroc(&[*a], &[*b]).unwrap(), 0.5, "{:?}: {} and {}", score, a, b);
            }
        }
    }

    #[test]
    fn counted_spearman_is_the_resampled_one(
        rows in prop::collection::vec((-4i32..4, -4i32..4, 0u8..4), 0..40),
        first in 0usize..3,
    ) {
        let a: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
        let b: Vec<f64> = rows.iter().map(|r| f64::from(r.1)).collect();
        let own: Vec<u8> = rows.iter().map(|r| r.2).collect();
        let counts = [vec![5; first], own.clone()].concat();
        let weighted = WeightedSpearman::new(first, &a, &b).unwrap().value(&counts);
        let plain = spearman(&copies(&a, &own), &copies(&b, &own)).unwrap();
        match (weighted, plain) {
            (Some(w), Some(plain)) => prop_assert!(near(w, plain), "{w} against {plain}"),
            (w, plain) => prop_assert_eq!(w, plain),
        }
    }

    #[test]
    fn counted_calibration_is_the_resampled_one(p in predictions(), seed in any::<u64>()) {
        let classes = p.classes();
        let labels: Vec<usize> = (0..p.inputs()).map(|i| i % classes).collect();
        let mut counts = vec![];
        Resampler::new(seed, &[p.inputs()]).fill(0, &mut counts);
        let rows: Vec<Vec<f64>> = uncertainty(&p).mean_probs.chunks(classes).map(<[f64]>::to_vec).collect();
        let plain = calibration(&copies(&rows, &counts).concat(), classes, &copies(&labels, &counts)).unwrap();
        let weighted = WeightedEce::of(&p, &labels).unwrap().value(&counts).unwrap();
        prop_assert!(near(weighted, plain.ece));
        let each: Vec<f64> = rows.iter().zip(&labels).map(|(r, &l)| nll(r, classes, &[l]).unwrap()).collect();
        prop_assert!(near(WeightedMean::new(each, 0).value(&counts).unwrap(), plain.nll));
    }
}

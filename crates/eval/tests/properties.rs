//! What must hold for any input: the laws of the metrics, and that counting resamples is the same as copying them.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use proptest::prelude::*;
use qbnn_eval::{
    Contrast, Detection, PooledScores, Predictions, Resampler, Score, WeightedEce, WeightedMean, WeightedRisk,
    WeightedSpearman, auroc, average_precision, calibration, fpr95, mid_ranks, nll, risk, spearman, uncertainty,
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

/// Average precision and FPR95 by their definitions, each distinct score of a positive as a threshold, O(n^2).
fn precision_and_fpr95(positives: &[f64], negatives: &[f64]) -> (f64, f64) {
    let above = |scores: &[f64], t: f64| scores.iter().filter(|s| **s >= t).count() as f64;
    let precision = |t: f64| above(positives, t) / (above(positives, t) + above(negatives, t));
    let recall = |t: f64| above(positives, t) / positives.len() as f64;
    let precisions: f64 = positives.iter().map(|&p| precision(p)).sum();
    // The highest threshold at which enough are found; the scores of negatives between positives find no more.
    let threshold = positives.iter().copied().filter(|&t| recall(t) >= 0.95).fold(f64::NEG_INFINITY, f64::max);
    (precisions / positives.len() as f64, above(negatives, threshold) / negatives.len() as f64)
}

/// AURC and AUGRC of one order of the inputs, the first the least uncertain.
fn areas(wrong: impl Iterator<Item = bool>) -> (f64, f64) {
    let wrong: Vec<f64> = wrong.map(|w| f64::from(u8::from(w))).collect();
    let n = wrong.len() as f64;
    let (mut errors, mut aurc, mut augrc) = (0.0, 0.0, 0.0);
    for (i, w) in wrong.iter().enumerate() {
        augrc += (errors + w / 2.0) / n;
        errors += w;
        aurc += errors / (i + 1) as f64;
    }
    (aurc / n, augrc / n)
}

/// Every order of some places.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = orders(n - 1);
    (0..n).flat_map(|at| shorter.iter().map(move |o| [&o[..at], &[n - 1], &o[at..]].concat())).collect()
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
        let found = PooledScores::new([&n, &m, &p]).unwrap().value(&counts);
        let (n, m, p) = (copies(&n, &cn), copies(&m, &cm), copies(&p, &cp));
        for (contrast, found) in Contrast::ALL.into_iter().zip(found) {
            let (positives, negatives) = match contrast {
                Contrast::OodVsClean => (&p, n.clone()),
                Contrast::OodVsCleanAmbiguous if cm.is_empty() => (&p, vec![]),
                Contrast::OodVsCleanAmbiguous => (&p, [n.clone(), m.clone()].concat()),
                Contrast::AmbiguousVsClean => (&m, n.clone()),
            };
            let plain = auroc(positives, &negatives).map(|auroc| {
                let [aupr, fpr95] = [average_precision, fpr95].map(|of| of(positives, &negatives).unwrap());
                Detection { auroc, aupr, fpr95 }
            });
            match (found, plain) {
                (Some(w), Ok(plain)) => {
                    prop_assert!(near(w.auroc, plain.auroc), "{contrast:?}: {w:?} against {plain:?}");
                    prop_assert!(near(w.aupr, plain.aupr), "{contrast:?}: {w:?} against {plain:?}");
                    prop_assert_eq!(w.fpr95, plain.fpr95);
                    let (aupr, fpr95) = precision_and_fpr95(positives, &negatives);
                    prop_assert!(near(w.aupr, aupr) && near(w.fpr95, fpr95), "{w:?} against {aupr} {fpr95}");
                }
                (None, Err(_)) => {}
                (w, plain) => prop_assert!(false, "{contrast:?}: {w:?} against {plain:?}"),
            }
        }
    }

    #[test]
    fn counted_risk_is_the_resampled_one(rows in prop::collection::vec((-4i32..4, any::<bool>(), 0u8..4), 1..30)) {
        let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
        let wrong: Vec<bool> = rows.iter().map(|r| r.1).collect();
        let counts: Vec<u8> = rows.iter().map(|r| r.2).collect();
        let found = WeightedRisk::new(&scores, &wrong).unwrap().value(&counts);
        let (scores, wrong) = (copies(&scores, &counts), copies(&wrong, &counts));
        prop_assert_eq!(found, risk(&scores, &wrong).ok());
        let Some(found) = found else { return Ok(()) };
        let side = |own| scores.iter().zip(&wrong).filter(move |s| *s.1 == own).map(|s| *s.0).collect::<Vec<_>>();
        match auroc(&side(true), &side(false)) {
            Ok(auroc) => prop_assert!(near(found.error_auroc.unwrap(), auroc)),
            Err(_) => prop_assert_eq!(found.error_auroc, None),
        }
        // The closed form of Traub et al.; without a pair any AUROC gives the same.
        let rate = side(true).len() as f64 / scores.len() as f64;
        let closed = (1.0 - found.error_auroc.unwrap_or(0.0)) * rate * (1.0 - rate) + rate * rate / 2.0;
        prop_assert!(near(found.augrc, closed), "{found:?} against {closed}");
        prop_assert!((0.0..=1.0).contains(&found.aurc) && (0.0..=0.5).contains(&found.augrc));
    }

    /// Of inputs that tie any may come first: the areas are the means over all orders.
    #[test]
    fn ties_count_as_all_their_orders(rows in prop::collection::vec((0i32..3, any::<bool>()), 1..7)) {
        let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
        let wrong: Vec<bool> = rows.iter().map(|r| r.1).collect();
        let sorted = |order: &&Vec<usize>| order.windows(2).all(|w| scores[w[0]] <= scores[w[1]]);
        let every = orders(rows.len());
        let all: Vec<_> = every.iter().filter(sorted).map(|o| areas(o.iter().map(|&i| wrong[i]))).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        let found = risk(&scores, &wrong).unwrap();
        prop_assert!(near(found.aurc, mean(|a| a.0)) && near(found.augrc, mean(|a| a.1)), "{found:?}");
    }

    /// Neither draws nor classes in another order change a score beyond what ties, and so no rank.
    #[test]
    fn no_order_changes_a_rank(p in predictions(), turn in 0usize..6, shift in 0usize..6) {
        let (samples, inputs, classes) = (p.samples(), p.inputs(), p.classes());
        let mut probs = p.probs().to_vec();
        probs.rotate_left(turn % samples * inputs * classes);
        probs.chunks_exact_mut(classes).for_each(|row| row.rotate_left(shift % classes));
        let mut energies: Vec<f64> = (0..samples * inputs).map(|i| (i as f64 * 1.7).sin() * 9.0).collect();
        let p = p.with_energies(energies.clone()).unwrap();
        energies.rotate_left(turn % samples * inputs);
        let turned = Predictions::new(samples, inputs, classes, probs).unwrap().with_energies(energies).unwrap();
        let (a, b) = (uncertainty(&p), uncertainty(&turned));
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

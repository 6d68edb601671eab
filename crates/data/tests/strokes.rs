//! The embedded set: what its documentation promises is measured here.
#![allow(clippy::unwrap_used, missing_docs)]

use qbnn_data::strokes::{SIDE, Sizes, chance, dataset};
use qbnn_data::{DataError, Dataset, Images, Limits, Locations, TestGroup, load};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

fn whole() -> &'static Dataset {
    static SET: OnceLock<Dataset> = OnceLock::new();
    SET.get_or_init(|| load("strokes", &Locations::default(), 1, Limits::default()).unwrap())
}

fn group<'a>(d: &'a Dataset, name: &str) -> &'a TestGroup {
    d.group(name).unwrap()
}

fn moments(pixels: &[u8]) -> (f64, f64) {
    let n = pixels.len() as f64;
    let mean = pixels.iter().map(|&p| f64::from(p) / 255.0).sum::<f64>() / n;
    let square = pixels.iter().map(|&p| (f64::from(p) / 255.0 - mean).powi(2)).sum::<f64>() / n;
    (mean, square.sqrt())
}

#[test]
fn sizes_are_the_documented_ones() {
    let d = whole();
    assert_eq!((d.train.images.len(), d.train.pairs.len()), (11_000, 20_000));
    let sizes: Vec<_> = d.groups.iter().map(|g| (g.name.as_str(), g.images.len())).collect();
    assert_eq!(d.validation.labels.len(), 1_000);
    assert_eq!(sizes, [("clean", 2_000), ("ambiguous", 1_000), ("ood", 2_000)]);
    assert_eq!(group(d, "ambiguous").soft_labels.as_ref().unwrap().len(), 10_000);
    assert!(d.train.pairs.iter().all(|&(i, l)| (i as usize) < 11_000 && l < 10));
    let zero = Sizes { ood: 0, ..Sizes::default() };
    assert!(matches!(dataset(1, &zero), Err(DataError::Limit { key: "ood", found: 0, .. })));
}

#[test]
fn the_bytes_are_the_same_on_every_machine() {
    let d = whole();
    let mut hash = Sha256::new();
    for images in [&d.train.images, &d.validation.images, &group(d, "clean").images, &group(d, "ood").images] {
        hash.update(&images.pixels);
    }
    let ambiguous = group(d, "ambiguous");
    hash.update(&ambiguous.images.pixels);
    ambiguous.soft_labels.iter().flatten().for_each(|p| hash.update(p.to_be_bytes()));
    d.train.pairs.iter().for_each(|p| hash.update([p.1 as u8]));
    let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "c58424472029120ecabe805f44918f3dabcc42877420f5f3ede29a57f95ae285");
}

#[test]
fn a_smaller_set_is_the_beginning_of_a_larger_one() {
    let sizes = Sizes { train_clean: 5, train_ambiguous: 2, validation: 3, clean: 4, ambiguous: 3, ood: 6 };
    let (small, d) = (dataset(1, &sizes).unwrap(), whole());
    for name in ["clean", "ood"] {
        assert!(group(d, name).images.pixels.starts_with(&group(&small, name).images.pixels));
    }
    assert_eq!(small.train.pairs.len(), 25);
    let clean = group(&small, "clean");
    assert_ne!(clean, group(&dataset(2, &sizes).unwrap(), "clean"));
    assert_ne!(clean.images.get(0), d.validation.images.get(0));
}

#[test]
fn mean_and_deviation_are_the_constants() {
    for d in [whole(), &dataset(77, &Sizes::default()).unwrap()] {
        let (mean, std) = moments(&d.train.images.pixels);
        assert!((mean - f64::from(d.pixels.mean)).abs() < 0.003, "{mean}");
        assert!((std - f64::from(d.pixels.std)).abs() < 0.003, "{std}");
    }
}

#[test]
fn ink_does_not_tell_the_groups_apart() {
    let d = whole();
    let clean = moments(&group(d, "clean").images.pixels).0;
    for other in ["ambiguous", "ood"] {
        let ratio = moments(&group(d, other).images.pixels).0 / clean;
        assert!((0.85..1.15).contains(&ratio), "{ratio}");
    }
    let blank = |images: &Images| (0..images.len()).any(|i| images.get(i).unwrap().iter().all(|&p| p < 128));
    assert!(!blank(&d.train.images) && !blank(&group(d, "ood").images));
}

#[test]
fn labels_follow_the_exact_law() {
    assert_eq!((chance(0.2), chance(0.5), chance(0.8), chance(-1.0), chance(2.0)), (0.0, 0.5, 1.0, 0.0, 1.0));
    let sizes = Sizes { train_clean: 1, train_ambiguous: 1, validation: 1, clean: 1, ambiguous: 20_000, ood: 1 };
    let drawn = dataset(3, &sizes).unwrap();
    let ambiguous = group(&drawn, "ambiguous");
    let (labels, soft) = (ambiguous.labels.as_ref().unwrap(), ambiguous.soft_labels.as_ref().unwrap());
    // Over images sorted into five classes of the lower digit's probability, labels come as often as announced.
    let mut bins = [(0.0f64, 0.0f64, 0.0f64); 5];
    for (row, &label) in soft.chunks(10).zip(labels) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6 && row[usize::from(label)] > 0.0);
        let (first, p) = row.iter().enumerate().find(|p| *p.1 > 0.0).unwrap();
        let bin = &mut bins[((p * 5.0) as usize).min(4)];
        bin.0 += 1.0;
        bin.1 += f64::from(*p);
        bin.2 += f64::from(u8::from(usize::from(label) == first));
    }
    for (n, wanted, found) in bins {
        assert!(n > 1_000.0 && (wanted - found).abs() / n < 0.03, "{n} {wanted} {found}");
    }
}

/// Accuracy on the clean test images of a softmax regression trained on the unambiguous training pairs.
fn linear_accuracy(d: &Dataset) -> f64 {
    const N: usize = SIDE * SIDE;
    let input = |image: &[u8]| -> Vec<f32> {
        image.iter().map(|&p| (f32::from(p) / 255.0 - d.pixels.mean) / d.pixels.std).chain([1.0]).collect()
    };
    let scores = |w: &[f32], x: &[f32]| -> [f32; 10] {
        std::array::from_fn(|k| w[k * (N + 1)..][..N + 1].iter().zip(x).map(|(w, x)| w * x).sum())
    };
    let train: Vec<_> = d.train.pairs[..10_000]
        .iter()
        .map(|&(i, l)| (input(d.train.images.get(i as usize).unwrap()), usize::from(l)))
        .collect();
    let (mut w, mut mean) = (vec![0.0f32; 10 * (N + 1)], vec![0.0f32; 10 * (N + 1)]);
    let epochs = 20;
    for epoch in 0..epochs {
        let rate = 2e-3 / (1.0 + epoch as f32 / 4.0);
        // A fixed stride that is coprime to the number of pairs visits them in mixed order.
        for step in 0..train.len() {
            let (x, label) = &train[(step * 7_919 + epoch * 13) % train.len()];
            let z = scores(&w, x);
            let top = z.iter().copied().fold(f32::MIN, f32::max);
            let e = z.map(|z| (z - top).exp());
            let sum: f32 = e.iter().sum();
            for k in 0..10 {
                let gradient = e[k] / sum - if k == *label { 1.0 } else { 0.0 };
                w[k * (N + 1)..][..N + 1].iter_mut().zip(x).for_each(|(w, x)| *w -= rate * gradient * x);
            }
        }
        if epoch >= epochs / 2 {
            mean.iter_mut().zip(&w).for_each(|(m, w)| *m += w);
        }
    }
    let clean = group(d, "clean");
    let labels = clean.labels.as_ref().unwrap();
    let right = labels.iter().enumerate().filter(|&(i, &label)| {
        let z = scores(&mean, &input(clean.images.get(i).unwrap()));
        (0..10).max_by(|&a, &b| z[a].total_cmp(&z[b])) == Some(usize::from(label))
    });
    right.count() as f64 / labels.len() as f64
}

#[test]
fn a_linear_classifier_is_not_enough() {
    let accuracy = linear_accuracy(whole());
    println!("linear accuracy {accuracy}");
    assert!((0.70..0.95).contains(&accuracy), "{accuracy}");
}

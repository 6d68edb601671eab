//! Batch normalisations: which layer each is folded into, and that nothing changes by it.

use crate::support::{Tensor, network, write};
use qbnn::import::assign::{Posterior, Taking, assign};
use qbnn::import::{self, Layout, Told};

/// Numbers between -1 and 1 that follow no rule.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn name<'a>(text: String) -> &'a str {
    Box::leak(text.into_boxed_str())
}

/// A layer by Bayesian-Torch's names.
fn layer<'a>(layer: &str, shape: &[usize], seed: u32) -> Vec<Tensor<'a>> {
    let count = shape.iter().product();
    let part = if shape.len() == 4 { "kernel" } else { "weight" };
    let rho = |n: usize, seed| numbers(n, seed).into_iter().map(|x| x - 2.0).collect::<Vec<f32>>();
    vec![
        (name(format!("{layer}.mu_{part}")), shape.to_vec(), numbers(count, seed)),
        (name(format!("{layer}.rho_{part}")), shape.to_vec(), rho(count, seed + 1)),
        (name(format!("{layer}.mu_bias")), vec![shape[0]], numbers(shape[0], seed + 2)),
        (name(format!("{layer}.rho_bias")), vec![shape[0]], rho(shape[0], seed + 3)),
    ]
}

/// A batch normalisation, some of whose factors are below 0.
fn norm<'a>(norm: &str, channels: usize, seed: u32) -> Vec<Tensor<'a>> {
    let variance: Vec<f32> = numbers(channels, seed + 3).into_iter().map(|x| 0.2 + x * x).collect();
    vec![
        (name(format!("{norm}.weight")), vec![channels], numbers(channels, seed)),
        (name(format!("{norm}.bias")), vec![channels], numbers(channels, seed + 1)),
        (name(format!("{norm}.running_mean")), vec![channels], numbers(channels, seed + 2)),
        (name(format!("{norm}.running_var")), vec![channels], variance),
    ]
}

fn posterior(parts: &[Vec<Tensor<'_>>], net: &str, side: usize, told: &Told) -> Result<Posterior, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    write(&path, &parts.concat());
    let found = import::read(&path, told, None).map_err(|e| e.to_string())?;
    assign(&found, &network(net, side, 3), &Taking::default())
}

/// Factor and offset of each channel of a normalisation.
fn affine(norm: &[Tensor<'_>]) -> Vec<(f64, f64)> {
    let of = |part: usize, c: usize| f64::from(norm[part].2[c]);
    let factor = |c: usize| of(0, c) / (of(3, c) + 1e-5).sqrt();
    (0..norm[0].2.len()).map(|c| (factor(c), of(1, c) - factor(c) * of(2, c))).collect()
}

fn softplus(x: f32) -> f64 {
    f64::from(x).exp().ln_1p()
}

const TWO: &str = "name = \"two\"\n[[layer]]\ntype = \"dense\"\nname = \"fc1\"\nout = 5\n[[layer]]\ntype = \"relu\"\n\
                   [[layer]]\ntype = \"dense\"\nname = \"fc2\"\nout = 3\n";

#[test]
fn behind_a_layer_every_draw_is_the_same_network() {
    let (fc1, fc2, bn) = (layer("fc1", &[5, 4], 1), layer("fc2", &[3, 5], 11), norm("bn1", 5, 21));
    let folded = posterior(&[fc1.clone(), fc2, bn.clone()], TWO, 2, &Told::default()).unwrap();
    let (noise, x) = (numbers(25, 7), numbers(4, 8));
    for (o, (factor, offset)) in affine(&bn).into_iter().enumerate() {
        let drawn = |at: usize, noise: f32, part: usize| {
            f64::from(fc1[part].2[at]) + softplus(fc1[part + 1].2[at]) * f64::from(noise)
        };
        let sum: f64 = (0..4).map(|i| drawn(o * 4 + i, noise[o * 4 + i], 0) * f64::from(x[i])).sum();
        let wanted = factor * (sum + drawn(o, noise[20 + o], 2)) + offset;
        // A factor below 0 turns the noise around: it is as likely.
        let of = |at: usize, noise: f32| {
            f64::from(folded.mu[at]) + f64::from(folded.sigma[at]) * factor.signum() * f64::from(noise)
        };
        let sum: f64 = (0..4).map(|i| of(o * 4 + i, noise[o * 4 + i]) * f64::from(x[i])).sum();
        let found = sum + of(20 + o, noise[20 + o]);
        assert!((found - wanted).abs() < 4e-6, "{found} and {wanted}");
    }
    assert_eq!(folded.layers[0].batch_norm.as_deref(), Some("bn1"));
    // The prior of a weight that is multiplied is multiplied as well.
    let prior = folded.prior.unwrap();
    let factor = affine(&bn)[0].0.abs();
    assert!((f64::from(prior[0].value(2.0)) / (2.0 * factor) - 1.0).abs() < 1e-6);
    assert_eq!(prior[25].value(2.0), 2.0);
}

#[test]
fn before_a_layer_means_and_variances_are_the_source_s() {
    let (fc1, fc2, bn) = (layer("fc1", &[5, 4], 1), layer("fc2", &[3, 5], 11), norm("middle", 5, 21));
    let told = Told { norms_before: vec![("fc2".into(), "middle".into())], ..Told::default() };
    let folded = posterior(&[fc1, fc2.clone(), bn.clone()], TWO, 2, &told).unwrap();
    assert_eq!(folded.layers[1].batch_norm_before.as_deref(), Some("middle"));
    let affine = affine(&bn);
    for o in 0..3 {
        let weight = |i: usize| f64::from(fc2[0].2[o * 5 + i]);
        let sigma = |i: usize| softplus(fc2[1].2[o * 5 + i]);
        let mean: f64 = f64::from(fc2[2].2[o]) + (0..5).map(|i| weight(i) * affine[i].1).sum::<f64>();
        let variance = softplus(fc2[3].2[o]).powi(2) + (0..5).map(|i| (sigma(i) * affine[i].1).powi(2)).sum::<f64>();
        let near = |found: f32, wanted: f64| assert!((f64::from(found) - wanted).abs() < 1e-5, "{found} and {wanted}");
        near(folded.mu[40 + o], mean);
        near(folded.sigma[40 + o], variance.sqrt());
        for (i, (factor, _)) in affine.iter().enumerate() {
            near(folded.mu[25 + o * 5 + i], weight(i) * factor);
            near(folded.sigma[25 + o * 5 + i], sigma(i) * factor.abs());
        }
    }
    assert!(folded.warnings.iter().any(|w| w.contains("of their variance")), "{:?}", folded.warnings);
}

const SAME: &str = "name = \"same\"\n[[layer]]\ntype = \"dense\"\nout = 4\n[[layer]]\ntype = \"dense\"\nout = 4\n[[layer]]\n\
                    type = \"dense\"\nout = 3\n";

#[test]
fn numbers_in_names_tell_where_order_and_sizes_do_not() {
    let layers = [layer("fc1", &[4, 4], 1), layer("fc2", &[4, 4], 11), layer("fc3", &[3, 4], 31)];
    let with = |norms: [&str; 2], told: &Told| {
        let norms = [norm(norms[0], 4, 41), norm(norms[1], 4, 51)].concat();
        posterior(&[layers.concat(), norms], SAME, 2, told)
    };
    let folded = with(["bn1", "bn2"], &Told::default()).unwrap();
    let names: Vec<_> = folded.layers.iter().map(|l| l.batch_norm.as_deref()).collect();
    assert_eq!(names, [Some("bn1"), Some("bn2"), None]);
    // Without numbers nothing tells.
    let error = with(["first", "second"], &Told::default()).unwrap_err();
    assert!(error.contains("first could be that of fc1, fc2") && error.contains("--bn LAYER=first"), "{error}");
    let pairs = |a: &str, b: &str| vec![(a.to_owned(), "first".to_owned()), (b.to_owned(), "second".to_owned())];
    let told = Told { norms_behind: pairs("fc2", "fc1"), ..Told::default() };
    let folded = with(["first", "second"], &told).unwrap();
    assert_eq!(folded.layers[0].batch_norm.as_deref(), Some("second"));
    // What is told has to be there, once, and to fit.
    let error = with(["first", "second"], &Told { norms_behind: pairs("fc1", "fc1"), ..Told::default() }).unwrap_err();
    assert!(error.contains("first and second are both those of fc1"), "{error}");
    let error = with(["first", "second"], &Told { norms_behind: pairs("fc3", "fc1"), ..Told::default() }).unwrap_err();
    assert!(error.contains("--bn fc3=first: it has 4 channels"), "{error}");
    let error = with(["first", "second"], &Told { norms_behind: pairs("fc9", "fc1"), ..Told::default() }).unwrap_err();
    assert!(error.contains("--bn fc9=first: the file's layers are fc1, fc2, fc3"), "{error}");
    let error = with(["bn1", "bn2"], &Told { norms_behind: pairs("fc1", "fc2"), ..Told::default() }).unwrap_err();
    assert!(error.contains("the batch normalisations left are bn1, bn2"), "{error}");
}

const PADDED: &str = "name = \"padded\"\n[[layer]]\ntype = \"conv\"\nout = 2\nkernel = 3\npadding = 1\n[[layer]]\ntype = \"relu\"\n\
                      [[layer]]\ntype = \"flatten\"\n[[layer]]\ntype = \"dense\"\nout = 3\n";

#[test]
fn before_zeros_around_an_image_a_normalisation_is_refused_and_for_one_channel_the_way_around_is_said() {
    let parts = [layer("conv", &[2, 1, 3, 3], 1), layer("fc", &[3, 32], 11), norm("bn0", 1, 22)];
    let told = Told { norms_before: vec![("conv".into(), "bn0".into())], ..Told::default() };
    let error = posterior(&parts, PADDED, 4, &told).unwrap_err();
    assert!(error.contains("zeros around its input") && !error.contains('\n'), "{error}");
    let (factor, offset) = affine(&parts[2])[0];
    if factor > 0.0 {
        assert!(
            error.contains(&format!("(MEAN - {:.6} STD) --std ({:.6} STD)", offset / factor, 1.0 / factor)),
            "{error}"
        );
    }
    // Without zeros it is folded.
    let plain = PADDED.replace("padding = 1\n", "");
    let parts = [layer("conv", &[2, 1, 3, 3], 1), layer("fc", &[3, 8], 11), norm("bn0", 1, 22)];
    assert!(posterior(&parts, &plain, 4, &told).is_ok());
    // Of two channels before a dense layer, each has four places.
    let parts = [layer("conv", &[2, 1, 3, 3], 1), layer("fc", &[3, 8], 11), norm("bn0", 2, 22)];
    let told = Told { norms_before: vec![("fc".into(), "bn0".into())], ..Told::default() };
    let folded = posterior(&parts, &plain, 4, &told).unwrap();
    let wanted = f64::from(parts[1][0].2[5]) * affine(&parts[2])[1].0;
    assert!((f64::from(folded.mu[20 + 5]) - wanted).abs() < 1e-6);
}

#[test]
fn keras_has_other_names_and_another_epsilon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let keras = |part: &str| name(format!("fc1/{part}_posterior_loc:0"));
    let raw = |part: &str| name(format!("fc1/{part}_posterior_untransformed_scale:0"));
    let tensors: Vec<Tensor<'_>> = vec![
        (keras("kernel"), vec![4, 3], numbers(12, 1)),
        (raw("kernel"), vec![4, 3], numbers(12, 2)),
        (keras("bias"), vec![3], numbers(3, 3)),
        ("bn/moving_mean:0", vec![3], vec![0.0; 3]),
        ("bn/moving_variance:0", vec![3], vec![0.001; 3]),
    ];
    write(&path, &tensors);
    let found = import::read(&path, &Told::default(), None).unwrap();
    assert_eq!(found.layout, Layout::Jax);
    let net = network("name = \"one\"\n[[layer]]\ntype = \"dense\"\nout = 3\n", 2, 3);
    let scale = |taking: &Taking| assign(&found, &net, taking).unwrap().mu[0] / numbers(12, 1)[0];
    // 1 / sqrt(0.001 + 0.001)
    assert!((scale(&Taking::default()) - 0.002f32.sqrt().recip()).abs() < 1e-3);
    let told = Taking { batch_norm_epsilon: Some(0.003), ..Taking::default() };
    assert!((scale(&told) - 0.004f32.sqrt().recip()).abs() < 1e-3);
}

//! Reports made of small predictions that differ from input to input and from draw to draw, without a generator.

use qbnn_eval::report::*;
use qbnn_eval::*;

const CLASSES: usize = 4;

fn some(samples: usize, inputs: usize, salt: usize, spread: f64) -> Predictions {
    let mut probs = Vec::new();
    for s in 0..samples {
        for n in 0..inputs {
            let logit = |c: usize| {
                let own = ((n * 7 + c * 13 + salt) % 11) as f64 * 0.6;
                own + spread * ((s * 5 + n * 3 + c * 17 + salt) as f64 * 1.7).sin()
            };
            let sum: f64 = (0..CLASSES).map(|c| logit(c).exp()).sum();
            probs.extend((0..CLASSES).map(|c| logit(c).exp() / sum));
        }
    }
    Predictions::new(samples, inputs, CLASSES, probs).unwrap()
}

pub fn groups(samples: usize, salt: usize) -> Groups {
    Groups(vec![
        TestGroup::clean(some(samples, 50, salt, 0.3), (0..50).map(|n| (n * 3 + n / 7) % CLASSES).collect()),
        TestGroup::ambiguous(some(samples, 40, salt + 1, 0.6), None),
        TestGroup::ood(some(samples, 30, salt + 2, 1.5)),
    ])
}

/// The same with a second OOD group and a shifted one.
pub fn more_groups(samples: usize, salt: usize) -> Groups {
    let Groups(mut all) = groups(samples, salt);
    all.push(TestGroup::ood(some(samples, 35, salt + 4, 0.9)).named("near"));
    all.push(
        TestGroup::shifted(some(samples, 45, salt + 5, 0.5), (0..45).map(|n| n % CLASSES).collect()).named("noise"),
    );
    Groups(all)
}

/// A group that a shift made, worse where it is severe.
pub fn shifted(samples: usize, salt: usize, kind: &str, severity: u8) -> TestGroup {
    let (salt, spread) = (salt + kind.len() + usize::from(severity), 0.4 * f64::from(severity));
    let group = TestGroup::shifted(some(samples, 45, salt, spread), (0..45).map(|n| n % CLASSES).collect());
    let shift = Shift { kind: kind.into(), severity };
    TestGroup { shift: Some(shift.clone()), ..group }.named(shift.group())
}

fn metrics(float: &Groups, quantized: &Groups, bits: Bits, seed: u64) -> (Metrics, Vec<ModelPredictions>) {
    let options = EvalOptions { resamples: 50, seed: 11 };
    let mut metrics = Metrics::new("made", seed);
    let Bits { mu, sigma, weight, .. } = bits;
    let name = format!("jq-mu{mu}s{sigma}w{weight}a4");
    let (mut evaluations, mut predictions) = (Vec::new(), Vec::new());
    for (name, groups, strategy, bits, bytes) in [
        ("float", float, Strategy::Float, Bits::FLOAT, 8000),
        (name.as_str(), quantized, Strategy::Jq, bits, 125 * u64::from(mu + sigma)),
    ] {
        let (validation, labels) = (some(groups.samples(), 45, 9, 0.3), (0..45).map(|n| (n * 5 + n / 9) % CLASSES));
        let evaluation = evaluate_calibrated(groups, &validation, &labels.collect::<Vec<_>>(), &options).unwrap();
        let description = ModelDescription {
            name: name.into(),
            strategy,
            bits,
            parameter_bytes: bytes,
            parameters: None,
            file_bytes: None,
        };
        let mut entry = ModelEntry::new(description, &evaluation);
        entry.by_samples = by_samples(groups).unwrap();
        metrics.models.push(entry);
        predictions.push(ModelPredictions::of(name, &evaluation));
        evaluations.push(evaluation);
    }
    metrics.differences.push(compare(name, &evaluations[1], "float", &evaluations[0]).unwrap());
    metrics.check().unwrap();
    (metrics, predictions)
}

const FOUR: Bits = Bits { mu: 4, sigma: 4, weight: 4, activation: 4 };

pub fn run_report(float: &Groups, quantized: &Groups) -> RunReport {
    let (metrics, predictions) = metrics(float, quantized, FOUR, 1);
    let mut report = RunReport::new("A run", metrics);
    report.labels = float.0[0].labels.clone();
    let image = |chosen| GalleryImage {
        chosen,
        height: 3,
        width: 3,
        channels: 1,
        pixels: vec![0, 128, 0, 255, 255, 255, 0, 128, 0],
    };
    report.gallery = choose(&predictions[1], &report.labels).into_iter().map(image).collect();
    report.predictions = predictions;
    let epoch = |model: &str, epoch: usize| Epoch {
        model: model.into(),
        epoch,
        nll: 1.0 / epoch as f64,
        kl: 0.1 * epoch as f64,
        validation_accuracy: 1.0 - 0.1 / epoch as f64,
        validation_nll: 1.1 / epoch as f64,
    };
    let quantized = report.metrics.models[1].name.clone();
    report.epochs = vec![epoch("float", 1), epoch("float", 2), epoch(&quantized, 1)];
    let values: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin() * 0.2).collect();
    let grid = |v: &f32| (v * 20.0).round() / 20.0;
    report.tensors = vec![Tensor {
        name: "dense1".into(),
        model: quantized,
        mu: [values.clone(), values.iter().map(grid).collect()],
        mu_levels: (-8..8).map(|i| i as f32 / 20.0).collect(),
        sigma: [values.iter().map(|v| v.abs() + 0.01).collect(), vec![0.125; 100]],
        sigma_levels: vec![0.0625, 0.125, 0.25],
    }];
    report.provenance = vec![("command".into(), "qbnn run".into()), ("machine".into(), "a small one".into())];
    report.config = Some("seed = 1\n".into());
    report.note = Some("made by hand".into());
    report
}

pub fn sweep_report() -> SweepReport {
    let mut report = SweepReport { title: "A sweep".into(), ..SweepReport::default() };
    for seed in 1..=3 {
        for (mu, sigma) in [(4, 4), (4, 2), (2, 4), (2, 2)] {
            let bits = Bits { mu, sigma, weight: 4, activation: 4 };
            let salt = seed as usize;
            let (metrics, _) = metrics(&groups(4, salt), &groups(4, salt), bits, seed);
            let rows = SweepRow::of("made small", &metrics);
            let new = rows
                .into_iter()
                .filter(|r| !report.rows.iter().any(|o| o.seed == r.seed && o.configuration == r.configuration));
            report.rows.extend(new.collect::<Vec<_>>());
        }
        for width in [2, 4] {
            let like = report.rows[0].clone();
            let bits = Bits { mu: 32, sigma: 32, weight: width, activation: width };
            let configuration = format!("spq-w{width}a{width}");
            report.rows.push(SweepRow { configuration, strategy: Strategy::Spq, bits, seed, bytes: 9000, ..like });
        }
        let like = report.rows[0].clone();
        report.rows.push(SweepRow { configuration: "mc-dropout".into(), technique: true, seed, bytes: 4000, ..like });
    }
    report
}

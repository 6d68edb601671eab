//! A checkpoint, its model file, and what is imported from the file: the same network, whatever the kind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails should fail loudly where it stands")]

mod toy;

use qbnn_bnn::internals::export;
use qbnn_bnn::internals::export::snap_scales;
use qbnn_bnn::internals::guide::Drawn;
use qbnn_bnn::internals::layout::file_order;
use qbnn_bnn::internals::stored::DecodedPosterior;
use qbnn_bnn::pfp::Pfp;
use qbnn_bnn::predictor::{Backend, Draws, Integer, NoProgress, Predictor, of_file};
use qbnn_bnn::verify::compare;
use qbnn_bnn::{
    BitWidths, Checkpoint, ImagesView, Imported, PosteriorKind, QuantizeSettings, Rounding, Shape, Strategy, export,
    import, pfp,
};
use qbnn_core::model::write::{Header, Parameters, write};
use qbnn_core::model::{self, Activation, Function, Kind, Layer, Linear, Model, Op};
use serde_json::json;
use toy::{CLASSES, trained, trained_as};

const SHAPE: Shape = Shape { channels: 2, rows: 8, columns: 8 };
const SAMPLES: usize = 6;

/// Every operation, in an order that reads values twice.
fn layers() -> serde_json::Value {
    json!([
        { "type": "conv", "out": 4, "kernel": 3, "padding": 1, "groups": 2 },
        { "type": "relu" },
        { "type": "max-pool", "size": 2, "name": "pooled" },
        { "type": "conv", "out": 4, "kernel": 3, "padding": 1 },
        { "type": "add", "from": "pooled" },
        { "type": "clipped-relu", "max": 4.0 },
        { "type": "average-pool", "size": 2 },
        { "type": "flatten" },
        { "type": "dense", "out": 8 },
        { "type": "leaky-relu", "slope": 0.125 },
        { "type": "dense", "out": 6 },
        { "type": "hardtanh" },
        { "type": "dense", "out": CLASSES }
    ])
}

/// What a model file says.
fn predict(file: &[u8], images: ImagesView<'_>, count: usize, seed: u64) -> Vec<f64> {
    of_file(file).unwrap().predict(images, Draws { count, seed }, &mut NoProgress).unwrap().values
}

/// What a checkpoint says, on the scales and pixels that its file holds.
fn on_the_files_scales(checkpoint: &Checkpoint, model: &Model<'_>, images: ImagesView<'_>) -> Vec<f64> {
    let (net, guide) = (checkpoint.net(), snap_scales(checkpoint.guide()));
    let normalisation = import(model).unwrap().normalisation;
    let found = qbnn_bnn::internals::predict::predict(net, &guide, normalisation, images, SAMPLES, 7, &mut NoProgress);
    found.unwrap().values
}

fn comes_back(settings: Option<QuantizeSettings>, kind: Kind) {
    comes_back_as(PosteriorKind::Gaussian, settings, kind);
}

fn comes_back_as(posterior: PosteriorKind, settings: Option<QuantizeSettings>, kind: Kind) {
    let (checkpoint, pixels) = trained_as(posterior, layers(), SHAPE, settings);
    let images = ImagesView { shape: SHAPE, pixels: &pixels[..SHAPE.len() * 70] };
    let file = export(&checkpoint).unwrap();
    let model = Model::new(&file).unwrap();
    assert_eq!(model.kind(), kind);
    let found = predict(&file, images, SAMPLES, 7);
    assert_eq!(found, on_the_files_scales(&checkpoint, &model, images), "{kind:?}");
    // Against the checkpoint's own scales and pixels: 0.02 % of a scale, 0.004 deviations of an input. Where activations
    // are rounded, one of them may fall on the other side now and then.
    let (net, guide) = (checkpoint.net(), checkpoint.guide());
    let own = qbnn_bnn::internals::predict::predict(
        net,
        guide,
        checkpoint.normalisation,
        images,
        SAMPLES,
        7,
        &mut NoProgress,
    );
    let own = own.unwrap().values;
    let moved = own.iter().zip(&found).map(|(a, b)| (a - b).abs()).sum::<f64>() / own.len() as f64;
    assert!(moved < 0.01, "{kind:?}: probabilities moved by {moved}");
    // An image's answer does not depend on the others.
    let one = ImagesView { shape: SHAPE, pixels: images.get(41) };
    let alone = predict(&file, one, SAMPLES, 7);
    for (draw, row) in alone.chunks_exact(CLASSES).enumerate() {
        assert_eq!(row, &found[(draw * 70 + 41) * CLASSES..][..CLASSES]);
    }
    if posterior == PosteriorKind::Dropout {
        let error = Pfp::new(model, pfp::Weights::default()).unwrap_err().to_string();
        assert!(error.contains("dropout") && error.contains("--pfp"), "{error}");
        return;
    }
    // The analytic pass reads the same file, and agrees with so few draws about most images.
    let answers = pfp::predict(model, pfp::Weights::default(), images, &mut NoProgress).unwrap();
    let class = |p: &dyn Fn(usize) -> f64| (0..CLASSES).max_by(|&a, &b| p(a).total_cmp(&p(b))).unwrap();
    let same = answers.iter().enumerate().filter(|(i, answer)| {
        let mean = |c: usize| (0..SAMPLES).map(|s| found[(s * 70 + i) * CLASSES + c]).sum::<f64>();
        class(&mean) == class(&|c| answer.probabilities[c])
    });
    let same = same.count();
    assert!(same >= 56, "{kind:?}: {same} of 70");
}

fn strategy(strategy: Strategy) -> QuantizeSettings {
    QuantizeSettings { strategy, bits: strategy.widths(4), ..QuantizeSettings::default() }
}

#[test]
fn a_float_file_predicts_what_its_checkpoint_does() {
    comes_back(None, Kind::Float);
}

#[test]
fn a_vpq_file_predicts_what_its_checkpoint_does() {
    comes_back(Some(strategy(Strategy::Vpq)), Kind::Vpq);
    let bits = BitWidths { mu: 5, sigma: 3, weight: 32, activation: 32 };
    comes_back(Some(QuantizeSettings { bits, ..strategy(Strategy::Vpq) }), Kind::Vpq);
}

#[test]
fn an_spq_file_predicts_what_its_checkpoint_does() {
    let spq = strategy(Strategy::Spq);
    comes_back(Some(QuantizeSettings { rounding: Rounding::Stochastic, ..spq.clone() }), Kind::Spq);
    comes_back(Some(spq), Kind::Spq);
}

/// Deterministic networks and MC dropout have files of every kind that fits, without sigmas.
#[test]
fn files_without_sigmas_predict_what_their_checkpoints_do() {
    for posterior in [PosteriorKind::Point, PosteriorKind::Dropout] {
        comes_back_as(posterior, None, Kind::Float);
        comes_back_as(posterior, Some(strategy(Strategy::Vpq)), Kind::Vpq);
    }
    comes_back_as(PosteriorKind::Point, Some(strategy(Strategy::Spq)), Kind::Spq);
}

#[test]
fn a_jq_file_runs_in_the_machine() {
    for posterior in [PosteriorKind::Gaussian, PosteriorKind::Point, PosteriorKind::Dropout] {
        runs_in_the_machine(posterior);
    }
}

fn runs_in_the_machine(posterior: PosteriorKind) {
    let (checkpoint, pixels) = trained_as(posterior, layers(), SHAPE, Some(strategy(Strategy::Jq)));
    let images = ImagesView { shape: SHAPE, pixels: &pixels[..SHAPE.len() * 40] };
    let file = export(&checkpoint).unwrap();
    let model = Model::new(&file).unwrap();
    let found = predict(&file, images, SAMPLES, 7);
    let mut machine = Integer::new(file.clone()).unwrap();
    let draws = Draws { count: SAMPLES, seed: 7 };
    assert_eq!(found, machine.predict(images, draws, &mut NoProgress).unwrap().values);
    assert!(matches!(of_file(&file[..]).unwrap().backend(), Backend::Integer { .. }));
    // Its simulation on the weights that the runtime draws says the same but for float's rounding.
    assert!(compare(&checkpoint, &file, images).unwrap().is_rounding(), "{posterior:?}");
    assert_eq!(
        found[..found.len() / SAMPLES] == found[found.len() / SAMPLES..][..found.len() / SAMPLES],
        posterior == PosteriorKind::Point
    );
    // Dropped units take another noise than training's.
    if posterior == PosteriorKind::Dropout {
        return;
    }
    // Imported, it is the simulation that training ran.
    let imported = import(&model).unwrap();
    let simulated = qbnn_bnn::internals::predict::predict(
        &imported.net,
        &imported.guide,
        imported.normalisation,
        images,
        SAMPLES,
        7,
        &mut NoProgress,
    );
    assert_eq!(simulated.unwrap().values, on_the_files_scales(&checkpoint, &model, images));
}

#[test]
fn widths_that_a_kind_cannot_hold_are_refused() {
    let layers = json!([{ "type": "dense", "out": 6 }, { "type": "relu" }, { "type": "dense", "out": CLASSES }]);
    let bits = BitWidths { mu: 4, sigma: 32, weight: 32, activation: 4 };
    let (checkpoint, _) = trained(layers, SHAPE, Some(QuantizeSettings { bits, ..strategy(Strategy::Vpq) }));
    let message = export(&checkpoint).unwrap_err().to_string();
    assert!(message.contains("bits.sigma = 32") && message.contains("vpq"), "{message}");
}

/// A float file of given layers, all numbers 0.
fn foreign(layers: &[Layer]) -> Vec<u8> {
    let input = model::Shape { channels: 1, rows: 4, columns: 4 };
    let header = Header {
        name: "foreign",
        kind: Kind::Float,
        posterior: qbnn_core::model::Posterior::Gaussian,
        rounding: qbnn_core::draw::Rounding::Nearest,
        input,
        pixel_zero: 0,
        pixel_log2_step: -2048,
        mu: None,
        sigma: None,
        weight: None,
        activation: None,
    };
    let with = |layer: &Layer| {
        let n = match layer.op {
            Op::Linear(l) => l.fan_in() * layer.shape.channels,
            _ => 0,
        };
        let float = [n, n, layer.shape.channels, layer.shape.channels].map(|n| vec![0.0; n]);
        (*layer, Parameters { float, ..Parameters::default() })
    };
    write(&header, &layers.iter().map(with).collect::<Vec<_>>()).unwrap()
}

#[test]
fn files_of_other_writers_run_or_are_refused_by_layer() {
    let flat = |channels| model::Shape { channels, rows: 1, columns: 1 };
    let dense = |input, kernel, inputs, out| Layer {
        input,
        shape: flat(out),
        op: Op::Linear(Linear::new(kernel, 1, 0, 1, inputs)),
    };
    let wide = Layer {
        input: 0,
        shape: model::Shape { channels: 2, rows: 4, columns: 2 },
        op: Op::Linear(Linear::new([1, 3], 1, 0, 1, 1)),
    };
    let pixels = [9u8; 16];
    let images = ImagesView { shape: Shape { channels: 1, rows: 4, columns: 4 }, pixels: &pixels };
    let file = foreign(&[wide, dense(1, [4, 2], 2, 3)]);
    let message = import(&Model::new(&file).unwrap()).unwrap_err().to_string();
    assert!(message.contains("layer 1") && message.contains("1x3"), "{message}");
    // The analytic pass has no such limits.
    assert_eq!(
        pfp::predict(Model::new(&file).unwrap(), pfp::Weights::default(), images, &mut NoProgress).unwrap().len(),
        1
    );
    // Any layer may read the image.
    let file = foreign(&[dense(0, [4, 4], 1, 3), dense(0, [4, 4], 1, 3)]);
    assert_eq!(import(&Model::new(&file).unwrap()).unwrap().net.nodes[1].input, 0);
    let relu = Activation {
        function: Function::ClippedRelu,
        parameter_bits: f32::NAN.to_bits(),
        bits: None,
        log2_step: 0,
        low: 0,
        high: 0,
        slope: 0,
    };
    let relu = Layer { input: 1, shape: flat(3), op: Op::Activation(relu) };
    let file = foreign(&[dense(0, [4, 4], 1, 3), relu]);
    assert!(import(&Model::new(&file).unwrap()).is_err());
    assert!(pfp::predict(Model::new(&file).unwrap(), pfp::Weights::default(), images, &mut NoProgress).is_err());
    // Nothing is drawn: the pools of an image are certain.
    let pool = model::Pool { max: false, size: 4, stride: 4 };
    let file = foreign(&[Layer { input: 0, shape: flat(1), op: Op::Pool(pool) }]);
    let answer = pfp::predict(Model::new(&file).unwrap(), pfp::Weights::default(), images, &mut NoProgress).unwrap();
    assert_eq!((answer[0].probabilities[0], answer[0].total, answer[0].epistemic), (1.0, 0.0, 0.0));
    // Weights and deviations of zero: every class as likely as any.
    let file = foreign(&[dense(0, [4, 4], 1, 3)]);
    let found = predict(&file, images, 2, 1);
    assert!(found.iter().all(|&p| (p - 1.0 / 3.0).abs() < 1e-6), "{found:?}");
}

#[test]
fn the_moments_of_drawn_weights_are_those_of_draws() {
    const DRAWS: u32 = 3000;
    let layers = json!([{ "type": "dense", "out": 4 }, { "type": "relu" }, { "type": "dense", "out": CLASSES }]);
    let shape = Shape { channels: 1, rows: 3, columns: 4 };
    for (strategy_of, rounding) in
        [(Strategy::Jq, Rounding::Nearest), (Strategy::Jq, Rounding::Stochastic), (Strategy::Spq, Rounding::Stochastic)]
    {
        let settings = QuantizeSettings { rounding, ..strategy(strategy_of) };
        let (checkpoint, _) = trained(layers.clone(), shape, Some(settings));
        let file = export(&checkpoint).unwrap();
        let model = Model::new(&file).unwrap();
        let Imported { net, guide, .. } = import(&model).unwrap();
        let mut memory = Drawn::default();
        guide.store(&net, &mut memory);
        let mut sums = vec![[0.0f64; 2]; net.parameters()];
        for s in 0..DRAWS {
            let machines = export::drawn(&model, &net, 5, s);
            guide.draw(&net, [5, 0], 64, s, &mut memory);
            let weights = machines.as_deref().unwrap_or(memory.weights());
            for (sum, &w) in sums.iter_mut().zip(weights) {
                sum[0] += w as f64;
                sum[1] += (w as f64).powi(2);
            }
        }
        let mut clipped = 0;
        for (node, index) in [(0, 0), (2, 2)] {
            let (stored, drawn) =
                (DecodedPosterior::read(&model, index).unwrap(), DecodedPosterior::drawn(&model, index).unwrap());
            let tensor = &net.tensors[node];
            let order = file_order(&net, &net.nodes[index]);
            for (place, at) in order.iter().enumerate() {
                let [mean, square] = sums[tensor.range.start + at].map(|s| s / DRAWS as f64);
                let sigma = (square - mean * mean).max(0.0).sqrt();
                let (mu, s) = (drawn.mu[place] as f64, drawn.sigma[place] as f64);
                // Five standard errors, and the last of the machine's fraction bits.
                let slack = 0.02 * stored.sigma[place] as f64 + 0.004 * mean.abs() + 1e-3;
                assert!((mean - mu).abs() < 5.0 * sigma / (DRAWS as f64).sqrt() + slack, "{mu} for {mean}");
                assert!((sigma - s).abs() < 5.0 * sigma / (2.0 * DRAWS as f64).sqrt() + slack, "{s} for {sigma}");
                clipped += usize::from(s < 0.9 * stored.sigma[place] as f64);
            }
        }
        assert!(clipped > 0, "some weights are clipped by their grid");
    }
}

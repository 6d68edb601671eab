//! `docs/file-format.md` against the program: a reader that follows the document and shares nothing with the program must
//! accept the same files, find the same logits and print the same digits.
//!
//! The reader is `reader/qbnn_reader.py`, for Python 3 without packages. Where there is no `python3`, the tests that need it
//! are left out and say so.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test should fail where it stands, and say what it left out"
)]

mod common;

use common::{Builder, Random, machine, sealed, with, zoo, zoo_layers};
use qbnn_core::draw::Rounding;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::write::{Header, Parameters, write};
use qbnn_core::model::{Function, HEADER_LEN, Kind, Model, Op, Posterior, RECORD_LEN};
use qbnn_core::noise::GAUSSIAN;
use qbnn_core::uncertainty::uncertainty;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROUNDINGS: [Rounding; 2] = [Rounding::Nearest, Rounding::Stochastic];

/// What the reader prints; `None`, with a word about it, where there is no Python.
fn reader(test: &str, args: &[&str]) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reader/qbnn_reader.py");
    match Command::new("python3").arg(script).args(args).output() {
        Ok(output) => {
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("LEFT OUT: {test} (python3 is not there)");
            None
        }
        Err(e) => panic!("python3: {e}"),
    }
}

/// A folder of a test's own.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What the other network leaves out: averages of averages and of what was padded, an add of the image and of codes of two
/// widths, wide values with two readers, strides beyond the window, channels that fill no strip, a wide last pool.
fn pools(seed: u64, bits: [u32; 4], rounding: Rounding) -> Vec<u8> {
    let mut b = Builder::new(seed, [2, 9, 8], bits, rounding);
    let step = 2048 * (2 - bits[3] as i16);
    let twice = b.add(0, 0);
    let twice = b.activation(twice, Function::LeakyRelu, step);
    let twice = b.pool(twice, false, 3, 1);
    let twice = b.pool(twice, false, 2, 2);
    let v = b.conv(twice, 17, 2, 1, 1, 1);
    let kept = b.activation(v, Function::ClippedRelu, step + 300);
    let other = b.activation(v, Function::Hardtanh, step - 500);
    let sum = b.add(kept, other);
    let sum = b.add(sum, v);
    let sum = b.activation(sum, Function::Relu, step);
    let sum = b.pool(sum, true, 2, 2);
    let v = b.conv(sum, 12, 1, 3, 0, 1);
    let v = b.activation(v, Function::LeakyRelu, step);
    let v = b.pool(v, false, 1, 1);
    let v = b.conv(v, 12, 3, 1, 2, 12);
    b.pool(v, false, 2, 2);
    b.finish()
}

fn models() -> Vec<(String, Vec<u8>)> {
    let mut models = Vec::new();
    for (i, bits) in
        [[4, 4, 4, 4], [8, 8, 8, 8], [2, 2, 2, 2], [3, 5, 7, 6], [8, 3, 4, 2], [5, 6, 3, 7]].iter().enumerate()
    {
        for rounding in ROUNDINGS {
            let seed = i as u64 + 20;
            models.push((format!("zoo {bits:?} {rounding:?}"), zoo(seed, *bits, rounding)));
            for posterior in [Posterior::Point, Posterior::Dropout { dropped: 77 }] {
                let file = zoo_layers(seed, *bits, rounding).with(posterior).finish();
                models.push((format!("zoo {bits:?} {rounding:?} {posterior:?}"), file));
            }
            models.push((format!("pools {bits:?} {rounding:?}"), pools(seed, *bits, rounding)));
        }
    }
    models
}

#[test]
fn logits_agree_to_the_bit() {
    let folder = folder("logits");
    for (i, (name, file)) in models().into_iter().enumerate() {
        let model = Model::new(&file).unwrap();
        // Seeds of more than 32 bits, draws that do not begin with 0.
        let (seed, draws) = (0x0123_4567_89ab_cdef_u64 >> i, i as u32..i as u32 + 2);
        let pixels = Random(i as u64).bytes(2 * model.input().len());
        let (path, images) = (write_file(&folder, "model.qbnn", &file), write_file(&folder, "images", &pixels));
        let (first, end) = (draws.start.to_string(), draws.end.to_string());
        let args = ["logits", &path, &seed.to_string(), &first, &end, &images];
        let Some(text) = reader("logits of an independent reader", &args) else { return };
        let found: Vec<i32> = text.split_ascii_whitespace().map(|v| v.parse().unwrap()).collect();
        assert!(found == machine(&file, Kernel::best(), seed, draws, &pixels, i % 2 == 0), "{name}");
        assert!(found.iter().any(|&v| v != found[0]), "{name}: logits that say something");
    }
}

#[test]
fn uncertainties_agree_in_every_digit() {
    let folder = folder("uncertainties");
    for (i, (name, file)) in models().into_iter().enumerate().take(4) {
        let (model, seed) = (Model::new(&file).unwrap(), 77 + i as u64);
        let (classes, samples, n) = (model.classes(), 5, 3);
        let pixels = Random(i as u64).bytes(n * model.input().len());
        let (path, images) = (write_file(&folder, "model.qbnn", &file), write_file(&folder, "images", &pixels));
        let args = ["predict", &path, &seed.to_string(), &samples.to_string(), &images];
        let Some(text) = reader("uncertainties of an independent reader", &args) else { return };
        let logits = machine(&file, Kernel::best(), seed, 0..samples as u32, &pixels, false);
        let lines: Vec<String> = (0..n)
            .map(|image| {
                let draws = (0..samples).map(|s| &logits[(s * n + image) * classes..][..classes]);
                let mut mean = vec![0; classes];
                let u = uncertainty(draws, &mut mean).unwrap();
                let class = (0..classes).rev().max_by_key(|&c| mean[c]).unwrap();
                let nats = [u.total, u.aleatoric, u.epistemic].map(|v| v as f64 / 65_536.0);
                let numbers = nats.into_iter().chain(mean.iter().map(|&p| p as f64 / 4_294_967_296.0));
                numbers.fold(class.to_string(), |line, v| format!("{line},{v:.6}"))
            })
            .collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), lines, "{name}");
    }
}

#[test]
fn the_document_prints_the_noise_table() {
    let text = include_str!("../../../docs/file-format.md");
    let (_, after) = text.split_once("eps from this table").unwrap();
    let block = after.split("```").nth(1).unwrap();
    let table: Vec<i16> = block.split_ascii_whitespace().map(|v| v.parse().unwrap()).collect();
    assert_eq!(table, GAUSSIAN);
}

/// The layers of a builder as a file of another kind.
fn of_kind(b: &Builder, kind: Kind, activations: bool) -> Vec<u8> {
    let header = b.header();
    let (stored, drawn) = (kind.stores_codes(), kind.runs_on_codes());
    let header = Header {
        kind,
        mu: header.mu.filter(|_| stored),
        sigma: header.sigma.filter(|_| stored && header.posterior.has_sigma()),
        weight: header.weight.filter(|_| drawn),
        activation: header.activation.filter(|_| activations),
        ..header
    };
    let layers: Vec<_> = b
        .layers
        .iter()
        .map(|(layer, parameters)| {
            let (mut layer, mut parameters) = (*layer, parameters.clone());
            match &mut layer.op {
                Op::Linear(l) => {
                    let (n, channels) = (l.fan_in() * layer.shape.channels, layer.shape.channels);
                    let sigmas = |n: usize| if header.posterior.has_sigma() { vec![0.1; n] } else { Vec::new() };
                    if !header.posterior.has_sigma() {
                        (parameters.sigma, parameters.bias_sigma) = Default::default();
                    }
                    if !stored {
                        let scales = std::mem::take(&mut parameters.weight_scales);
                        let float = [vec![0.5; n], sigmas(n), vec![0.5; channels], sigmas(channels)];
                        parameters = Parameters { weight_scales: scales, float, ..Parameters::default() };
                    }
                    if !drawn {
                        parameters.weight_scales.clear();
                    }
                }
                Op::Activation(a) if !activations => a.bits = None,
                _ => {}
            }
            (layer, parameters)
        })
        .collect();
    write(&header, &layers).unwrap()
}

/// A network of every kind of layer, small enough to be damaged a thousand times.
fn small(rounding: Rounding) -> Builder {
    let mut b = Builder::new(3, [2, 4, 4], [4, 3, 5, 4], rounding);
    let v = b.conv(0, 4, 3, 1, 1, 2);
    let v = b.activation(v, Function::Relu, -4096);
    let w = b.pool(v, true, 2, 1);
    let w = b.conv(w, 4, 2, 1, 1, 1);
    let w = b.add(w, v);
    let w = b.activation(w, Function::LeakyRelu, -4096);
    let w = b.pool(w, false, 2, 2);
    let w = b.conv(w, 3, 2, 1, 0, 1);
    let w = b.activation(w, Function::Hardtanh, -4096);
    let skip = b.pool(0, true, 4, 1);
    let skip = b.dense(skip, 3);
    let w = b.dense(w, 3);
    b.add(w, skip);
    b
}

/// Files of every kind.
fn valid() -> Vec<(&'static str, Vec<u8>)> {
    let (b, stochastic) = (small(Rounding::Nearest), small(Rounding::Stochastic));
    vec![
        ("jq", b.finish()),
        ("jq stochastic", stochastic.finish()),
        ("spq", of_kind(&b, Kind::Spq, true)),
        ("vpq", of_kind(&b, Kind::Vpq, false)),
        ("vpq with activations", of_kind(&b, Kind::Vpq, true)),
        ("float", of_kind(&b, Kind::Float, false)),
        ("jq point", small(Rounding::Nearest).with(Posterior::Point).finish()),
        ("jq dropout", small(Rounding::Stochastic).with(Posterior::Dropout { dropped: 254 }).finish()),
        ("spq dropout", of_kind(&small(Rounding::Nearest).with(Posterior::Dropout { dropped: 1 }), Kind::Spq, true)),
        ("vpq point", of_kind(&small(Rounding::Nearest).with(Posterior::Point), Kind::Vpq, true)),
        (
            "float dropout",
            of_kind(&small(Rounding::Nearest).with(Posterior::Dropout { dropped: 9 }), Kind::Float, false),
        ),
    ]
}

/// Whether each file is accepted, by the reader.
fn verdicts(test: &str, files: &[(String, Vec<u8>)]) -> Option<Vec<String>> {
    let folder = folder(test);
    let mut lines = Vec::new();
    for (part, files) in files.chunks(300).enumerate() {
        let path = |i: usize, file: &[u8]| write_file(&folder, &format!("{part}-{i}.qbnn"), file);
        let paths: Vec<String> = files.iter().enumerate().map(|(i, (_, file))| path(i, file)).collect();
        let args: Vec<&str> = std::iter::once("check").chain(paths.iter().map(|p| &p[..])).collect();
        lines.extend(reader("files that an independent reader refuses", &args)?.lines().map(str::to_owned));
    }
    std::fs::remove_dir_all(folder).unwrap();
    Some(lines)
}

/// Holds the reader's verdicts against the program's; gives how many were accepted.
fn agree(test: &str, files: &[(String, Vec<u8>)]) -> Option<usize> {
    let lines = verdicts(test, files)?;
    assert_eq!(lines.len(), files.len());
    let mut accepted = 0;
    for ((name, file), line) in files.iter().zip(&lines) {
        let found = Model::new(file).map(|_| ());
        assert_eq!(found.is_ok(), line == "accept", "{name}: the program says {found:?}, the reader {line}");
        accepted += usize::from(found.is_ok());
    }
    Some(accepted)
}

#[test]
fn damaged_files_are_judged_alike() {
    let (mut files, mut random) = (Vec::new(), Random(4));
    for (name, file) in valid() {
        let records = HEADER_LEN + RECORD_LEN * Model::new(&file).unwrap().layers();
        files.push((name.to_owned(), file.clone()));
        for i in 0..400 {
            let mut damaged = file.clone();
            for _ in 0..1 + random.below(2) {
                // Mostly among the numbers that steer.
                let at = random.below(if i % 8 == 0 { file.len() } else { records } as u64) as usize;
                damaged[at] = match random.below(4) {
                    0 => random.next() as u8,
                    1 => damaged[at] ^ 1 << random.below(8),
                    2 => damaged[at].wrapping_add(1),
                    _ => [0, 1, 127, 128, 255][random.below(5) as usize],
                };
            }
            match i % 40 {
                0 => damaged.truncate(random.below(file.len() as u64) as usize),
                1 => damaged.extend([0; 3]),
                _ => {}
            }
            // One in ten keeps its checksum, and is refused for it.
            let damaged = if i % 10 == 9 || damaged.len() < HEADER_LEN { damaged } else { sealed(damaged) };
            files.push((format!("{name}, damage {i}"), damaged));
        }
    }
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/model")).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::read(&path).unwrap();
        files.push((path.display().to_string(), file.clone()));
        if file.len() >= HEADER_LEN {
            files.push((format!("{}, sealed", path.display()), sealed(file)));
        }
    }
    let Some(accepted) = agree("damaged", &files) else { return };
    assert!(accepted > 200 && files.len() - accepted > 1000, "{accepted} of {} accepted", files.len());
}

/// A record's field in a file.
fn record(layer: usize, at: usize) -> usize {
    HEADER_LEN + layer * RECORD_LEN + at
}

/// Every rule of the document's last section, broken on purpose; beside some, the last value that is legal.
#[test]
fn every_refusal_of_the_document_is_one_of_the_program() {
    let jq = small(Rounding::Nearest).finish();
    let b = small(Rounding::Nearest);
    let (spq, vpq, float) =
        (of_kind(&b, Kind::Spq, true), of_kind(&b, Kind::Vpq, false), of_kind(&b, Kind::Float, false));
    let point = small(Rounding::Nearest).with(Posterior::Point).finish();
    let model = Model::new(&jq).unwrap();
    let parameters = |layer: usize| {
        let at = record(layer, 48);
        u64::from_le_bytes(jq[at..at + 8].try_into().unwrap())
    };
    let half = |v: i32| (v as u16).to_le_bytes().to_vec();
    let forge = |at: usize, by: u64| {
        let old = u64::from_le_bytes(jq[at..at + 8].try_into().unwrap());
        with(&jq, at, &old.wrapping_add(by).to_le_bytes())
    };
    // Ranges lie behind the two scales of each channel: of the first layer, 4 channels.
    let (scales, ranges) = (parameters(0) as usize, parameters(0) as usize + 16);
    // (what, file, a word of the refusal, if it is refused)
    let mut cases: Vec<(&str, Vec<u8>, Option<&str>)> = vec![
        ("magic", [b"QBNN\n\n\x1a\n", &jq[8..]].concat(), Some("")),
        ("63 bytes", jq[..63].to_vec(), Some("64")),
        ("version 0", with(&jq, 8, &half(0)), Some("")),
        ("version 2 of what version 1 can say", with(&jq, 8, &half(2)), None),
        ("version 3", with(&jq, 8, &half(3)), Some("version 3")),
        ("version 1 without sigmas", with(&point, 8, &half(1)), Some("reserved")),
        ("sigma bits without sigmas", with(&point, 37, &[4]), Some("sigma bits")),
        ("weight bits beside others of the means", with(&point, 38, &[5]), Some("weight bits")),
        ("length", [&jq[..], &[0]].concat(), Some("")),
        ("checksum", [&jq[..jq.len() - 1], &[jq[jq.len() - 1] ^ 1]].concat(), Some("damaged")),
        ("records beyond the file", with(&jq, 24, &half(4096)), Some("bytes")),
        ("more layers than 4096", with(&jq, 24, &half(4097)), Some("layers = 4097")),
        ("a byte behind the parameters", sealed([&jq[..], &[0]].concat()), Some("")),
        ("kind", with(&jq, 10, &[4]), Some("")),
        ("rounding", with(&jq, 11, &[2]), Some("")),
        ("rounding of float", with(&float, 11, &[1]), None),
        ("mu bits of jq", with(&jq, 36, &[1]), Some("")),
        ("mu bits of spq", with(&spq, 36, &[4]), Some("")),
        ("weight bits of vpq", with(&vpq, 38, &[4]), Some("")),
        ("activation bits of float", with(&float, 39, &[4]), Some("")),
        ("activation bits of vpq", with(&vpq, 39, &[9]), Some("")),
        ("activation bits of the header, not the record's", with(&jq, 39, &[8]), None),
        ("byte 41", with(&jq, 41, &[1]), Some("")),
        ("no layer", with(&jq, 24, &half(0)), Some("")),
        ("an empty image", with(&jq, 28, &half(0)), Some("")),
        ("a huge image", with(&jq, 26, &[255; 6]), Some("")),
        ("a name that is not UTF-8", with(&jq, 44, &[0xff]), Some("")),
        ("bytes behind the name", with(&jq, 63, b"x"), Some("")),
        ("a long name", with(&jq, 44, &[b'x'; 20]), None),
        ("kind of layer", with(&jq, record(2, 0), &[5]), Some("")),
        ("its own output as input", with(&jq, record(2, 4), &half(3)), Some("")),
        ("no channels", with(&jq, record(2, 8), &[0; 4]), Some("")),
        ("channels beyond the limit", with(&jq, record(0, 8), &[255; 4]), Some("")),
        ("no group", with(&jq, record(3, 24), &half(0)), Some("groups is 0")),
        ("groups that divide nothing", with(&jq, record(3, 24), &half(3)), Some("")),
        ("inputs of a group", with(&jq, record(3, 28), &half(3)), Some("")),
        ("no window", with(&jq, record(0, 16), &half(0)), Some("")),
        ("a window beyond the input", with(&jq, record(2, 16), &half(5)), Some("")),
        ("no stride", with(&jq, record(0, 20), &half(0)), Some("")),
        ("padding of the window", with(&jq, record(0, 22), &half(3)), Some("")),
        ("rows that windows do not give", with(&jq, record(0, 12), &half(5)), Some("")),
        ("a pool's second side, which no one reads", with(&jq, record(2, 18), &half(9)), None),
        ("a pool without stride", with(&jq, record(2, 20), &half(0)), Some("")),
        ("a pool's channels", with(&jq, record(2, 8), &half(5)), Some("")),
        ("offset", forge(record(3, 48), 1), Some("")),
        ("offset beyond 32 bits", forge(record(3, 48), 1 << 32), Some("offset")),
        ("length beyond 32 bits", forge(record(3, 56), 1 << 32), Some("bytes of parameters")),
        ("offset and length that cancel", forge(record(3, 48), u64::MAX << 32), Some("offset")),
        ("step 0 of the sigma grid", with(&jq, ranges + 2, &half(0)), Some("step of a sigma grid is 0")),
        ("step -1 of the biases' sigma grid", with(&jq, ranges + 8, &half(-1)), Some("step of a sigma grid is -1")),
        ("no f: a mean's step", with(&jq, scales, &half(32_767)), Some("channel 0")),
        ("no f: sigma", with(&jq, ranges, &half(32_767)), Some("channel 0")),
        ("a shift to wide", with(&with(&jq, 42, &half(32_767)), scales + 8, &half(0)), Some("channel 0")),
        ("function", with(&jq, record(1, 1), &[4]), Some("")),
        ("an activation's shape", with(&jq, record(1, 12), &half(3)), Some("")),
        ("bits of an activation", with(&jq, record(1, 2), &[9]), Some("")),
        ("bits of a float activation", with(&float, record(1, 2), &[4]), Some("")),
        ("low beyond its width", with(&jq, record(5, 36), &half(-9)), Some("-9")),
        ("low above 0", with(&jq, record(5, 36), &half(1)), Some("from 1 to")),
        ("high of 0", with(&jq, record(5, 38), &half(0)), Some("to 0")),
        ("high beyond its width", with(&jq, record(5, 38), &half(8)), Some("to 8")),
        ("high of one", with(&jq, record(5, 38), &half(1)), None),
        ("slope", with(&jq, record(5, 44), &0x8000_0001u32.to_le_bytes()), Some("")),
        ("an activation of codes", with(&jq, record(5, 4), &half(2)), Some("cannot read codes")),
        ("an add of itself", with(&jq, record(4, 6), &half(5)), Some("")),
        ("an add of another shape", with(&jq, record(4, 6), &half(3)), Some("")),
        ("classes", with(&jq, 32, &half(4)), Some("")),
        ("a last layer of codes", with(&jq, record(12, 0), &[1]), Some("")),
    ];
    // All scales of a layer, and its largest sigma, the same: so that it fits to another step of its input.
    let scaled = |file: &[u8], layer: usize, channels: usize, log2: i32| {
        let at = parameters(layer) as usize;
        with(&with(file, at, &half(log2).repeat(2 * channels)), at + 4 * channels, &half(log2))
    };
    // An operand's step: 2^14 is too large, a little less is not; of spq, which runs in float, it does not matter.
    for (file, step, refused) in [
        (scaled(&jq, 3, 4, -12_000), 14 * 2048, true),
        (scaled(&jq, 3, 4, -12_000), 14 * 2048 - 1, false),
        (scaled(&jq, 3, 4, -12_000), -32_768, false),
        (spq.clone(), 14 * 2048, false),
    ] {
        let file = with(&file, record(1, 34), &half(step));
        cases.push(("an operand's step", file, refused.then_some("it adds codes")));
    }
    // Sums to codes: units of the sums so small beside the step that every code is 0, and once as large as they must be.
    for (ratio, refused) in [(-32 * 2048 - 1, true), (-32 * 2048, false)] {
        let (weight, step) = (-20_000, 32_767);
        let file = scaled(&jq, 0, 4, weight);
        let file = with(&with(&file, 42, &half(ratio - weight + step)), record(1, 34), &half(step));
        // Those that read the activation and the image; the add reads sums twice, as this step is none for an operand.
        let file = scaled(&scaled(&file, 3, 4, -10_000), 10, 3, -10_000);
        let file = with(&file, record(4, 6), &half(4));
        cases.push(("sums to codes", file, refused.then_some("every code would be 0")));
    }
    assert_eq!(model.layers(), 13);
    for (what, file, refused) in &cases {
        let found = Model::new(file).map(|_| ());
        assert_eq!(found.is_err(), refused.is_some(), "{what}: {found:?}");
        if let (Err(e), Some(word)) = (found, refused) {
            let text = e.to_string();
            assert!(text.contains(word) && !text.contains('\n'), "{what}: {text}");
        }
    }
    let files: Vec<_> = cases.into_iter().map(|(what, file, _)| (what.to_owned(), file)).collect();
    agree("refusals", &files);
}

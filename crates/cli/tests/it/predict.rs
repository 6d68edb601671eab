//! `qbnn predict`: pictures of any kind and size, folders and stdin; what cannot be read is told, the rest is answered.

use crate::common::{command, fail, npz, qbnn, succeed, tiny};
use qbnn_data::idx::{Idx, Storage, Values};
use qbnn_data::{Images, Limits, Locations, load};
use std::fs::{self, File};
use std::path::Path;

const MODEL: &str = "a/jq-mu4s2w8a4.qbnn";

/// The numbers of every line of CSV, without file and place.
fn numbers(csv: &str) -> Vec<String> {
    csv.lines().skip(1).map(|line| line.splitn(3, ',').nth(2).unwrap().to_owned()).collect()
}

fn predict(at: &Path, args: &[&str]) -> Vec<String> {
    numbers(&succeed(at, &[&["predict", MODEL, "--format", "csv"], args].concat()))
}

/// Every pixel `times` x `times` times.
fn enlarged(image: &[u8], side: usize, times: usize) -> Images {
    let pixel = |i: usize| image[i / (side * times) / times * side + i % (side * times) / times];
    let side_now = side * times;
    Images { height: side_now, width: side_now, channels: 1, pixels: (0..side_now * side_now).map(pixel).collect() }
}

#[test]
fn pictures_are_read_as_the_model_wants_them() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "a", "--seed", "5"]));
    let images = load("strokes", &Locations::default(), 3, Limits::default()).unwrap().groups.remove(0).images;
    let idx = |n: usize| Idx::new(vec![n, 28, 28], Values::U8(images.pixels[..n * 784].to_vec())).unwrap();
    idx(3).write(&at.join("three.idx"), Storage::Plain).unwrap();
    let wanted = predict(at, &["three.idx"]);
    assert_eq!(wanted.len(), 3);

    // Exported, one by one, as a folder, through stdin: the same pixels, so the same numbers.
    let list = succeed(at, &["data", "export", "strokes", "--seed", "3", "--index", "0..3", "pics"]);
    assert_eq!(list.lines().count(), 3);
    assert!(list.lines().all(|l| l.contains("clean-0000") && l.contains("label")), "{list}");
    assert_eq!(predict(at, &["pics"]), wanted);
    assert_eq!(
        predict(at, &["pics/strokes-clean-00002.png", "three.idx"])[..2],
        [wanted[2].clone(), wanted[0].clone()]
    );
    for file in ["pics/strokes-clean-00000.png", "three.idx"] {
        let mut run = command(at, &["predict", MODEL, "-", "--format", "csv"]);
        let output = run.stdin(File::open(at.join(file)).unwrap()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(numbers(&text)[0], wanted[0]);
        assert!(text.contains("\nstdin,0,"));
    }

    // Larger, brighter side out, in colours that are none.
    let large = enlarged(images.get(0).unwrap(), 28, 3);
    large.write_png(0, &at.join("large.png")).unwrap();
    let large_idx = Idx::new(vec![1, 84, 84], Values::U8(large.pixels.clone())).unwrap();
    large_idx.write(&at.join("large.idx"), Storage::Plain).unwrap();
    assert!(fail(at, 1, &["predict", MODEL, "large.idx"]).contains("--resize scales them"));
    assert_eq!(predict(at, &["large.idx", "--resize"])[0], wanted[0]);

    // Arrays, and files of images with channels: the same pixels, so the same numbers.
    let array = |name, descr, shape, bytes| npz::Array { name, descr, shape, bytes };
    let pixels = images.pixels[..3 * 784].to_vec();
    let labels = npz::integers("y_test", "(3,)", &[1, 2, 3]);
    npz::write(&at.join("three.npz"), &[array("x_test", "|u1", "(3, 28, 28)", pixels.clone()), labels]);
    assert_eq!(predict(at, &["three.npz"]), wanted);
    let values: Vec<f64> = pixels.iter().map(|&v| f64::from(v) / 255.0).collect();
    npz::write(&at.join("rows.npz"), &[npz::floats("whatever", "(3, 784)", &values)]);
    assert_eq!(predict(at, &["rows.npz"]), wanted);
    npz::write(&at.join("large.npz"), &[array("x", "|u1", "(1, 84, 84, 1)", large.pixels.clone())]);
    assert!(fail(at, 1, &["predict", MODEL, "large.npz"]).contains("--resize scales them"));
    assert_eq!(predict(at, &["large.npz", "--resize"])[0], wanted[0]);
    let four = |channels: usize, name: &str| {
        let values = pixels.iter().flat_map(|&v| vec![v; channels]).collect();
        let idx = Idx::new(vec![3, 28, 28, channels], Values::U8(values)).unwrap();
        idx.write(&at.join(name), Storage::Gzip).unwrap();
    };
    four(1, "four.idx");
    assert_eq!(predict(at, &["four.idx"]), wanted);
    four(3, "colour.idx");
    let error = fail(at, 1, &["predict", MODEL, "colour.idx"]);
    assert!(error.contains("have colour") && error.contains("--grey"), "{error}");
    assert_eq!(predict(at, &["colour.idx", "--grey"]), wanted);
    // A folder of them, and labels of the same file.
    fs::create_dir(at.join("arrays")).unwrap();
    fs::copy(at.join("three.npz"), at.join("arrays/three.npz")).unwrap();
    assert_eq!(predict(at, &["arrays"]), wanted);
    let text = succeed(at, &["predict", MODEL, "three.npz", "--labels", "three.npz", "--json"]);
    assert!(text.lines().last().unwrap().contains("\"summary\":{") && text.contains("\"images\":3"), "{text}");
    let error = fail(at, 1, &["predict", MODEL, "rows.npz", "--labels", "rows.npz"]);
    assert!(error.contains("rows.npz") && error.contains("wanted probabilities"), "{error}");
    let mut run = command(at, &["predict", MODEL, "-", "--format", "csv"]);
    let output = run.stdin(File::open(at.join("three.npz")).unwrap()).output().unwrap();
    assert_eq!(numbers(&String::from_utf8(output.stdout).unwrap()), wanted);
    npz::write(&at.join("none.npz"), &[npz::integers("a", "(1,)", &[1]), npz::integers("b", "(1,)", &[1])]);
    let error = fail(at, 1, &["predict", MODEL, "none.npz"]);
    assert!(error.contains("none.npz: holds a, b, wanted an array x_test, x or images"), "{error}");
    let negative = Images { pixels: large.pixels.iter().map(|v| 255 - v).collect(), ..large };
    negative.write_png(0, &at.join("negative.png")).unwrap();
    let rgb = |colour: fn(u8) -> [u8; 3]| {
        let pixels = large.pixels.iter().flat_map(|&v| colour(v)).collect();
        Images { channels: 3, pixels, ..large }
    };
    rgb(|v| [v; 3]).write_png(0, &at.join("rgb.png")).unwrap();
    rgb(|v| [v, 0, 0]).write_png(0, &at.join("red.png")).unwrap();
    assert_eq!(predict(at, &["large.png", "rgb.png"]), [wanted[0].clone(), wanted[0].clone()]);
    assert_eq!(predict(at, &["negative.png", "--invert"]), wanted[..1]);
    let output = qbnn(at, &["predict", MODEL, "negative.png"]);
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && note.contains("--invert"), "{note}");
    let error = fail(at, 1, &["predict", MODEL, "red.png"]);
    assert!(error.contains("red.png: has colour") && error.contains("--grey"), "{error}");
    assert_eq!(predict(at, &["red.png", "--grey"]).len(), 1);

    // Some that cannot be read among others.
    fs::write(at.join("pics/broken.png"), b"\x89PNG\r\n\x1a\n and no more").unwrap();
    fs::write(at.join("pics/notes.txt"), "no image").unwrap();
    let output = qbnn(at, &["predict", MODEL, "pics", "red.png", "nowhere.png", "three.idx", "--format", "csv"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(numbers(&String::from_utf8(output.stdout).unwrap()), [&wanted[..], &wanted[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    let warnings: Vec<_> = said.lines().filter(|l| l.starts_with("warning: ")).collect();
    for (line, part) in warnings.iter().zip(["broken.png: the PNG is damaged", "red.png: has colour", "nowhere.png"]) {
        assert!(line.contains(part), "{said}");
    }
    assert_eq!(warnings.len(), 3, "{said}");
    assert_eq!(said.lines().last().unwrap().split(';').next(), Some("error: 3 of 7 files could not be read"));

    fs::create_dir(at.join("empty")).unwrap();
    let error = fail(at, 1, &["predict", MODEL, "empty"]);
    assert!(error.contains("empty: holds no PNG"), "{error}");
    let error = fail(at, 1, &["predict", MODEL, MODEL]);
    assert!(error.contains("neither a PNG or JPEG picture nor an IDX file"), "{error}");
    assert!(fail(at, 2, &["predict", MODEL, "three.idx", "--abstain-above=-1"]).contains("--abstain-above"));

    // One analytic pass, of any kind of model; draws of a float model, whose pass is near to many of them.
    let of = |model: &str, args: &[&str]| -> Vec<f64> {
        let csv = succeed(at, &[&["predict", model, "three.idx", "--format", "csv"], args].concat());
        numbers(&csv)
            .iter()
            .flat_map(|line| line.splitn(6, ',').nth(5).unwrap().split(','))
            .map(|p| p.parse().unwrap())
            .collect()
    };
    for (model, args) in [(MODEL, &["--pfp"][..]), (MODEL, &["--pfp=drawn"]), ("a/float.qbnn", &["--pfp"])] {
        let probabilities = of(model, args);
        assert_eq!(probabilities.len(), 30);
        assert!(probabilities.chunks(10).all(|p| (p.iter().sum::<f64>() - 1.0).abs() < 1e-4), "{probabilities:?}");
    }
    let (pass, draws) = (of("a/float.qbnn", &["--pfp"]), of("a/float.qbnn", &["--samples", "1000"]));
    assert!(pass.iter().zip(&draws).all(|(a, b)| (a - b).abs() < 0.1), "{pass:?} and {draws:?}");
    assert!(fail(at, 2, &["predict", MODEL, "three.idx", "--pfp", "--samples", "8"]).contains("--samples"));
    assert_eq!(predict(at, &["three.idx", "--score", "pfp"]), predict(at, &["three.idx", "--pfp"]));
    assert_eq!(predict(at, &["three.idx", "--score", "draws"]), wanted);
    assert!(fail(at, 2, &["predict", MODEL, "three.idx", "--score", "pfp", "--seed", "8"]).contains("--seed"));

    // More images than are predicted together.
    idx(110).write(&at.join("many.idx"), Storage::Gzip).unwrap();
    let many = predict(at, &["many.idx", "--samples", "4000"]);
    assert_eq!(many.len(), 110);
    assert_eq!(many[..3], predict(at, &["three.idx", "--samples", "4000"]));
}

/// A pass over two-bit weights and activations decides otherwise than the draws that it stands for, and `predict` says so; one
/// over eight bits does not.
#[test]
fn a_pass_that_leaves_its_draws_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let train =
        ["train", "--out", "a", "--net", "mlp", "--train-limit", "2000", "--epochs", "10", "--seed", "5", "--quiet"];
    succeed(at, &train);
    for bits in ["mu4s4w2a2", "w8a8"] {
        succeed(at, &["quantize", "a", "--bits", bits, "--qat-epochs", "0", "--quiet"]);
    }
    succeed(at, &["data", "export", "strokes", "--format", "npz", "--limit", "300", "--group", "clean", "clean.npz"]);
    let said = |model: &str| {
        let output = qbnn(at, &["predict", model, "clean.npz", "--pfp", "--format", "csv"]);
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 301);
        String::from_utf8(output.stderr).unwrap()
    };
    let warning = said("a/jq-mu4s4w2a2-ptq.qbnn");
    assert!(warning.contains("warning: a/jq-mu4s4w2a2-ptq.qbnn: ") && warning.contains("use draws"), "{warning}");
    let none = said("a/jq-w8a8-ptq.qbnn");
    assert!(!none.contains("use draws"), "{none}");
}

/// Writes a grey picture with visibility.
fn write_alpha(path: &Path, side: usize, pixels: impl Iterator<Item = [u8; 2]>) {
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), side as u32, side as u32);
    encoder.set_color(png::ColorType::GrayscaleAlpha);
    encoder.set_depth(png::BitDepth::Eight);
    let data: Vec<u8> = pixels.flatten().collect();
    encoder.write_header().unwrap().write_image_data(&data).unwrap();
}

#[test]
fn pictures_that_could_go_wrong_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "a", "--seed", "5"]));
    succeed(at, &["data", "export", "strokes", "--seed", "3", "--index", "0..3", "pics"]);
    let wanted = predict(at, &["pics"]);
    let piped = |bytes: &[u8], args: &[&str]| {
        fs::write(at.join("piped"), bytes).unwrap();
        let mut run = command(at, &[&["predict", MODEL, "-", "--format", "csv"], args].concat());
        let output = run.stdin(File::open(at.join("piped")).unwrap()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
    };

    // Several on one stdin, or in one file.
    let files: Vec<Vec<u8>> =
        (0..3).map(|i| fs::read(at.join(format!("pics/strokes-clean-0000{i}.png"))).unwrap()).collect();
    let (code, csv, _) = piped(&files.concat(), &[]);
    assert_eq!((code, numbers(&csv)), (Some(0), wanted.clone()), "{csv}");
    assert!(csv.contains("\nstdin,0,") && csv.contains("\nstdin,2,"), "{csv}");
    assert_eq!(predict(at, &["piped"]), wanted);
    let images = load("strokes", &Locations::default(), 3, Limits::default()).unwrap().groups.remove(0).images;
    let idx = Idx::new(vec![3, 28, 28], Values::U8(images.pixels[..3 * 784].to_vec())).unwrap();
    idx.write(&at.join("three.idx"), Storage::Gzip).unwrap();
    let (code, csv, _) = piped(&[&files[0][..], &fs::read(at.join("three.idx")).unwrap()].concat(), &[]);
    assert_eq!((code, numbers(&csv)), (Some(0), [&wanted[..1], &wanted].concat()), "{csv}");
    // One that is damaged among them, and what is none behind them.
    let mut damaged = files[1].clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 255;
    let (code, csv, said) = piped(&[&files[0][..], &damaged, &files[2]].concat(), &[]);
    assert_eq!((code, numbers(&csv)), (Some(1), vec![wanted[0].clone(), wanted[2].clone()]), "{csv}");
    assert!(said.contains("stdin, picture 1: the PNG is damaged") && said.contains("1 of 3 pictures"), "{said}");
    let (code, csv, said) = piped(&[&files[0][..], b"no image"].concat(), &[]);
    assert_eq!((code, numbers(&csv).len()), (Some(0), 1));
    assert!(said.contains("8 bytes behind the picture"), "{said}");
    let (code, _, said) = piped(&files.concat()[..files[0].len() + 20], &[]);
    assert!(code == Some(1) && said.contains("stdin, picture 1"), "{said}");

    // Ink on nothing looks as it does on a page.
    let ink = images.get(0).unwrap();
    write_alpha(&at.join("black.png"), 28, ink.iter().map(|&v| [0, v]));
    write_alpha(&at.join("white.png"), 28, ink.iter().map(|&v| [255, v]));
    write_alpha(&at.join("nothing.png"), 28, ink.iter().map(|_| [0, 0]));
    let paper = Images { height: 28, width: 28, channels: 1, pixels: ink.iter().map(|v| 255 - v).collect() };
    paper.write_png(0, &at.join("paper.png")).unwrap();
    let first = &wanted[..1];
    assert_eq!(predict(at, &["white.png"]), first);
    assert_eq!(predict(at, &["black.png", "--invert"]), first);
    assert_eq!(predict(at, &["black.png"]), predict(at, &["paper.png"]));
    let said = |file: &str| String::from_utf8(qbnn(at, &["predict", MODEL, file]).stderr).unwrap();
    assert!(said("black.png").contains("--invert"), "{}", said("black.png"));
    assert!(said("nothing.png").contains("blank") && !said("white.png").contains("blank"));
}

#[test]
fn what_is_named_for_a_model_is_used_or_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "my run", "--seed", "5"]));
    succeed(at, &["data", "export", "strokes", "--seed", "3", "--index", "0..2", "pics"]);
    let picture = "pics/strokes-clean-00000.png";
    let [float, jq] = ["'my run/float.qbnn'", "'my run/jq-mu4s2w8a4.qbnn'"];
    let error = fail(at, 2, &["predict", "my run", picture]);
    assert!(error.contains("2 model files") && error.contains(float) && error.contains(jq), "{error}");
    for command in
        [&["predict", "my run/jq-mu4s2w8a4.safetensors", picture][..], &["inspect", "my run/jq-mu4s2w8a4.safetensors"]]
    {
        let error = fail(at, 1, command);
        assert!(error.contains("it is a checkpoint") && error.contains(jq), "{error}");
    }
    for command in [&["predict", picture, picture][..], &["inspect", picture]] {
        let error = fail(at, 1, command);
        assert!(error.contains("it is a PNG picture") && error.contains("qbnn predict MODEL.qbnn pics/"), "{error}");
    }
    let error = fail(at, 1, &["check", "my run/jq-mu4s2w8a4.qbnn"]);
    assert!(error.contains("it is a model file") && error.contains("'my run/jq-mu4s2w8a4.safetensors'"), "{error}");
    assert!(fail(at, 1, &["quantize", picture]).contains("it is a PNG picture"));
    let shown = succeed(at, &["inspect", "my run"]);
    assert!(shown.contains("jq-mu4s2w8a4.qbnn\tkind\tjq") && shown.contains(&format!("qbnn inspect {jq}")), "{shown}");
    // The only model file of a folder is the one that is meant.
    fs::create_dir(at.join("one")).unwrap();
    fs::copy(at.join("my run/jq-mu4s2w8a4.qbnn"), at.join("one/model.qbnn")).unwrap();
    let by_folder = succeed(at, &["predict", "one", "pics", "--format", "csv"]);
    assert_eq!(by_folder, succeed(at, &["predict", "one/model.qbnn", "pics", "--format", "csv"]));
    assert!(succeed(at, &["inspect", "one"]).contains("kernel:"));
    assert!(fail(at, 1, &["predict", "pics", picture]).contains("holds no model file"));
    assert!(fail(at, 1, &["inspect", "gone.qbnn"]).contains("gone.qbnn"));
}

#[test]
fn what_cannot_be_exported_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let export = |args: &[&str]| fail(dir.path(), 2, &[&["data", "export"], args].concat());
    assert!(export(&["strokse", "pics"]).contains("`strokes`"));
    let error = export(&["strokes", "pics", "--index", "0..1000000"]);
    assert!(error.contains("--index ends at 1000000"), "{error}");
    for range in ["3..3", "9..3", "x", "..", "-1"] {
        let output = qbnn(dir.path(), &["data", "export", "strokes", "pics", &format!("--index={range}")]);
        assert_eq!(output.status.code(), Some(2), "{range}");
    }
    assert!(!dir.path().join("pics").exists());
    let error = fail(dir.path(), 1, &["data", "export", "mnist", "pics", "--data-dir", "none"]);
    assert!(error.contains("qbnn data fetch mnist"), "{error}");
}

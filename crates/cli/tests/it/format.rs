//! `qbnn predict` against an independent reader of `docs/file-format.md`, digit by digit.

use crate::common::{succeed, tiny};
use qbnn_data::idx::{Idx, Storage, Values};
use qbnn_data::{Limits, Locations, load};
use std::fs;
use std::process::Command;

#[test]
fn an_independent_reader_prints_the_digits_of_predict() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "a", "--seed", "5"]));
    let images = load("strokes", &Locations::default(), 3, Limits::default()).unwrap().groups.remove(0).images;
    let pixels = images.pixels[..3 * 784].to_vec();
    fs::write(at.join("pixels"), &pixels).unwrap();
    Idx::new(vec![3, 28, 28], Values::U8(pixels)).unwrap().write(&at.join("three.idx"), Storage::Plain).unwrap();
    let (model, seed, samples) = ("a/jq-mu4s2w8a4.qbnn", "8000000001", "4");
    let settings = ["--seed", seed, "--samples", samples, "--format", "csv"];
    let text = succeed(at, &[&["predict", model, "three.idx"], &settings[..]].concat());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/reader/qbnn_reader.py");
    let python = |command: &str| {
        let args = [script, command, model, seed, samples, "pixels"];
        match Command::new("python3").args(args).current_dir(at).output() {
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                Some(String::from_utf8(output.stdout).unwrap())
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("LEFT OUT: an independent reader against `qbnn predict` (python3 is not there)");
                None
            }
            Err(e) => panic!("python3: {e}"),
        }
    };
    let Some(wanted) = python("predict") else { return };
    // file, image, class, abstained, then the numbers.
    let lines: Vec<String> = text
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<_> = line.split(',').collect();
            [&fields[2..3], &fields[4..]].concat().join(",")
        })
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines, wanted.lines().collect::<Vec<_>>());
    // The softmax in f64, which the host takes, is near: 1e-4 nats, 1e-6 of a probability, and a digit's rounding.
    for (line, float) in lines.iter().zip(python("softmax").unwrap().lines()) {
        let numbers = |line: &str| line.split(',').map(|v| v.parse::<f64>().unwrap()).collect::<Vec<_>>();
        for (i, (found, exact)) in numbers(line).into_iter().zip(numbers(float)).enumerate() {
            let bound = if i < 4 { 1e-4 } else { 1e-6 } + 1e-6;
            assert!((found - exact).abs() <= bound, "number {i}: {found} and {exact}");
        }
    }
}

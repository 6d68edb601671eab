//! Model files: what is written is read, and nothing that is damaged, foreign or absurd gets through.

#![allow(clippy::unwrap_used, reason = "a test should fail where it stands")]

mod common;

use common::{Random, lenet5, machine, sealed, with, zoo};
use qbnn_core::draw::Rounding;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::write::{Header, Parameters, write};
use qbnn_core::model::{HEADER_LEN, Kind, Model, ModelError, Problem, RECORD_LEN};

#[test]
fn what_is_written_is_read() {
    let file = lenet5(1, [4, 3, 5, 6], Rounding::Stochastic);
    let model = Model::new(&file).unwrap();
    assert_eq!((model.kind(), model.rounding(), model.name()), (Kind::Jq, Rounding::Stochastic, "random"));
    assert_eq!((model.layers(), model.classes(), model.input().len()), (11, 10, 784));
    assert_eq!((model.parameters(), model.multiply_adds()), (61_706, 416_520));
    assert_eq!((model.pixels().zero, model.pixels().log2_step), (33, -12_896));
    let bits =
        (model.mu_bits().unwrap().get(), model.sigma_code().unwrap().0.get(), model.weight_code().unwrap().max());
    assert_eq!(bits, (4, 3, 15));
}

#[test]
fn a_4_bit_file_is_a_seventh_and_a_half_of_the_float_file() {
    let file = lenet5(1, [4; 4], Rounding::Nearest);
    let model = Model::new(&file).unwrap();
    // The same network in float: two numbers of 4 bytes per parameter.
    let header = Header {
        kind: Kind::Float,
        mu: None,
        sigma: None,
        weight: None,
        activation: None,
        ..common::Builder::new(1, [1, 28, 28], [4; 4], Rounding::Nearest).header()
    };
    let layers: Vec<_> = model
        .iter()
        .map(|mut layer| {
            let mut parameters = Parameters::default();
            match &mut layer.op {
                qbnn_core::model::Op::Linear(l) => {
                    let (n, channels) = (l.fan_in() * layer.shape.channels, layer.shape.channels);
                    parameters.float = [vec![0.5; n], vec![0.1; n], vec![0.5; channels], vec![0.1; channels]];
                }
                qbnn_core::model::Op::Activation(a) => a.bits = None,
                _ => {}
            }
            (layer, parameters)
        })
        .collect();
    let float = write(&header, &layers).unwrap();
    assert_eq!(Model::new(&float).unwrap().kind(), Kind::Float);
    let ratio = float.len() as f64 / file.len() as f64;
    assert!(ratio >= 7.5, "{} / {} = {ratio:.3}", float.len(), file.len());
}

#[test]
fn a_thousand_truncations_and_a_thousand_flips_are_refused() {
    let file = zoo(1, [4; 4], Rounding::Nearest);
    let mut random = Random(9);
    for _ in 0..1000 {
        let cut = random.below(file.len() as u64) as usize;
        assert!(Model::new(&file[..cut]).is_err(), "cut at {cut}");
        let mut flipped = file.clone();
        let bit = random.below(8 * file.len() as u64) as usize;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Model::new(&flipped).is_err(), "bit {bit}");
    }
}

/// Damage that the checksum does not see, since whoever did it wrote a new one: refused, or a model that runs.
#[test]
fn sealed_damage_is_refused_or_harmless() {
    let file = zoo(1, [3, 2, 4, 5], Rounding::Nearest);
    let records = HEADER_LEN + 20 * RECORD_LEN;
    let (mut random, mut ran) = (Random(10), 0);
    for i in 0..1500 {
        let mut damaged = file.clone();
        // Mostly among the numbers that steer.
        let reach = if i % 4 == 0 { file.len() } else { records };
        for _ in 0..1 + random.below(3) {
            let at = 24 + random.below(reach as u64 - 24) as usize;
            damaged[at] = match random.below(3) {
                0 => random.next() as u8,
                1 => damaged[at] ^ 1 << random.below(8),
                _ => [0, 1, 127, 128, 255][random.below(5) as usize],
            };
        }
        if random.below(8) == 0 {
            damaged.truncate(64 + random.below(file.len() as u64 - 64) as usize);
        }
        let damaged = sealed(damaged);
        if let Ok(model) = Model::new(&damaged)
            && model.kind() == Kind::Jq
            && model.input().len() < 10_000
        {
            machine(&damaged, Kernel::best(), 1, 0..2, &vec![200; model.input().len()], i % 2 == 0);
            ran += 1;
        }
    }
    assert!(ran > 50, "{ran} damaged models ran");
}

#[test]
fn each_way_to_be_wrong_has_its_message() {
    let file = lenet5(1, [4; 4], Rounding::Nearest);
    let message = |file: &[u8]| Model::new(file).unwrap_err().to_string();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"PK\x03\x04 and so on".to_vec(), "no qbnn model"),
        (vec![], "no qbnn model"),
        (file[..40].to_vec(), "40 bytes"),
        (with(&file, 8, &9u16.to_le_bytes()), "version 9"),
        (with(&file, 10, &[7]), "kind = 7"),
        (with(&file, 36, &[9]), "mu bits = 9"),
        // Dense layer 4 (record 6): 2^28 outputs, and 2^60 bytes of parameters.
        (with(&file, HEADER_LEN + 6 * RECORD_LEN + 8, &(1u32 << 28).to_le_bytes()), "layer 7"),
        (with(&file, HEADER_LEN + 6 * RECORD_LEN + 56, &(1u64 << 60).to_le_bytes()), "1152921504606846976"),
        (with(&file, HEADER_LEN + 6 * RECORD_LEN + 4, &99u16.to_le_bytes()), "input is 99"),
        (with(&file, HEADER_LEN + 20, &0u16.to_le_bytes()), "stride is 0"),
        (sealed([&file[..], &[0]].concat()), "bytes"),
    ];
    for (bytes, wanted) in cases {
        let found = message(&bytes);
        assert!(found.contains(wanted) && !found.contains('\n'), "{wanted}: {found}");
    }
    let mut flipped = file.clone();
    flipped[5000] ^= 4;
    assert!(matches!(Model::new(&flipped), Err(ModelError::Checksum { .. })));
}

#[test]
fn a_layer_that_could_overflow_its_accumulator_is_refused() {
    // 182 * 182 inputs of up to 255 times weights of up to 128: just beyond 2^30.
    let mut b = common::Builder::new(1, [1, 182, 182], [8; 4], Rounding::Nearest);
    b.dense(0, 2);
    let error = write(&b.header(), &b.layers).unwrap_err();
    assert!(matches!(error, ModelError::Layer { layer: 1, problem: Problem::Accumulator { .. } }), "{error}");
    // With 7 bits it fits; a file that then claims 8 is refused where it is read, with what was found and what is held.
    let mut b = common::Builder::new(1, [1, 182, 182], [8, 8, 7, 8], Rounding::Nearest);
    b.dense(0, 2);
    let file = b.finish();
    assert!(Model::new(&file).is_ok());
    let message = Model::new(&with(&file, 38, &[8])).unwrap_err().to_string();
    assert!(message.contains("1081167360") && message.contains("1073741823") && !message.contains('\n'), "{message}");
}

/// A number that has no room in its place would be another number where it is read.
#[test]
fn what_a_file_has_no_room_for_is_not_written() {
    let made = || {
        let mut b = common::Builder::new(1, [1, 6, 6], [4, 3, 4, 4], Rounding::Nearest);
        let v = b.conv(0, 3, 3, 1, 1, 1);
        b.dense(v, 2);
        b
    };
    // The dense layer would read sums.
    let message = |b: &common::Builder| write(&b.header(), &b.layers[..1]).unwrap_err().to_string();
    let mut b = made();
    b.input.rows += 1 << 16;
    assert!(message(&b).contains("rows = 65542"), "{}", message(&b));
    let linear = |b: &mut common::Builder, change: fn(&mut qbnn_core::model::Linear)| match &mut b.layers[0].0.op {
        qbnn_core::model::Op::Linear(l) => change(l),
        _ => panic!("a convolution"),
    };
    let mut b = made();
    linear(&mut b, |l| l.stride += 1 << 16);
    assert!(message(&b).contains("stride is 65537"), "{}", message(&b));
    let mut b = made();
    linear(&mut b, |l| l.groups = 0);
    assert!(message(&b).contains("groups is 0"), "{}", message(&b));
    let mut b = made();
    b.layers[0].0.shape.columns += 1 << 16;
    assert!(message(&b).contains("columns is 65542"), "{}", message(&b));
    // Codes that are wider than their width, and as many bytes as are wanted in other places.
    let mut b = made();
    b.layers[0].1.mu[5] = -9;
    assert!(message(&b).contains("from -9 to -9"), "{}", message(&b));
    let mut b = made();
    b.layers[0].1.bias_sigma[1] = 8;
    assert!(message(&b).contains("from 8 to 8"), "{}", message(&b));
    let mut b = made();
    b.layers[0].1.mu_scales.pop();
    b.layers[0].1.weight_scales.push(0);
    assert!(message(&b).contains("scales of means is 2, 3 was wanted"), "{}", message(&b));
    let mut b = made();
    b.layers[0].1.mu.pop();
    assert!(message(&b).contains("codes of means is 26, 27 was wanted"), "{}", message(&b));
    assert!(write(&made().header(), &made().layers[..1]).is_ok());
}

//! Some bytes as a model file: refused with one line, or a model that can be looked at and run.

use qbnn_core::kernel::{Kernel, scalar};
use qbnn_core::model::write_section::without_section;
use qbnn_core::model::{Kind, Model, NAME_LIMIT, Op, crc32};
use qbnn_core::run::{Plan, Scratch, Source, Step, Weights};

/// Work and memory up to which a model is run: a fuzzer wants many small ones.
const MOST_WORK: u64 = 4_000;
const MOST_BYTES: usize = 1 << 18;

/// Takes the bytes as they are, and with length and checksum made right, which no fuzzer can guess.
pub fn check(bytes: &[u8]) {
    look(bytes);
    if bytes.len() >= 64 {
        let mut sealed = bytes.to_vec();
        let len = sealed.len() as u64;
        sealed[..8].copy_from_slice(&qbnn_core::model::MAGIC);
        sealed[16..24].copy_from_slice(&len.to_le_bytes());
        let crc = crc32(&sealed[16..]);
        sealed[12..16].copy_from_slice(&crc.to_le_bytes());
        look(&sealed);
    }
}

fn look(bytes: &[u8]) {
    let model = match Model::new(bytes) {
        Ok(model) => model,
        Err(e) => return assert!(!e.to_string().contains('\n'), "an error of several lines"),
    };
    let mut sum = model.name().len() as u64 + model.parameters() + model.multiply_adds();
    sum += [model.mu_bits(), model.activation_bits(), model.sigma_code().map(|s| s.0)].iter().flatten().count() as u64;
    for (i, layer) in model.iter().enumerate() {
        sum += model.grid_of(i + 1).map_or(0, |g| g.bits as u64) + model.shape_of(layer.input).len() as u64;
        let (Op::Linear(l), Some(codes)) = (layer.op, model.codes(&layer)) else { continue };
        assert!(l.parameter_bytes() < bytes.len() as u64);
        for scales in [codes.mu_scales, codes.weight_scales] {
            sum += (0..scales.len()).map(|c| scales.get(c) as u16 as u64).sum::<u64>();
        }
        for run in [codes.mu, codes.sigma, codes.bias_mu, codes.bias_sigma] {
            sum += run.len() as u64 + run.last().copied().unwrap_or(0) as u64;
        }
        sum += [codes.sigma_top(), codes.bias_mu_scale(), codes.bias_sigma_top()].iter().filter(|&&s| s > 0).count()
            as u64;
        assert!(model.kind() != Kind::Jq || codes.sigma_step() > 0 && codes.bias_sigma_step() > 0);
    }
    sum = sum.wrapping_add(section(&model));
    std::hint::black_box(sum);
    if model.kind() == Kind::Jq {
        run(model);
    }
}

/// The section, if there is one: read whole, or refused with one line. Without it, the file is a model still.
fn section(model: &Model<'_>) -> u64 {
    assert!(Model::new(&without_section(model)).is_ok(), "a file without its section is none");
    let section = match model.section() {
        Ok(Some(section)) => section,
        Ok(None) => return 0,
        Err(e) => {
            assert!(!e.to_string().contains('\n'), "an error of several lines");
            return 0;
        }
    };
    let room = &mut [0; NAME_LIMIT];
    let last = section.class_name(model.classes().saturating_sub(1), room).map(str::len);
    assert_eq!(last.is_some(), section.has_class_names());
    section.decisions().map_or(0, |own| own.sets.quantile ^ own.seed)
}

/// Two images under two draws, if that is little work: in one way, which the checksum picks, and sometimes in two, which
/// must agree.
fn run(model: Model<'_>) {
    let mut steps = vec![Step::default(); model.layers()];
    let plan = match Plan::new(model, &mut steps) {
        Ok(plan) => plan,
        // A model that needs more memory than there can be.
        Err(e) => return assert!(!e.to_string().contains('\n'), "an error of several lines"),
    };
    let held = plan.weights(2);
    let values: usize = (0..=model.layers()).map(|v| model.shape_of(v).len()).sum();
    let work = model.multiply_adds() + model.parameters() + values as u64;
    let memory = plan.scratch().total().saturating_add(held.total()).saturating_add(4 * plan.constants());
    if work > MOST_WORK || memory > MOST_BYTES {
        return;
    }
    let images: Vec<u8> = (0..2 * model.input().len()).map(|i| (i * 97 % 256) as u8).collect();
    let logits = |kernel: Kernel, streamed: bool| {
        let mut constants = vec![0; plan.constants()];
        let program = plan.prepare(kernel, &mut constants).unwrap();
        let need = plan.scratch();
        // Memory is never clean.
        let (mut signed, mut bytes, mut words) = (vec![85; need.signed], vec![170; need.bytes], vec![-7; need.words]);
        let mut scratch = Scratch::new(&mut signed, &mut bytes, &mut words);
        let mut logits = vec![0; 2 * 2 * model.classes()];
        if streamed {
            program.run(Source::Streamed { seed: 1 }, &images, 0..2, &mut scratch, &mut logits).unwrap();
        } else {
            let (mut signed, mut words) = (vec![33; held.signed], vec![9; held.words]);
            let weights = Weights::draw(&program, 1, 0..2, &mut signed, &mut words, &mut scratch).unwrap();
            program.run(Source::Drawn(&weights), &images, 0..2, &mut scratch, &mut logits).unwrap();
        }
        logits
    };
    let pick = crc32(model.bytes()) as usize;
    let kernels: Vec<Kernel> = Kernel::available().collect();
    let found = logits(kernels[pick % kernels.len()], pick & 256 > 0);
    if pick & 0xE00 == 0 {
        assert_eq!(found, logits(scalar::KERNEL, false), "{:?}", kernels[pick % kernels.len()]);
    }
}

//! Files of named arrays: what libraries wrote is read, and damage anywhere is an error and never a panic.
#![allow(clippy::unwrap_used, missing_docs)]

use qbnn_data::DataError;
use qbnn_data::tensor_file::{Content, Format, from_bytes, read};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/posteriors")
}

fn files() -> Vec<PathBuf> {
    let files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
    let is = |p: &PathBuf| ["pt", "ckpt", "npz"].iter().any(|e| p.extension().is_some_and(|x| x == *e));
    let files: Vec<_> = files.into_iter().filter(is).collect();
    assert!(files.len() >= 12);
    files
}

fn message(bytes: &[u8]) -> String {
    let error = from_bytes(bytes, Path::new("f")).unwrap_err();
    assert!(matches!(error, DataError::TensorFile { .. }));
    let text = error.to_string();
    assert!(text.starts_with("f: ") && !text.contains('\n'), "{text}");
    text
}

fn numbers(content: &Content) -> usize {
    match content {
        Content::Array(array) => {
            assert_eq!(array.values.len(), array.shape.iter().product::<usize>());
            array.values.len()
        }
        Content::List(items) => items.iter().map(numbers).sum(),
        Content::Dict(entries) | Content::Object { fields: entries, .. } => {
            entries.iter().map(|e| numbers(&e.content)).sum()
        }
        _ => 0,
    }
}

#[test]
fn every_library_is_read() {
    for path in files() {
        let file = read(&path).unwrap();
        let npz = path.extension().is_some_and(|e| e == "npz");
        assert_eq!(file.format, if npz { Format::Npz } else { Format::Torch });
        // conv 1 -> 2 of 3 x 3, dense 8 -> 3: 47 means at the least.
        assert!(numbers(&file.root) >= 47, "{}", path.display());
    }
}

#[test]
fn what_a_pickle_says_is_kept_and_nothing_is_called() {
    let file = read(&folder().join("pyro_autonormal.pt")).unwrap();
    let name = "AutoNormal.scales.conv.weight";
    let raw = file.root.get("params").unwrap().get(name).unwrap().array().unwrap();
    assert_eq!((&raw.shape[..], raw.whole), (&[2, 1, 3, 3][..], false));
    assert!((raw.values[0] + 2.785_7).abs() < 1e-4, "{}", raw.values[0]);
    let Some(Content::Object { class, fields }) = file.root.get("constraints").unwrap().get(name) else { panic!() };
    assert_eq!(class, "pyro.distributions.constraints._SoftplusPositive");
    assert_eq!((fields[0].name.as_str(), &fields[0].content), ("lower_bound", &Content::Number(0.0)));
    // The state of an optimizer: a list of dictionaries, numbers of any size.
    let file = read(&folder().join("ivon.pt")).unwrap();
    let Some(Content::List(groups)) = file.root.get("optimizer").unwrap().get("param_groups") else { panic!() };
    let number = |name: &str| groups[0].get(name).unwrap().number();
    assert_eq!((number("ess"), number("weight_decay")), (Some(1000.0), Some(1e-4)));
    assert_eq!(number("clip_radius"), Some(f64::INFINITY));
    assert_eq!(groups[0].get("hess").unwrap().array().unwrap().shape, [47]);
    let file = read(&folder().join("bayesian_torch_bn.pt")).unwrap();
    let counter = file.root.get("state_dict").unwrap().get("1.num_batches_tracked").unwrap();
    assert!(counter.array().unwrap().whole && counter.array().unwrap().shape.is_empty());
}

#[test]
fn single_tensors_of_every_type_are_read_also_along_strides() {
    let of = |name: &str| read(&folder().join(format!("../{name}.pt"))).unwrap().root;
    let array = |content: &Content| content.array().unwrap().clone();
    let transposed = array(&of("transposed"));
    assert_eq!(transposed.shape, [6, 4]);
    assert_eq!(transposed.values[..5], [0.0, 6.0, 12.0, 18.0, 1.0]);
    assert!(array(&of("int32")).whole);
    assert!(matches!(of("list"), Content::List(items) if items.len() == 1));
}

#[test]
fn other_files_are_refused_by_what_they_are() {
    assert!(message(b"").contains("an empty file"));
    assert!(message(b"\x80\x04\x95").contains("bare pickle"));
    assert!(message(b"\x89HDF\r\n\x1a\n").contains("np.savez"));
    assert!(message(b"QBNN\r\n\x1a\n").contains("a model file"));
    assert!(message(b"hello").contains("no known kind"));
    assert!(message(b"PK\x03\x04").contains("cut off"));
    assert!(matches!(read(Path::new("absent.pt")), Err(DataError::Io { .. })));
    assert!(message(b"\xff\xff\xff\x7f\x00\0\0\0{\"a\":").contains("no whole safetensors file"));
}

#[test]
fn damage_never_panics_nor_changes_a_number() {
    for path in files() {
        let whole = std::fs::read(&path).unwrap();
        let right = from_bytes(&whole, Path::new("f")).unwrap();
        for size in 0..whole.len() {
            message(&whole[..size]);
        }
        // Every third bit, to save time; the checksums of zip see them all.
        for bit in (0..whole.len() * 8).step_by(3) {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match from_bytes(&flipped, Path::new("f")) {
                // A flip in padding, a date, or the name of an entry that is not used does no harm.
                Ok(file) => assert!(file == right, "{} bit {bit}", path.display()),
                Err(e) => assert!(!e.to_string().contains('\n')),
            }
        }
    }
}

#[test]
fn what_is_saved_in_the_place_of_tensors_is_told() {
    let wrong = |name: &str| std::fs::read(folder().join("../wrong_posteriors").join(name)).unwrap();
    assert!(message(&wrong("script.pt")).contains("TorchScript module"));
    // Whole modules are read, as inert objects.
    for name in ["whole.pt", "whole_inside.pt"] {
        assert!(from_bytes(&wrong(name), Path::new("f")).is_ok(), "{name}");
    }
    let whole = std::fs::read(folder().join("pyro_autonormal.pt")).unwrap();
    let cut = message(&whole[..whole.len() - 40]);
    assert!(cut.contains("torch.save that is cut off") && !cut.contains("np.savez"), "{cut}");
    let npz = std::fs::read(folder().join("tfp.npz")).unwrap();
    assert!(message(&npz[..npz.len() - 40]).contains("np.savez"));
}

//! The reader of `.pt` files: what torch wrote is read, and damage anywhere is an error and never a panic.
#![allow(clippy::unwrap_used, missing_docs)]

use qbnn_data::DataError;
use qbnn_data::pt::{Tensor, TensorValues, from_bytes, read};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.pt"))
}

#[test]
fn tensors_are_read_as_torch_wrote_them() {
    let grid = |first: i32, step: f64| (0..24).map(move |i| f64::from(i + first) * step);
    let tensor = |dims: &[usize], values| Tensor { dims: dims.to_vec(), values };
    let float = grid(-4, 0.25).map(|x| x as f32).collect();
    assert_eq!(read(&fixture("float32")).unwrap(), tensor(&[2, 3, 4], TensorValues::F32(float)));
    let double = grid(0, 0.125).collect();
    assert_eq!(read(&fixture("float64")).unwrap(), tensor(&[4, 6], TensorValues::F64(double)));
    let whole = (-12..12).collect();
    assert_eq!(read(&fixture("int64")).unwrap(), tensor(&[12, 2], TensorValues::I64(whole)));
    let view = (6..18u8).map(f32::from).collect();
    assert_eq!(read(&fixture("view")).unwrap(), tensor(&[3, 4], TensorValues::F32(view)));
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    for (name, wanted) in [
        ("transposed", "not contiguous"),
        ("int32", "IntStorage"),
        ("list", "not a single tensor"),
        ("legacy", "before 1.6"),
    ] {
        let message = read(&fixture(name)).unwrap_err().to_string();
        assert!(message.contains(wanted) && message.contains("torch.save") && !message.contains('\n'), "{message}");
    }
    assert!(matches!(read(Path::new("absent.pt")), Err(DataError::Io { .. })));
    assert!(matches!(from_bytes(b"", Path::new("f")), Err(DataError::Pt { .. })));
}

#[test]
fn damage_never_panics_nor_changes_a_number() {
    for name in ["float32", "int64", "view"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let right = from_bytes(&whole, Path::new("f")).unwrap();
        for size in 0..whole.len() {
            assert!(from_bytes(&whole[..size], Path::new("f")).is_err(), "{name} cut to {size}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A flip in padding, a date or an entry that is not used does no harm.
            if let Ok(tensor) = from_bytes(&flipped, Path::new("f")) {
                assert_eq!(tensor, right, "{name} bit {bit}");
            }
        }
    }
}

//! Model files of every version stay readable, and give the logits that they gave when they were made.

#![allow(clippy::unwrap_used, reason = "a test should fail where it stands")]

mod common;

use common::machine;
use qbnn_core::kernel::Kernel;
use qbnn_core::model::{Model, crc32};

/// Files of `golden/`, and the checksum of their logits as little-endian words: two images, draws 0 and 1, seed 1.
const FILES: [(&str, u32); 6] = [
    ("v1-conv-0-1", 0x1606_cec5),
    ("v1-conv-1-2", 0x6478_61b3),
    ("v1-dense-2-1", 0x67a2_5e3e),
    ("v1-residual-0-2", 0xb489_1470),
    ("v1-residual-2-1", 0xeb36_3bd2),
    // The first with a section.
    ("v1-section", 0x1606_cec5),
];

#[test]
fn files_of_every_version_keep_their_logits() {
    for (name, wanted) in FILES {
        let file = std::fs::read(format!("{}/tests/golden/{name}.qbnn", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let images: Vec<u8> = (0..2 * Model::new(&file).unwrap().input().len()).map(|i| (i * 97 % 256) as u8).collect();
        for kernel in Kernel::available() {
            let logits = machine(&file, kernel, 1, 0..2, &images, true);
            let bytes: Vec<u8> = logits.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(crc32(&bytes), wanted, "{name}, {kernel:?}");
        }
    }
}

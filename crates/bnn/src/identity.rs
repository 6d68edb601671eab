//! What tells one checkpoint from another, and whether a model file is its own.
//!
//! A checkpoint of version 2 ends its header with a SHA-256 over the header and every tensor, and keeps, once its training
//! is finished, the SHA-256 of the model file that was made of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// On what a checkpoint is trained: kept for whoever goes on with it or judges it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Settings of the data, by the key of a config file.
    pub settings: BTreeMap<String, Value>,
    /// SHA-256 of each part of the data.
    pub data: BTreeMap<String, String>,
}

/// SHA-256 of some bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// SHA-256 over a header and tensors: names, shapes and values.
pub(crate) fn digest<'a>(header: &str, tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [f32])>) -> String {
    let mut sha = Sha256::new();
    sha.update(header);
    let mut buffer = Vec::new();
    for (name, dims, values) in tensors {
        // Neither holds a NUL.
        sha.update(format!("\0{name} {dims:?}\0"));
        buffer.clear();
        buffer.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        sha.update(&buffer);
    }
    hexadecimal(&sha.finalize())
}

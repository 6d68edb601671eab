//! Some bytes as a file of named arrays: refused with one line, or a tree whose arrays have the sizes that they state.

use qbnn_data::tensor_file::{Content, NUMBERS, from_bytes};
use std::path::Path;

/// Reads the bytes.
pub fn check(bytes: &[u8]) {
    match from_bytes(bytes, Path::new("input")) {
        Err(e) => assert!(!e.to_string().contains('\n'), "an error of several lines"),
        Ok(file) => assert!(numbers(&file.root) <= NUMBERS),
    }
}

/// The numbers of all arrays.
fn numbers(content: &Content) -> usize {
    match content {
        Content::Array(array) => {
            assert_eq!(array.values.len(), array.shape.iter().product::<usize>());
            array.values.len()
        }
        Content::List(items) => items.iter().map(numbers).sum(),
        Content::Dict(entries) | Content::Object { fields: entries, .. } => {
            entries.iter().map(|entry| numbers(&entry.content)).sum()
        }
        _ => 0,
    }
}

//! Some bytes as a file of named arrays: refused with one line, or a tree whose arrays have the sizes that they state.
//!
//! Checksums of a zip archive keep a fuzzer from what lies in it. So the bytes are also put into archives with right ones: as
//! the description (a pickle) of a file of `torch.save`, and as an array of an `.npz`.

use qbnn_data::npz_write;
use qbnn_data::tensor_file::{Content, NUMBERS, from_bytes};
use std::path::Path;

/// Reads the bytes, alone and in both archives.
pub fn check(bytes: &[u8]) {
    read(bytes);
    let storage = |key: &str| (format!("a/data/{key}"), vec![7; 96]);
    let description = ("a/data.pkl".to_owned(), bytes.to_vec());
    let torch = [description, storage("0"), storage("1"), storage("2")];
    let npz = [("a.npy".to_owned(), bytes.to_vec())];
    for entries in [&torch[..], &npz] {
        if let Some(archive) = npz_write::archive(entries) {
            read(&archive);
        }
    }
}

fn read(bytes: &[u8]) {
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

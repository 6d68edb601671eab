//! What a fuzzer has found, and what it starts from, stays harmless: its corpus, through the function that it calls.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    missing_docs,
    reason = "a test should fail where it stands"
)]

#[path = "../../../fuzz/src/images.rs"]
mod images;
#[path = "../../../fuzz/src/tensors.rs"]
mod tensors;

#[test]
fn the_corpus_is_harmless() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/images");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.len() >= 18, "{folder}");
    for file in files {
        images::check(&std::fs::read(file).unwrap());
    }
}

#[test]
fn the_corpus_of_tensors_is_harmless() {
    // What libraries wrote is what a fuzzer starts from.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/posteriors");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.len() >= 12, "{folder}");
    for file in files {
        tensors::check(&std::fs::read(file).unwrap());
    }
}

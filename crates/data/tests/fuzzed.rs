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
    for (folder, least) in [("tests/fixtures/posteriors", 12), ("../../fuzz/corpus/tensors", 30)] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(files.len() >= least, "{}: {}", folder.display(), files.len());
        for file in files {
            tensors::check(&std::fs::read(file).unwrap());
        }
    }
}

#[test]
fn descriptions_and_arrays_that_are_changed_at_random_are_harmless() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/tensors");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for file in files {
        let whole = std::fs::read(file).unwrap();
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, random(256) as u8),
                }
            }
            tensors::check(&bytes);
        }
    }
}

//! The integer path has no float, no allocator (but for `Session`) and no standard library: a word that strays in fails here, and the same
//! rule as a build is `cargo clippy -p qbnn-core --no-default-features` in `.ci/run`.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that fails should fail loudly where it stands")]

use std::path::{Path, PathBuf};

/// Source files of the crate.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the crate's sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Whether the line holds one of the words, as a whole word and outside a comment.
fn stray<'w>(line: &str, words: &[&'w str]) -> Option<&'w str> {
    let code = line.split("//").next().unwrap_or("");
    let parts: Vec<&str> = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    words.iter().copied().find(|w| parts.contains(w))
}

#[test]
fn nothing_but_integers_without_the_standard_library() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 15, "the sources were found");
    for path in files {
        // Behind the feature `std`: writing model files.
        if path.ends_with("model/write.rs") || path.ends_with("model/write_section.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        let product = text.split("#[cfg(test)]").next().unwrap_or("");
        let mut optional = false;
        for (i, line) in product.lines().enumerate() {
            let words = ["f32", "f64", "std", "alloc", "Vec", "Box", "String"];
            // The session alone uses the heap; the crate root names the crate `alloc` once.
            let heap = path.ends_with("run/session.rs")
                || path.ends_with("src/lib.rs") && line == "extern crate alloc;"
                || line.trim() == "#[cfg(feature = \"alloc\")]";
            let words = if heap { &words[..3] } else { &words[..] };
            if let (Some(word), false) = (stray(line, words), optional || line.contains("feature = \"std\"")) {
                panic!("{}:{}: `{word}` in the integer path: {line}", path.display(), i + 1);
            }
            // An item behind the feature lasts until its closing brace or semicolon at the same depth.
            if line.contains("cfg(feature = \"std\")") {
                optional = true;
            } else if optional && (line.starts_with('}') || line == "    }" || line.trim_end().ends_with(';')) {
                optional = false;
            }
        }
    }
}

/// A number of 64 bits from a file is compared before it is narrowed: where it is read, it stays as wide as it is. (No target
/// with addresses of 32 bits is built here; `model/check.rs` and `run/plan.rs` test what it would see.)
#[test]
fn numbers_of_64_bits_are_not_narrowed_where_they_are_read() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut reads = 0;
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a source file");
        for (i, line) in text.lines().enumerate().filter(|(_, line)| line.contains("u64_at(")) {
            reads += 1;
            assert!(!line.contains(" as "), "{}:{}: {line}", path.display(), i + 1);
        }
    }
    assert!(reads >= 3, "{reads}");
}

#[test]
fn the_crate_says_so_itself() {
    let lib = include_str!("../src/lib.rs");
    assert!(lib.contains("#![no_std]") && lib.contains("#![deny(unsafe_code)]"));
    assert!(lib.contains("deny(clippy::float_arithmetic"));
}

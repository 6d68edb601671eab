//! `.npz` archives as `np.savez` writes them, for machines without numpy.

use std::io::Write;
use std::path::Path;

/// One array as it is stored.
#[derive(Clone)]
pub struct Array {
    pub name: &'static str,
    pub descr: &'static str,
    pub shape: &'static str,
    pub bytes: Vec<u8>,
}

pub fn floats(name: &'static str, shape: &'static str, values: &[f64]) -> Array {
    Array { name, descr: "<f8", shape, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
}

pub fn integers(name: &'static str, shape: &'static str, values: &[i64]) -> Array {
    Array { name, descr: "<i8", shape, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
}

/// Four words of at most sixteen letters.
pub fn text(name: &'static str, words: &[&str; 4]) -> Array {
    let padded = |w: &&str| format!("{w:\0<16}").chars().flat_map(|c| (c as u32).to_le_bytes()).collect::<Vec<u8>>();
    Array { name, descr: "<U16", shape: "(4,)", bytes: words.iter().flat_map(padded).collect() }
}

/// An array as a `.npy` file.
pub fn npy(a: &Array) -> Vec<u8> {
    // A descr with a mark in front is in column-major order.
    let (fortran, descr) = a.descr.strip_prefix('F').map_or(("False", a.descr), |descr| ("True", descr));
    let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {}, }}\n", a.shape);
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    npy.extend(&a.bytes);
    npy
}

/// Writes an archive of stored entries.
pub fn write(path: &Path, arrays: &[Array]) {
    let entries: Vec<_> = arrays.iter().map(|a| (format!("{}.npy", a.name), npy(a))).collect();
    zip(path, &entries, false);
}

/// Writes a zip archive of entries, stored or deflated.
pub fn zip(path: &Path, entries: &[(String, Vec<u8>)], deflate: bool) {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut packed = content.clone();
        if deflate {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(content).unwrap();
            packed = encoder.finish().unwrap();
        }
        // Version, flags, method, time, date; checksum, sizes; lengths of name and extra field.
        let mut head = vec![20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0];
        head.extend(crc.sum().to_le_bytes());
        head.extend((packed.len() as u32).to_le_bytes());
        head.extend((content.len() as u32).to_le_bytes());
        head.extend((name.len() as u16).to_le_bytes());
        head.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&head);
        file.extend(name.as_bytes());
        file.extend(&packed);
    }
    let (at, count) = (file.len() as u32, (entries.len() as u16).to_le_bytes());
    let size = (directory.len() as u32).to_le_bytes();
    file.extend(directory);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend(count);
    file.extend(count);
    file.extend(size);
    file.extend(at.to_le_bytes());
    file.extend([0, 0]);
    std::fs::write(path, file).unwrap();
}

/// Predictions of two draws for four inputs.
pub fn made() -> [Array; 3] {
    let probs = [0.9, 0.1, 0.2, 0.8, 0.5, 0.5, 0.9, 0.1, 0.8, 0.2, 0.1, 0.9, 0.5, 0.5, 0.1, 0.9];
    let groups = text("groups", &["clean", "clean", "ood", "ood"]);
    [floats("probs", "(2, 4, 2)", &probs), integers("labels", "(4,)", &[0, 1, -1, -1]), groups]
}

//! Writing arrays as numpy reads them: `.npy` entries of an uncompressed zip archive, as `np.savez` writes it.

/// Name and content of an entry.
pub type Entry = (String, Vec<u8>);

/// An array as an entry: `kind` is numpy's name of the type (`<f4`), `bytes` its values, row-major.
#[must_use]
pub fn array(name: &str, kind: &str, shape: &[usize], bytes: Vec<u8>) -> Entry {
    let sizes: Vec<String> = shape.iter().map(|n| format!("{n},")).collect();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", sizes.join(" "));
    // numpy wants the values at a multiple of 64 bytes.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(length - 1 - header.len()));
    header.push('\n');
    let mut content = b"\x93NUMPY\x01\x00".to_vec();
    // A few sizes of 20 digits are far below 2^16 bytes.
    content.extend((length as u16).to_le_bytes());
    content.extend(header.as_bytes());
    content.extend(bytes);
    (format!("{name}.npy"), content)
}

/// An array of texts.
#[must_use]
pub fn text(name: &str, texts: &[String]) -> Entry {
    let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    let padded = |text: &String| -> Vec<u8> {
        let letters = text.chars().map(|c| c as u32).chain(std::iter::repeat(0)).take(width);
        letters.flat_map(u32::to_le_bytes).collect()
    };
    array(name, &format!("<U{width}"), &[texts.len()], texts.iter().flat_map(padded).collect())
}

/// A zip archive of stored entries; `None` if it would be 2^32 bytes or more.
#[must_use]
pub fn archive(entries: &[Entry]) -> Option<Vec<u8>> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let size = |bytes: usize| u32::try_from(bytes).ok().map(u32::to_le_bytes);
    for (name, content) in entries {
        let mut sum = flate2::Crc::new();
        sum.update(content);
        // Version, flags, method, time, date (the first one there is); checksum, sizes, length of the name, no extra field.
        let mut head = vec![20, 0, 0, 0, 0, 0, 0, 0, 33, 0];
        head.extend(sum.sum().to_le_bytes());
        head.extend(size(content.len())?);
        head.extend(size(content.len())?);
        head.extend((name.len() as u16).to_le_bytes());
        head.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend(size(file.len())?);
        directory.extend(name.as_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&head);
        file.extend(name.as_bytes());
        file.extend(content);
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (at, length) = (size(file.len())?, size(directory.len())?);
    file.extend(directory);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend(count);
    file.extend(count);
    file.extend(length);
    file.extend(at);
    file.extend([0, 0]);
    Some(file)
}

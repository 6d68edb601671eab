//! JPEG: what is decoded, several files in one, and that nothing in a file can do harm.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use qbnn_data::files::{Content, FileKind, parts, read};
use qbnn_data::own::{Size, pictures};
use qbnn_data::picture::Picture;
use qbnn_data::{DataError, Images};
use std::path::Path;

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&[0xff, marker], &length[..], content].concat()
}

/// A baseline JPEG file of blocks of 8 x 8 pixels, each of one value in every component (one or three of them).
fn encode(rows: u16, columns: u16, components: &[Vec<u8>]) -> Vec<u8> {
    let n = components.len() as u8;
    let mut file = vec![0xff, 0xd8];
    // Steps of 8, so that the mean of a block is kept exactly: its coefficient is 8 times as large.
    file.extend(segment(0xdb, &[&[0][..], &[8; 64]].concat()));
    let mut frame = vec![8];
    frame.extend(rows.to_be_bytes());
    frame.extend(columns.to_be_bytes());
    frame.push(n);
    (1..=n).for_each(|id| frame.extend([id, 0x11, 0]));
    file.extend(segment(0xc0, &frame));
    // Lengths of differences 0 to 11, each in four bits; and one code, which ends a block.
    let codes = |class: u8, lengths: [u8; 16], values: &[u8]| segment(0xc4, &[&[class][..], &lengths, values].concat());
    let mut four = [0; 16];
    four[3] = 12;
    let mut one = [0; 16];
    one[0] = 1;
    file.extend(codes(0, four, &(0..12).collect::<Vec<u8>>()));
    file.extend(codes(0x10, one, &[0]));
    let mut scan = vec![n];
    (1..=n).for_each(|id| scan.extend([id, 0]));
    scan.extend([0, 63, 0]);
    file.extend(segment(0xda, &scan));
    let (mut bits, mut before) = (Vec::new(), vec![0i32; components.len()]);
    for block in 0..components[0].len() {
        for (component, before) in components.iter().zip(&mut before) {
            let level = i32::from(component[block]) - 128;
            let difference = level - *before;
            *before = level;
            let length = 32 - difference.unsigned_abs().leading_zeros();
            let value = if difference < 0 { difference + (1 << length) - 1 } else { difference };
            (0..4).rev().for_each(|i| bits.push(length >> i & 1 == 1));
            (0..length).rev().for_each(|i| bits.push(value >> i & 1 == 1));
            bits.push(false);
        }
    }
    for byte in bits.chunks(8) {
        let byte = (0..8).fold(0u8, |all, i| all << 1 | u8::from(byte.get(i).copied().unwrap_or(true)));
        file.push(byte);
        if byte == 0xff {
            file.push(0);
        }
    }
    file.extend([0xff, 0xd9]);
    file
}

fn decode(bytes: &[u8]) -> Result<Picture, DataError> {
    Picture::from_jpeg(bytes, Path::new("x.jpg"))
}

#[test]
fn grey_and_colour_are_read() {
    let grey = encode(8, 16, &[vec![7, 250]]);
    let picture = decode(&grey).unwrap();
    assert_eq!((picture.size(), picture.has_colour()), ((8, 16), false));
    assert_eq!(picture.fit(8, 16, 1), [[7; 8], [250; 8]].concat().repeat(8));
    // Y, Cb, Cr of JFIF: red has most of the third.
    let red = decode(&encode(5, 3, &[vec![76], vec![85], vec![255]])).unwrap();
    assert_eq!((red.size(), red.has_colour()), ((5, 3), true));
    assert!(red.fit(5, 3, 3).chunks(3).all(|p| p[0] > 250 && p[1] < 5 && p[2] < 5));
    assert!(matches!(read(&grey, Path::new("x")).unwrap(), Content::Picture(_)));
    assert_eq!(FileKind::of(&grey[..]).unwrap(), Some(FileKind::Jpeg));
}

/// EXIF data of one entry, the orientation.
fn exif(orientation: u16) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    tiff.extend(orientation.to_le_bytes());
    tiff.extend([0; 6]);
    tiff
}

/// A phone stores what its sensor saw; the picture is read as it is shown.
#[test]
fn pictures_are_turned_as_their_camera_noted() {
    // Dark on the left, bright on the right.
    let stored = encode(8, 16, &[vec![7, 250]]);
    let noting = |orientation: u16| {
        let note = segment(0xe1, &[b"Exif\0\0", &exif(orientation)[..]].concat());
        decode(&[&stored[..2], &note, &stored[2..]].concat()).unwrap()
    };
    assert_eq!(noting(1), decode(&stored).unwrap());
    assert_eq!(noting(3).fit(8, 16, 1), [[250; 8], [7; 8]].concat().repeat(8));
    let turned = noting(6);
    assert_eq!(turned.size(), (16, 8));
    assert_eq!(turned.fit(16, 8, 1), [[7; 64], [250; 64]].concat());
    assert_eq!(noting(8).fit(16, 8, 1), [[250; 64], [7; 64]].concat());
    assert_eq!(noting(9), noting(1));
    // The same note in a PNG file.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.png");
    Images { height: 1, width: 2, channels: 1, pixels: vec![7, 250] }.write_png(0, &path).unwrap();
    let png = std::fs::read(&path).unwrap();
    let chunk = [&b"eXIf"[..], &exif(6)].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&chunk);
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    // Behind the header, which ends at byte 33.
    let noted = [&png[..33], &length, &chunk, &sum.sum().to_be_bytes(), &png[33..]].concat();
    let turned = Picture::from_png(&noted, &path).unwrap();
    assert_eq!((turned.size(), turned.fit(2, 1, 1)), ((2, 1), vec![7, 250]));
}

#[test]
fn files_one_behind_the_other_are_told_apart() {
    let (one, other) = (encode(8, 8, &[vec![255]]), encode(8, 16, &[vec![0, 255]]));
    let all = [&one[..], &other, b"rest"].concat();
    assert_eq!(parts(&all), (vec![&one[..], &other], 4));
    // A small picture inside another's notes is no part.
    let noted = [&one[..2], &segment(0xe1, &other), &one[2..]].concat();
    assert_eq!(parts(&[&noted[..], &one].concat()).0, [&noted[..], &one]);
    assert_eq!(parts(&one[..one.len() - 2]).0.len(), 1);
}

#[test]
fn sizes_are_refused_before_memory_is_asked_for() {
    let small = encode(8, 8, &[vec![9]]);
    let at = small.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let sized = |rows: u16, columns: u16| {
        let mut bytes = small.clone();
        bytes[at + 5..at + 7].copy_from_slice(&rows.to_be_bytes());
        bytes[at + 7..at + 9].copy_from_slice(&columns.to_be_bytes());
        decode(&bytes).unwrap_err()
    };
    assert!(matches!(sized(65_000, 65_000), DataError::Pixels { columns: 65_000, .. }));
    assert!(sized(8_000, 8_000).to_string().contains("bytes of file can hold"));
    let error = decode(&small[..30]).unwrap_err().to_string();
    assert!(error.starts_with("x.jpg: the JPEG cannot be read") && !error.contains('\n'), "{error}");
    assert!(matches!(decode(b"\x89PNG"), Err(DataError::NotImages { .. })));
}

#[test]
fn folders_of_both_kinds_are_data() {
    let folder = tempfile::tempdir().unwrap();
    for (class, value) in [("a", 10), ("b", 200)] {
        let own = folder.path().join(class);
        std::fs::create_dir(&own).unwrap();
        for i in 0..4u8 {
            std::fs::write(own.join(format!("{i}.jpeg")), encode(8, 8, &[vec![value + i]])).unwrap();
        }
        let image = Images { height: 8, width: 8, channels: 1, pixels: vec![value; 64] };
        image.write_png(0, &own.join("x.png")).unwrap();
    }
    let own = pictures(folder.path(), "own", Size::default()).unwrap();
    assert_eq!(own.train.labels, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    assert_eq!((own.train.images.channels, own.train.images.get(6).unwrap()[0]), (1, 201));
    // A file of many images among them is no picture, and is not passed over in silence.
    let many = folder.path().join("b/many");
    std::fs::write(&many, [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 9]).unwrap();
    let error = pictures(folder.path(), "own", Size::default()).unwrap_err().to_string();
    assert!(error.contains("b/many: holds many images"), "{error}");
    std::fs::remove_file(many).unwrap();
    std::fs::write(folder.path().join("b/y.jpg"), "none at all").unwrap();
    assert!(pictures(folder.path(), "own", Size::default()).unwrap_err().to_string().contains("y.jpg"));
}

proptest! {
    #[test]
    fn damage_is_an_error_or_a_picture(
        cut in any::<prop::sample::Index>(),
        flip in any::<prop::sample::Index>(),
        bit in 0..8,
    ) {
        let bytes = encode(16, 16, &[vec![1, 99, 200, 5], vec![128, 1, 255, 128], vec![128, 9, 60, 200]]);
        for damaged in [bytes[..cut.index(bytes.len())].to_vec(), {
            let mut flipped = bytes.clone();
            let at = flip.index(flipped.len());
            flipped[at] ^= 1u8 << bit;
            flipped
        }] {
            let (found, left) = parts(&damaged);
            prop_assert_eq!(found.iter().map(|part| part.len()).sum::<usize>() + left, damaged.len());
            if let Err(error) = decode(&damaged) {
                let text = error.to_string();
                prop_assert!(text.contains("x.jpg") && !text.contains('\n'), "{}", text);
            }
        }
    }
}

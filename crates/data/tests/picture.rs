//! Pictures: every kind of PNG gives the pixels that were put in, scaling is the mean over areas, and nothing that a
//! file can hold makes the reader panic or ask for memory that its bytes cannot fill.
#![allow(clippy::unwrap_used, missing_docs)]

use png::{BitDepth, ColorType};
use proptest::prelude::*;
use qbnn_data::files::{Content, FileKind, parts, read};
use qbnn_data::picture::Picture;
use qbnn_data::{DataError, Images};
use std::io::Write;
use std::path::Path;

const PATH: &str = "some/file";

fn decode(bytes: &[u8]) -> Result<Picture, DataError> {
    Picture::from_png(bytes, Path::new(PATH))
}

/// A PNG file of packed rows.
fn encode(size: [u32; 2], color: ColorType, depth: BitDepth, palette: Option<(&[u8], &[u8])>, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size[1], size[0]);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if let Some((colours, alpha)) = palette {
        encoder.set_palette(colours.to_vec());
        encoder.set_trns(alpha.to_vec());
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

fn grey(rows: u32, columns: u32, data: &[u8]) -> Picture {
    decode(&encode([rows, columns], ColorType::Grayscale, BitDepth::Eight, None, data)).unwrap()
}

/// A PNG file chunk by chunk.
fn chunks(parts: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in parts {
        bytes.extend((data.len() as u32).to_be_bytes());
        let from = bytes.len();
        bytes.extend_from_slice(*name);
        bytes.extend_from_slice(data);
        let mut crc = !0u32;
        for &byte in &bytes[from..] {
            crc ^= u32::from(byte);
            (0..8).for_each(|_| crc = if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 });
        }
        bytes.extend((!crc).to_be_bytes());
    }
    bytes
}

fn header(columns: u32, rows: u32, depth: u8, color: u8, interlaced: u8) -> Vec<u8> {
    [&columns.to_be_bytes()[..], &rows.to_be_bytes(), &[depth, color, 0, 0, interlaced]].concat()
}

fn deflated(raw: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(raw).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_depth_of_grey_becomes_eight_bits() {
    // One row of the extremes and something between them, the highest bits first.
    for (depth, row, wanted) in [
        (BitDepth::One, vec![0b0110_0000], vec![0, 255, 255]),
        (BitDepth::Two, vec![0b0001_1100], vec![0, 85, 255]),
        (BitDepth::Four, vec![0x0A, 0xF0], vec![0, 170, 255]),
        (BitDepth::Eight, vec![0, 100, 255], vec![0, 100, 255]),
        // 128 is nearer to 0 than to 257, 129 is not; 65406 is nearer to 65535 than to 65278.
        (BitDepth::Sixteen, vec![0, 128, 0, 129, 0xFF, 0x7F], vec![0, 1, 255]),
    ] {
        let picture = decode(&encode([1, 3], ColorType::Grayscale, depth, None, &row)).unwrap();
        assert_eq!(picture.clone().fit(1, 3, 1), wanted, "{depth:?}");
        assert!(!picture.has_colour() && picture.size() == (1, 3));
    }
}

#[test]
fn colour_is_what_differs_where_it_can_be_seen() {
    let rgb = |data: &[u8]| decode(&encode([1, 2], ColorType::Rgb, BitDepth::Eight, None, data)).unwrap();
    let same = rgb(&[7, 7, 7, 200, 200, 200]);
    assert!(!same.has_colour());
    assert_eq!(same.fit(1, 2, 1), [7, 200]);
    let red = rgb(&[255, 0, 0, 9, 9, 9]);
    assert!(red.has_colour());
    assert_eq!(red.clone().fit(1, 2, 3), [255, 0, 0, 9, 9, 9]);
    // 0.299 * 255 = 76.2.
    assert_eq!(red.grey().fit(1, 2, 3), [76, 76, 76, 9, 9, 9]);
    let rgba = |data: &[u8]| decode(&encode([1, 2], ColorType::Rgba, BitDepth::Eight, None, data)).unwrap();
    assert!(!rgba(&[255, 0, 0, 0, 9, 9, 9, 255]).has_colour());
    assert!(rgba(&[255, 0, 0, 1, 9, 9, 9, 255]).has_colour());
}

#[test]
fn what_is_transparent_contrasts_with_what_is_visible() {
    let read = |data: &[u8]| {
        decode(&encode([1, 3], ColorType::GrayscaleAlpha, BitDepth::Eight, None, data)).unwrap().fit(1, 3, 1)
    };
    // Dark ink on nothing is on white: 40 * 128 / 255 + 255 * 127 / 255 = 147.1. Bright ink is on black.
    assert_eq!(read(&[40, 255, 40, 0, 40, 128]), [40, 255, 147]);
    assert_eq!(read(&[215, 255, 215, 0, 215, 128]), [215, 0, 108]);
    // What cannot be seen does not count, whatever its value.
    assert_eq!(read(&[0, 255, 255, 0, 255, 1]), [0, 255, 255]);
    assert_eq!(read(&[127, 255, 0, 0, 0, 0]), [127, 255, 255]);
    assert_eq!(read(&[128, 255, 0, 0, 0, 0]), [128, 0, 0]);
    assert_eq!(read(&[0, 0, 255, 0, 9, 0]), [0, 0, 0]);
    let invert = |data: &[u8]| {
        let picture = decode(&encode([1, 3], ColorType::GrayscaleAlpha, BitDepth::Eight, None, data)).unwrap();
        picture.invert().fit(1, 3, 1)
    };
    assert_eq!(invert(&[40, 255, 40, 0, 40, 128]), [215, 0, 108]);
    let wide = [0, 0, 255, 255, 255, 255, 0, 0];
    let picture = decode(&encode([1, 2], ColorType::GrayscaleAlpha, BitDepth::Sixteen, None, &wide)).unwrap();
    assert!(!picture.is_blank());
    assert_eq!(picture.fit(1, 2, 1), [0, 255]);
    // Colour by its grey: 0.114 * 255 is dark.
    let blue = encode([1, 2], ColorType::Rgba, BitDepth::Eight, None, &[0, 0, 255, 255, 0, 0, 0, 0]);
    assert_eq!(decode(&blue).unwrap().fit(1, 2, 3), [0, 0, 255, 255, 255, 255]);
}

#[test]
fn nothing_to_see_is_blank() {
    let alpha = |data: &[u8]| decode(&encode([1, 2], ColorType::GrayscaleAlpha, BitDepth::Eight, None, data)).unwrap();
    assert!(alpha(&[0, 0, 255, 0]).is_blank() && alpha(&[7, 255, 7, 255]).is_blank());
    assert!(!alpha(&[0, 255, 0, 0]).is_blank() && !alpha(&[255, 255, 255, 0]).is_blank());
}

#[test]
fn files_one_behind_the_other_are_told_apart() {
    let one = encode([1, 1], ColorType::Grayscale, BitDepth::Eight, None, &[5]);
    let two = encode([1, 2], ColorType::Grayscale, BitDepth::Eight, None, &[6, 7]);
    let idx = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5];
    let split = |bytes: &[&[u8]]| {
        let bytes = bytes.concat();
        let (parts, left) = parts(&bytes);
        (parts.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), left)
    };
    assert_eq!(split(&[&one, &two, &one]), (vec![one.clone(), two.clone(), one.clone()], 0));
    assert_eq!(split(&[&one, &idx]), (vec![one.clone(), idx.to_vec()], 0));
    assert_eq!(split(&[&idx, &one]), (vec![[&idx[..], &one].concat()], 0));
    assert_eq!(split(&[&one, b"text"]), (vec![one.clone()], 4));
    assert_eq!(split(&[&one, &two[..30]]), (vec![one.clone(), two[..30].to_vec()], 0));
    assert_eq!(split(&[b"text"]), (vec![b"text".to_vec()], 0));
    assert_eq!(split(&[]), (vec![Vec::new()], 0));
    // A chunk that claims to be longer than the file, and bytes that only begin like one.
    let liar = [&b"\x89PNG\r\n\x1a\n"[..], &[255; 4], b"IDAT"].concat();
    assert_eq!(split(&[&liar, &one]), (vec![[&liar[..], &one].concat()], 0));
    assert_eq!(split(&[b"\x89PNG"]), (vec![b"\x89PNG".to_vec()], 0));
}

#[test]
fn palettes_are_looked_up() {
    let palette: (&[u8], &[u8]) = (&[1, 2, 3, 50, 50, 50, 90, 80, 70], &[255, 255, 0]);
    for (depth, row) in [(BitDepth::Two, vec![0b0001_1000]), (BitDepth::Eight, vec![0, 1, 2])] {
        let picture = decode(&encode([1, 3], ColorType::Indexed, depth, Some(palette), &row)).unwrap();
        assert!(picture.has_colour());
        // Dark colours, so that what is transparent is white.
        assert_eq!(picture.fit(1, 3, 3), [1, 2, 3, 50, 50, 50, 255, 255, 255]);
    }
}

#[test]
fn a_palette_that_is_none_is_refused() {
    let idat = deflated(&[0, 0, 0]);
    for (len, right) in [(0, false), (1, false), (3, true), (49, false), (768, true), (769, false), (771, false)] {
        let palette = vec![7; len];
        for alpha in [&[][..], &[9]] {
            let mut parts: Vec<(&[u8; 4], &[u8])> =
                vec![(b"PLTE", &palette), (b"tRNS", alpha), (b"IDAT", &idat), (b"IEND", &[])];
            parts.retain(|part| part.0 != b"tRNS" || !alpha.is_empty());
            let header = header(2, 1, 8, 3, 0);
            parts.insert(0, (b"IHDR", &header));
            let read = decode(&chunks(&parts));
            assert_eq!(read.is_ok(), right, "{len}: {read:?}");
        }
    }
    let header = header(2, 1, 8, 3, 0);
    let error = decode(&chunks(&[(b"IHDR", &header), (b"PLTE", &[7; 49]), (b"IDAT", &idat)])).unwrap_err().to_string();
    assert!(error.contains("its palette has 49 bytes"), "{error}");
}

#[test]
fn interlaced_pictures_are_put_together() {
    let (rows, columns) = (9usize, 11usize);
    let pixels: Vec<u8> = (0..rows * columns).map(|i| (i * 37 % 251) as u8).collect();
    // Adam7 (PNG specification, section 8.2): first row and column and their steps in each pass.
    let passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)];
    let mut raw = Vec::new();
    for (top, left, down, across) in passes {
        for row in (top..rows).step_by(down) {
            raw.push(0);
            raw.extend((left..columns).step_by(across).map(|column| pixels[row * columns + column]));
        }
    }
    let header = header(columns as u32, rows as u32, 8, 0, 1);
    let bytes = chunks(&[(b"IHDR", &header), (b"IDAT", &deflated(&raw)), (b"IEND", &[])]);
    assert_eq!(decode(&bytes).unwrap().fit(rows, columns, 1), pixels);
}

#[test]
fn a_header_alone_is_worth_no_memory() {
    let idat = deflated(&[0; 100]);
    for (columns, rows) in [(1 << 31, 1 << 31), (u32::MAX >> 1, 1), (1, u32::MAX >> 1), (8192, 8193), (8192, 8192)] {
        for color in [0, 6] {
            let bytes = chunks(&[(b"IHDR", &header(columns, rows, 8, color, 0)), (b"IDAT", &idat), (b"IEND", &[])]);
            let error = decode(&bytes).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, DataError::Pixels { .. } | DataError::Png { .. }), "{text}");
            assert!(text.contains(PATH) && !text.contains('\n'), "{text}");
        }
    }
    // What deflate can do at its best is believed: a large picture of one colour in few bytes.
    let raw = vec![0; 1001 * 1000];
    let bytes = chunks(&[(b"IHDR", &header(1000, 1000, 8, 0, 0)), (b"IDAT", &deflated(&raw)), (b"IEND", &[])]);
    assert!(bytes.len() < 2000);
    assert_eq!(decode(&bytes).unwrap().size(), (1000, 1000));
}

#[test]
fn proportions_stay() {
    // Twice as wide as high: full width, in the middle of the height.
    let wide = grey(1, 2, &[100, 200]);
    assert_eq!(wide.clone().fit(4, 4, 1), [0, 0, 0, 0, 100, 100, 200, 200, 100, 100, 200, 200, 0, 0, 0, 0]);
    assert_eq!(wide.fit(1, 1, 1), [150]);
    // 1 x 1000 would be a column of no width: it keeps one.
    let tall = grey(1000, 1, &[50; 1000]);
    assert_eq!(tall.fit(3, 3, 1), [0, 50, 0, 0, 50, 0, 0, 50, 0]);
}

#[test]
fn the_edge_tells_which_side_is_ground() {
    let mut pixels = vec![255; 25];
    pixels[12] = 0;
    let white = grey(5, 5, &pixels);
    assert!(white.has_bright_edge() && !white.invert().has_bright_edge());
    let see_through = encode([1, 1], ColorType::GrayscaleAlpha, BitDepth::Eight, None, &[255, 0]);
    assert!(!decode(&see_through).unwrap().has_bright_edge());
}

#[test]
fn kinds_are_told_by_first_bytes() {
    let of = |bytes: &[u8]| FileKind::of(bytes).unwrap();
    assert_eq!(of(&[0, 0, 8, 3, 0, 0, 0, 9, 0, 0]), Some(FileKind::Idx { images: 9 }));
    assert_eq!(of(&[0, 0, 8, 4, 0, 0, 0, 7, 0, 0]), Some(FileKind::Idx { images: 7 }));
    assert_eq!(of(b"PK\x03\x04\x14\0"), Some(FileKind::Zip));
    assert_eq!(of(&[0, 0, 8, 1, 0, 0, 0, 9]), Some(FileKind::OtherIdx));
    assert_eq!(of(&[0, 0, 13, 2, 0]), Some(FileKind::OtherIdx));
    assert_eq!(of(b"\xff\xd8\xff\xe0 JFIF"), Some(FileKind::Jpeg));
    assert_eq!(of(b"GIF89a"), None);
    assert_eq!(of(b""), None);
    assert_eq!(of(&[0x1f, 0x8b, 1, 2, 3]), None);
    let text = |bytes: &[u8]| read(bytes, Path::new(PATH)).unwrap_err().to_string();
    assert!(text(b"GIF89a").contains("47 49 46 38"));
    assert!(text(b"\xff\xd8\xff\xe0 JFIF").contains("the JPEG cannot be read"));
    assert!(text(b"").contains("nothing"));
    assert!(text(b"\x89PN").contains("89 50 4e"));
    assert!(text(&[0, 0, 8, 1, 0, 0, 0, 1, 5]).contains("1 dimensions, wanted 3"));
    assert!(text(&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]).contains("at least 1 x 1"));
    let idx = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 5, 6];
    let wanted = Images { height: 1, width: 1, channels: 1, pixels: vec![5, 6] };
    assert_eq!(read(&idx, Path::new(PATH)).unwrap(), Content::Images(wanted));
}

#[test]
fn what_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let images = Images { height: 1, width: 1, channels: 1, pixels: vec![5, 6] };
    let error = images.write_png(2, &folder.path().join("x.png")).unwrap_err().to_string();
    assert!(error.contains("index is 2"), "{error}");
    assert!(images.write_png(0, &folder.path().join("none/x.png")).is_err());
    let four = Images { channels: 2, ..images };
    assert!(four.write_png(0, &folder.path().join("x.png")).unwrap_err().to_string().contains("channels is 2"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A pixel of the result by its definition, without a shared step: the mean of what it covers.
fn mean(pixels: &[u8], from: (usize, usize), to: (usize, usize), row: usize, column: usize) -> u8 {
    let overlap = |i: usize, j: usize, from: usize, to: usize| {
        let (begin, end) = ((i * from).max(j * to), ((i + 1) * from).min((j + 1) * to));
        end.saturating_sub(begin)
    };
    let mut sum = 0;
    for y in 0..from.0 {
        for x in 0..from.1 {
            sum += overlap(row, y, from.0, to.0) * overlap(column, x, from.1, to.1) * pixels[y * from.1 + x] as usize;
        }
    }
    let area = from.0 * from.1;
    ((2 * sum + area) / (2 * area)) as u8
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scaling_is_the_mean_over_areas(rows in 1usize..20, columns in 1usize..20, factor in 1usize..30, seed: u32) {
        let pixels: Vec<u8> = (0..rows * columns).map(|i| (seed.wrapping_mul(2 * i as u32 + 1) >> 24) as u8).collect();
        let picture = grey(rows as u32, columns as u32, &pixels);
        // Sides in the picture's own proportions, so that it fills them.
        let to = (rows * factor / 7, columns * factor / 7);
        prop_assume!(factor % 7 == 0 || (rows * factor % 7 == 0 && columns * factor % 7 == 0));
        let scaled = picture.fit(to.0, to.1, 1);
        for row in 0..to.0 {
            for column in 0..to.1 {
                prop_assert_eq!(scaled[row * to.1 + column], mean(&pixels, (rows, columns), to, row, column));
            }
        }
    }

    #[test]
    fn shrinking_to_a_square_is_the_mean_over_areas(side in 1usize..40, to in 1usize..30, seed: u32) {
        let pixels: Vec<u8> = (0..side * side).map(|i| (seed.wrapping_mul(2 * i as u32 + 1) >> 24) as u8).collect();
        let scaled = grey(side as u32, side as u32, &pixels).fit(to, to, 1);
        prop_assert_eq!(scaled.len(), to * to);
        for (i, &value) in scaled.iter().enumerate() {
            prop_assert_eq!(value, mean(&pixels, (side, side), (to, to), i / to, i % to));
        }
    }

    #[test]
    fn any_shape_fits_any_shape(rows in 1u32..40, columns in 1u32..40, to in (1usize..40, 1usize..40), channels in 1usize..4) {
        let picture = grey(rows, columns, &vec![200; (rows * columns) as usize]);
        let out = picture.fit(to.0, to.1, channels);
        prop_assert_eq!(out.len(), to.0 * to.1 * channels);
        // One side is full, and there is nothing but picture and background.
        prop_assert!(out.iter().all(|&v| v == 0 || v == 200));
        let lines = |full: &dyn Fn(usize, usize) -> usize, n: usize, of: usize| (0..n).all(|i| (0..of).any(|j| out[full(i, j)] == 200));
        let by_rows = lines(&|i, j| (i * to.1 + j) * channels, to.0, to.1);
        let by_columns = lines(&|i, j| (j * to.1 + i) * channels, to.1, to.0);
        prop_assert!(by_rows || by_columns);
    }

    #[test]
    fn what_is_written_is_read(rows in 1usize..9, columns in 1usize..9, colour: bool, seed: u32) {
        let folder = tempfile::tempdir().unwrap();
        let channels = if colour { 3 } else { 1 };
        let size = rows * columns * channels;
        let pixels: Vec<u8> = (0..2 * size).map(|i| (seed.wrapping_mul(2 * i as u32 + 1) >> 24) as u8).collect();
        let images = Images { height: rows, width: columns, channels, pixels };
        let path = folder.path().join("x.png");
        images.write_png(1, &path).unwrap();
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let picture = decode(&std::fs::read(&path).unwrap()).unwrap();
        prop_assert_eq!(&picture.fit(rows, columns, channels)[..], images.get(1).unwrap());
    }

    #[test]
    fn damage_is_an_error_or_a_picture(cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(), bit in 0..8) {
        let data: Vec<u8> = (0..60).map(|i| i * 4).collect();
        let bytes = encode([4, 5], ColorType::Rgb, BitDepth::Eight, None, &data);
        let whole = decode(&bytes).unwrap();
        if let Ok(picture) = decode(&bytes[..cut.index(bytes.len())]) {
            // Only the chunk that ends the file can be missing.
            prop_assert_eq!(&picture, &whole);
        }
        let mut flipped = bytes;
        let at = flip.index(flipped.len());
        flipped[at] ^= 1u8 << bit;
        if let Err(error) = decode(&flipped) {
            let text = error.to_string();
            prop_assert!(text.contains(PATH) && !text.contains('\n'), "{}", text);
        }
    }
}

#[test]
fn a_folder_gives_its_images_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("inside.png")).unwrap();
    std::fs::write(at("labels"), [0, 0, 8, 1, 0, 0, 0, 0]).unwrap();
    let error = qbnn_data::files::folder(folder.path()).unwrap_err().to_string();
    assert!(error.contains("1 other files") && !error.contains('\n'), "{error}");
    let images = Images { height: 1, width: 1, channels: 1, pixels: vec![5] };
    images.write_png(0, &at("b")).unwrap();
    images.write_png(0, &at(".hidden.png")).unwrap();
    std::fs::write(at("a.PNG"), "none at all").unwrap();
    std::fs::write(at("c"), [0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]).unwrap();
    std::fs::write(at("notes.txt"), "text").unwrap();
    // Of zip archives only those that are called as arrays are.
    std::fs::write(at("d.npz"), b"PK\x03\x04 and no more").unwrap();
    std::fs::write(at("notes.docx"), b"PK\x03\x04 and no more").unwrap();
    let found = qbnn_data::files::folder(folder.path()).unwrap();
    assert_eq!(found.files, [at("a.PNG"), at("b"), at("c"), at("d.npz")]);
    assert_eq!(found.others, 3);
    assert!(qbnn_data::files::folder(&at("nowhere")).is_err());
    let message = |name: &str| qbnn_data::files::open(&at(name)).unwrap_err().to_string();
    assert!(message("a.PNG").contains("begins with 6e 6f 6e 65"));
    assert!(message("gone").contains("gone"));
    assert!(matches!(qbnn_data::files::open(&at("b")).unwrap(), Content::Picture(p) if p.size() == (1, 1)));
}

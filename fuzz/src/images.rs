//! Some bytes as a file of images: refused with one line, or pixels.

use qbnn_data::files::{Content, FileKind, read};
use std::path::Path;

/// Reads the bytes, and does with a picture what can be done with one.
pub fn check(bytes: &[u8]) {
    let kind = FileKind::of(bytes).expect("memory can be read");
    match read(bytes, Path::new("input")) {
        Err(e) => assert!(!e.to_string().contains('\n'), "an error of several lines"),
        Ok(Content::Images(images)) => {
            assert!(
                matches!(kind, Some(FileKind::Idx { images: n }) if n as usize == images.len() || images.size() == 0)
            );
            assert_eq!(images.pixels.len(), images.len() * images.size());
        }
        Ok(Content::Picture(picture)) => {
            assert!(matches!(kind, Some(FileKind::Png | FileKind::Jpeg)));
            let (rows, columns) = picture.size();
            std::hint::black_box(picture.has_bright_edge());
            let colour = picture.has_colour();
            let grey = picture.clone().grey();
            assert!(!grey.has_colour());
            let small = grey.clone().fit(9, 7, 1);
            assert_eq!(small.len(), 63);
            assert_eq!(small, picture.clone().fit(9, 7, 1), "grey first or later");
            let back = picture.clone().invert().invert();
            assert_eq!(back, picture);
            if rows * columns <= 4096 {
                let three = picture.clone().fit(rows, columns, 3);
                assert_eq!(three.len(), 3 * rows * columns);
                assert!(colour || three.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]));
            }
        }
    }
}

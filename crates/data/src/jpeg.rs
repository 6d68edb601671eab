//! JPEG files read to 8-bit pixels: baseline and progressive, grey and colour.
//!
//! The decoder is the one that computes the same on every machine. An orientation that a camera noted is applied (`exif.rs`).

use crate::error::{DataError, one_line};
use crate::picture::{EXPANSION, MAX_PIXELS, Picture};
use jpeg_decoder::{Decoder, PixelFormat};
use std::path::Path;

/// First bytes of a JPEG file.
pub(crate) const SIGNATURE: [u8; 3] = [0xff, 0xd8, 0xff];

impl Picture {
    /// Decodes a JPEG file. `path` is for the messages.
    ///
    /// # Errors
    /// [`DataError::NotImages`]; [`DataError::Jpeg`]; [`DataError::Pixels`], before anything of that size is asked for.
    pub fn from_jpeg(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        if !bytes.starts_with(&SIGNATURE) {
            return Err(DataError::not_images(bytes, path));
        }
        let damaged = |reason: &str| DataError::Jpeg { path: path.into(), reason: reason.into() };
        let fail = |e: jpeg_decoder::Error| damaged(&one_line(&e));
        let mut decoder = Decoder::new(bytes);
        decoder.read_info().map_err(fail)?;
        let info = decoder.info().ok_or_else(|| damaged("it has no header"))?;
        let (columns, rows) = (u32::from(info.width), u32::from(info.height));
        let refuse = |wanted| DataError::Pixels { path: path.into(), columns, rows, wanted };
        let pixels = u64::from(columns) * u64::from(rows);
        if pixels > MAX_PIXELS {
            return Err(refuse(format!("at most {MAX_PIXELS}")));
        }
        // A block of 64 pixels takes at least one bit.
        if pixels > bytes.len() as u64 * EXPANSION {
            return Err(refuse(format!("no more than {} bytes of file can hold", bytes.len())));
        }
        let channels = match info.pixel_format {
            PixelFormat::L8 => 1,
            PixelFormat::RGB24 => 3,
            PixelFormat::L16 => return Err(damaged("it has 16 bits per value; save it with 8")),
            PixelFormat::CMYK32 => return Err(damaged("its colours are for printing (CMYK); save it as RGB")),
        };
        let values = decoder.decode().map_err(fail)?;
        let (rows, columns) = (usize::from(info.height), usize::from(info.width));
        let picture = Self::of_values(rows, columns, channels, &values);
        Ok(picture.ok_or_else(|| damaged("it holds too few pixels"))?.oriented(decoder.exif_data()))
    }
}

/// Bytes of the JPEG file that some bytes begin with, to its end marker; all of them where that is missing.
pub(crate) fn length(bytes: &[u8]) -> usize {
    let mut at = 2;
    // Each round passes one marker; pixels are passed byte by byte, since no marker that ends a file is in them.
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        match (first, marker) {
            (0xff, 0xd9) => return at + 2,
            (0xff, 0x00 | 0x01 | 0xd0..=0xd7) => at += 2,
            (0xff, 0xff) => at += 1,
            (0xff, _) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2),
                _ => break,
            },
            _ => at += 1,
        }
    }
    bytes.len()
}

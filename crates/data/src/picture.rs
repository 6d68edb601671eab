//! Pictures of any size: PNG files (and JPEG files, in `jpeg.rs`) read to 8-bit pixels, made to fit what a network reads, and written.
//!
//! The rules, each of them exact and the same on every machine:
//!
//! - **Values.** 1, 2, 4 and 16 bits become 8 by the nearest of 256 equal steps; a palette is looked up. Chunks about
//!   colour spaces and gamma are not applied: a network was trained on stored values.
//! - **Orientation.** What a camera noted in EXIF data is applied, so that a picture is read as it is shown (`exif.rs`).
//! - **Transparency.** A picture with transparent parts is laid on white if what is visible of it is dark (its mean, each
//!   pixel weighed by how visible it is, is below 128 in grey), else on black: it looks as it does on a page, and black
//!   ink on nothing does not vanish in a black background. Inverting comes after that.
//! - **Colour.** A picture has colour if the three values of some pixel differ. Grey is
//!   (299 R + 587 G + 114 B) / 1000, rounded (Rec. ITU-R BT.601), which leaves grey pixels as they are.
//! - **Size.** [`Picture::fit`] scales without changing the proportions until one side is full, in the middle of a
//!   background of 0. Each pixel of the result is the mean of what it covers in the picture, so that a picture of the
//!   wanted size passes unchanged and nothing is skipped when a large one shrinks.
//!
//! Files are read as if they were hostile. No more memory is asked for than the file's own bytes can fill: deflate, by
//! which PNG is packed, makes at most [`EXPANSION`] bytes of one.

use crate::error::{DataError, one_line};
use crate::idx::replace;
use crate::images::Images;
use std::io::{self, Cursor};
use std::path::Path;

/// First bytes of a PNG file.
pub(crate) const SIGNATURE: [u8; 4] = *b"\x89PNG";

/// The largest picture that is read, in pixels: 8,192 x 8,192.
pub const MAX_PIXELS: u64 = 1 << 26;

/// Most bytes that deflate can make of one: 258 of two bits (RFC 1951, section 3.2.5).
pub const EXPANSION: u64 = 1032;

/// A picture of 8-bit pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    rows: usize,
    columns: usize,
    /// 1 or 3.
    channels: usize,
    /// `[row][column][channel]`.
    values: Vec<u8>,
}

impl Images {
    /// Scaled to other rows and columns as pictures are, in 1 or 3 channels.
    ///
    /// # Errors
    /// [`DataError::Limit`] for sizes that are none, or make more than 2^30 values.
    pub fn fitted(self, rows: usize, columns: usize, channels: usize) -> Result<Self, DataError> {
        if (self.height, self.width, self.channels) == (rows, columns, channels) {
            return Ok(self);
        }
        let size = rows.checked_mul(columns).and_then(|n| n.checked_mul(channels)).unwrap_or(0);
        let most = (1usize << 30).checked_div(self.len().max(1)).unwrap_or(0);
        if size == 0 || size > most || ![1, 3].contains(&channels) || ![1, 3].contains(&self.channels) {
            return Err(DataError::Limit { key: "resize", found: size, wanted: "a size that makes 1 to 2^30 values" });
        }
        let mut pixels = Vec::with_capacity(size * self.len());
        for image in self.pixels.chunks_exact(self.size()) {
            let picture = Picture::of_values(self.height, self.width, self.channels, image);
            pixels.extend(picture.map(|p| p.fit(rows, columns, channels)).unwrap_or_default());
        }
        Ok(Self { height: rows, width: columns, channels, pixels })
    }
}

impl Images {
    /// The same in grey; what has another number of channels than 3 stays as it is.
    #[must_use]
    pub fn grey(self) -> Self {
        if self.channels != 3 {
            return self;
        }
        let pixels = self.pixels.as_chunks::<3>().0.iter().map(|&rgb| grey(rgb)).collect();
        Self { channels: 1, pixels, ..self }
    }
}

impl Picture {
    /// Decodes a PNG file: any colour type and depth, interlaced or not; of an animation the still picture. `path` is
    /// for the messages.
    ///
    /// # Errors
    /// [`DataError::NotImages`], [`DataError::Png`], [`DataError::Pixels`].
    pub fn from_png(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        if !bytes.starts_with(&SIGNATURE) {
            return Err(DataError::not_images(bytes, path));
        }
        let fail = |e: png::DecodingError| DataError::Png { path: path.into(), reason: one_line(&e) };
        let damaged = |reason: &str| DataError::Png { path: path.into(), reason: reason.into() };
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        // What is not looked at need not be unpacked.
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let header = decoder.read_header_info().map_err(fail)?;
        let (columns, rows) = (header.width, header.height);
        let refuse = |wanted| DataError::Pixels { path: path.into(), columns, rows, wanted };
        let pixels = u64::from(columns) * u64::from(rows);
        if pixels > MAX_PIXELS {
            return Err(refuse(format!("at most {MAX_PIXELS}")));
        }
        // Packed bits of a pixel; a row takes one byte more than they do, and rounds up to whole bytes.
        let bits = header.color_type.samples() as u64 * header.bit_depth as u64;
        if pixels * bits / 8 > bytes.len() as u64 * EXPANSION {
            return Err(refuse(format!("no more than {} bytes of file can hold", bytes.len())));
        }
        let mut reader = decoder.read_info().map_err(fail)?;
        // The decoder takes for granted that a palette is one.
        if let (png::ColorType::Indexed, Some(palette)) = (reader.info().color_type, &reader.info().palette)
            && !(palette.len().is_multiple_of(3) && (3..=768).contains(&palette.len()))
        {
            return Err(damaged(&format!(
                "its palette has {} bytes, wanted 3 for each of 1 to 256 colours",
                palette.len()
            )));
        }
        let size = reader.output_buffer_size().ok_or_else(|| damaged("its size overflows"))?;
        let mut buffer = vec![0; size];
        let frame = reader.next_frame(&mut buffer).map_err(fail)?;
        buffer.truncate(frame.buffer_size());
        let (channels, alpha) = match frame.color_type {
            png::ColorType::Grayscale => (1, false),
            png::ColorType::GrayscaleAlpha => (1, true),
            png::ColorType::Rgb => (3, false),
            png::ColorType::Rgba => (3, true),
            png::ColorType::Indexed => return Err(damaged("its palette was not applied")),
        };
        if frame.bit_depth == png::BitDepth::Sixteen {
            let (pairs, _) = buffer.as_chunks::<2>();
            buffer = pairs.iter().map(|&pair| to_8_bits(u16::from_be_bytes(pair))).collect();
        }
        let (rows, columns) = (frame.height as usize, frame.width as usize);
        let picture = Self::new(rows, columns, channels, alpha, &buffer);
        let picture = picture.ok_or_else(|| damaged("it holds too few pixels"))?;
        Ok(picture.oriented(reader.info().exif_metadata.as_deref()))
    }

    /// From values `[row][column][channel]`, the last channel the visibility if there is `alpha`; `None` if their number
    /// is not right.
    fn new(rows: usize, columns: usize, channels: usize, alpha: bool, buffer: &[u8]) -> Option<Self> {
        let each = channels + usize::from(alpha);
        if rows == 0 || columns == 0 || buffer.len() != rows * columns * each {
            return None;
        }
        let values = if alpha { composed(buffer, channels) } else { buffer.to_vec() };
        Some(Self { rows, columns, channels, values })
    }

    /// From values `[row][column][channel]` of 1 or 3 channels; `None` if their number is not right.
    pub(crate) fn of_values(rows: usize, columns: usize, channels: usize, values: &[u8]) -> Option<Self> {
        Self::new(rows, columns, channels, false, values)
    }

    /// Rows and columns.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Values of a pixel, 1 or 3.
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// `[row][column][channel]`.
    pub(crate) fn values(&self) -> &[u8] {
        &self.values
    }

    /// Whether the three values of some pixel differ.
    #[must_use]
    pub fn has_colour(&self) -> bool {
        self.channels == 3 && self.values.as_chunks::<3>().0.iter().any(|&[r, g, b]| r != g || g != b)
    }

    /// Whether all pixels are the same: there is nothing to see.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let mut pixels = self.values.chunks_exact(self.channels);
        let first = pixels.next();
        pixels.all(|pixel| Some(pixel) == first)
    }

    /// The picture in grey.
    #[must_use]
    pub fn grey(self) -> Self {
        if self.channels == 1 {
            return self;
        }
        let values = self.values.as_chunks::<3>().0.iter().map(|&rgb| grey(rgb)).collect();
        Self { channels: 1, values, ..self }
    }

    /// Dark for bright, and bright for dark.
    #[must_use]
    pub fn invert(mut self) -> Self {
        self.values.iter_mut().for_each(|v| *v = 255 - *v);
        self
    }

    /// Whether most of the outermost pixels are bright, as where somebody drew on white; the built-in networks see
    /// figures on a dark ground.
    #[must_use]
    pub fn has_bright_edge(&self) -> bool {
        let edge = |i: usize| {
            let (row, column) = (i / self.columns, i % self.columns);
            row == 0 || column == 0 || row + 1 == self.rows || column + 1 == self.columns
        };
        let bright = |pixel: &[u8]| pixel.iter().all(|&v| v > 127);
        let (mut outer, mut bright_ones) = (0usize, 0usize);
        for (_, pixel) in self.values.chunks_exact(self.channels).enumerate().filter(|&(i, _)| edge(i)) {
            outer += 1;
            bright_ones += usize::from(bright(pixel));
        }
        2 * bright_ones > outer
    }

    /// `rows` x `columns` x `channels` values, `[row][column][channel]`: the picture scaled into them as the module says,
    /// a grey one the same in every channel, one of colour in grey where a single channel is wanted.
    #[must_use]
    pub fn fit(self, rows: usize, columns: usize, channels: usize) -> Vec<u8> {
        let picture = if channels == 1 { self.grey() } else { self };
        let mut out = vec![0; rows * columns * channels];
        if out.is_empty() {
            return out;
        }
        let (height, width) = inner(picture.rows, picture.columns, rows, columns);
        let (top, left) = ((rows - height) / 2, (columns - width) / 2);
        for channel in 0..channels {
            let plane = picture.plane(channel.min(picture.channels - 1));
            let scaled = scaled(&plane, picture.rows, picture.columns, height, width);
            for (row, line) in scaled.chunks_exact(width).enumerate() {
                for (column, &value) in line.iter().enumerate() {
                    out[((top + row) * columns + left + column) * channels + channel] = value;
                }
            }
        }
        out
    }

    /// One channel.
    fn plane(&self, channel: usize) -> Vec<u8> {
        self.values.iter().skip(channel).step_by(self.channels).copied().collect()
    }
}

/// Bytes of the PNG file that some bytes begin with, to the end of its last chunk; all of them where that is missing.
#[must_use]
pub fn png_length(bytes: &[u8]) -> usize {
    let mut at = 8;
    // Length, name, content, checksum.
    while let Some(&[a, b, c, d, ref name @ ..]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        at = at.saturating_add(u32::from_be_bytes([a, b, c, d]) as usize).saturating_add(12);
        if name == b"IEND" {
            return at.min(bytes.len());
        }
    }
    bytes.len()
}

/// Grey of a colour.
fn grey([r, g, b]: [u8; 3]) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

/// Values without visibility, which follows each pixel's channels in the buffer: laid on white if what is visible is dark,
/// else on black.
fn composed(buffer: &[u8], channels: usize) -> Vec<u8> {
    let pixels = || buffer.chunks_exact(channels + 1).map(|pixel| pixel.split_at(channels));
    // At most 2^26 pixels of at most 255 * 255.
    let (mut sum, mut visible) = (0u64, 0u64);
    for (values, alpha) in pixels() {
        let value = match *values {
            [r, g, b] => grey([r, g, b]),
            [v, ..] => v,
            [] => 0,
        };
        let alpha = u64::from(alpha[0]);
        (sum, visible) = (sum + u64::from(value) * alpha, visible + alpha);
    }
    let ground: u32 = if sum < 128 * visible { 255 } else { 0 };
    let laid = |v: u8, a: u8| ((u32::from(v) * u32::from(a) + ground * (255 - u32::from(a)) + 127) / 255) as u8;
    pixels().flat_map(|(values, alpha)| values.iter().map(|&v| laid(v, alpha[0])).collect::<Vec<_>>()).collect()
}

/// The nearest of 256 equal steps: 65535 = 257 * 255.
fn to_8_bits(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// Rows and columns of a picture of `from` scaled into `to` with its proportions; at least 1 each.
fn inner(from_rows: usize, from_columns: usize, rows: usize, columns: usize) -> (usize, usize) {
    let side = |one: usize, of: usize, to: usize| {
        let (one, of, to) = (one as u128, of as u128, to as u128);
        (((2 * one * to + of) / (2 * of)).max(1)) as usize
    };
    // The taller of the two shapes fills the rows.
    if from_rows as u128 * columns as u128 >= from_columns as u128 * rows as u128 {
        (rows, side(from_columns, from_rows, rows).min(columns))
    } else {
        (side(from_rows, from_columns, columns).min(rows), columns)
    }
}

/// What each of `to` pixels covers of `from` pixels along a line: the first of them, and each one's share in `from`ths.
fn covers(from: usize, to: usize) -> Vec<(usize, Vec<u64>)> {
    // In units in which a pixel of the picture is `to` long and one of the result `from`.
    let cover = |i: usize| {
        let (begin, end) = (i * from, (i + 1) * from);
        let (first, last) = (begin / to, (end - 1) / to);
        let share = |j: usize| (end.min((j + 1) * to) - begin.max(j * to)) as u64;
        (first, (first..=last).map(share).collect())
    };
    (0..to).map(cover).collect()
}

/// A plane scaled by means over areas, rounded once. Shares of a result add up to the area: sums stay below 255 x 2^26.
fn scaled(plane: &[u8], from_rows: usize, from_columns: usize, rows: usize, columns: usize) -> Vec<u8> {
    if (from_rows, from_columns) == (rows, columns) {
        return plane.to_vec();
    }
    let (down, across) = (covers(from_rows, rows), covers(from_columns, columns));
    let area = from_rows as u64 * from_columns as u64;
    let mut out = Vec::with_capacity(rows * columns);
    let mut sums = vec![0u64; columns];
    for (top, shares) in &down {
        sums.fill(0);
        for (line, &height) in plane.chunks_exact(from_columns).skip(*top).zip(shares) {
            for (sum, (left, widths)) in sums.iter_mut().zip(&across) {
                let covered = line[*left..].iter().zip(widths).map(|(&v, &width)| u64::from(v) * width);
                *sum += height * covered.sum::<u64>();
            }
        }
        out.extend(sums.iter().map(|sum| ((sum + area / 2) / area) as u8));
    }
    out
}

impl Images {
    /// The image at place `index` as the bytes of a PNG file. Reading it gives the same values. `path` is for the message.
    ///
    /// # Errors
    /// [`DataError::Io`]; [`DataError::Limit`] if there is no such image, or it has not 1 or 3 channels.
    pub fn png(&self, index: usize, path: &Path) -> Result<Vec<u8>, DataError> {
        let color = match self.channels {
            1 => png::ColorType::Grayscale,
            3 => png::ColorType::Rgb,
            found => return Err(DataError::Limit { key: "channels", found, wanted: "1 or 3" }),
        };
        let none = || DataError::Limit { key: "index", found: index, wanted: "a place below the number of images" };
        let image = self.get(index).ok_or_else(none)?;
        let side = |n: usize| u32::try_from(n).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e));
        let encode = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, side(self.width)?, side(self.height)?);
            encoder.set_color(color);
            encoder.set_depth(png::BitDepth::Eight);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(image)?;
            writer.finish()?;
            Ok(bytes)
        };
        encode().map_err(|e| DataError::io("encode", path, &e))
    }

    /// Writes it, under another name until it is whole.
    ///
    /// # Errors
    /// As [`Images::png`].
    pub fn write_png(&self, index: usize, path: &Path) -> Result<(), DataError> {
        let bytes = self.png(index, path)?;
        replace(path, |file| io::Write::write_all(file, &bytes))
    }
}

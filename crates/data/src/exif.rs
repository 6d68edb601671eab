//! How a camera was held: the orientation that EXIF data of a JPEG or PNG file notes.
//!
//! A phone stores what its sensor saw, and beside it how the picture is to be turned. What shows pictures turns them, and so
//! does this program: a picture is read as people see it. EXIF is a TIFF file in small: a header, then a directory of
//! 12-byte entries (JEITA CP-3451, section 4.6). Tag 274 is the orientation, a number from 1 to 8. What is damaged, or says
//! anything else, turns nothing.

use crate::picture::Picture;

/// Tag of the orientation, and the type of its value, a 16-bit number.
const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;

/// The orientation that EXIF data notes, from its TIFF header on: 1 (as it is stored) to 8. `None` where it notes none.
pub(crate) fn orientation(tiff: &[u8]) -> Option<u8> {
    let big = match tiff.get(..2)? {
        b"MM" => true,
        b"II" => false,
        _ => return None,
    };
    let word = |at: usize| -> Option<u16> {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let long = |at: usize| -> Option<usize> {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        usize::try_from(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }).ok()
    };
    if word(2)? != 42 {
        return None;
    }
    let directory = long(4)?;
    let entries = usize::from(word(directory)?);
    let entry =
        (0..entries).map(|i| directory.checked_add(2 + 12 * i)).map_while(|at| at.filter(|at| *at < tiff.len()));
    for at in entry {
        if word(at)? == ORIENTATION && word(at + 2)? == SHORT && long(at + 4)? == 1 {
            return u8::try_from(word(at + 8)?).ok().filter(|value| (1..=8).contains(value));
        }
    }
    None
}

impl Picture {
    /// The picture turned and mirrored as its EXIF data (from the TIFF header on) says.
    pub(crate) fn oriented(self, exif: Option<&[u8]>) -> Self {
        let Some(orientation @ 2..=8) = exif.and_then(orientation) else { return self };
        let ((height, width), channels) = (self.size(), self.channels());
        // From 5 on rows are columns.
        let (rows, columns) = if orientation >= 5 { (width, height) } else { (height, width) };
        let values = self.values();
        let mut turned = Vec::with_capacity(values.len());
        for row in 0..rows {
            for column in 0..columns {
                let (down, right) = match orientation {
                    2 => (row, width - 1 - column),
                    3 => (height - 1 - row, width - 1 - column),
                    4 => (height - 1 - row, column),
                    5 => (column, row),
                    6 => (height - 1 - column, row),
                    7 => (height - 1 - column, width - 1 - row),
                    _ => (column, width - 1 - row),
                };
                let at = (down * width + right) * channels;
                turned.extend_from_slice(&values[at..at + channels]);
            }
        }
        Self::of_values(rows, columns, channels, &turned).unwrap_or(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod tests {
    use super::*;

    /// EXIF data that notes an orientation, after another entry.
    pub(crate) fn noting(value: u16, big: bool) -> Vec<u8> {
        let word = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let long = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let mut out = if big { b"MM".to_vec() } else { b"II".to_vec() };
        out.extend(word(42));
        out.extend(long(8));
        out.extend(word(2));
        for (tag, value) in [(0x0100, 9), (ORIENTATION, value)] {
            out.extend(word(tag));
            out.extend(word(SHORT));
            out.extend(long(1));
            out.extend(word(value));
            out.extend([0, 0]);
        }
        out.extend(long(0));
        out
    }

    #[test]
    fn both_orders_of_bytes_are_read_and_damage_turns_nothing() {
        for big in [false, true] {
            for value in 1..=8 {
                assert_eq!(orientation(&noting(value, big)), Some(value as u8));
            }
            for value in [0, 9, 256 + 6] {
                assert_eq!(orientation(&noting(value, big)), None);
            }
            let whole = noting(6, big);
            for end in 0..whole.len() {
                // The number itself ends 6 bytes before the end.
                assert_eq!(orientation(&whole[..end]), (end >= whole.len() - 6).then_some(6), "{end}");
            }
            let mut far = whole;
            far[4..8].fill(0xff);
            assert_eq!(orientation(&far), None);
        }
        assert_eq!(orientation(b"none"), None);
    }

    /// The eight orientations of
    /// `1 2 3`
    /// `4 5 6`, as they are shown.
    #[test]
    fn pictures_are_turned_as_they_are_shown() {
        let stored = || Picture::of_values(2, 3, 1, &[1, 2, 3, 4, 5, 6]).unwrap();
        let shown = |orientation: u16| {
            let picture = stored().oriented(Some(&noting(orientation, true)));
            (picture.size(), picture.values().to_vec())
        };
        for (orientation, size, values) in [
            (1, (2, 3), [1, 2, 3, 4, 5, 6]),
            (2, (2, 3), [3, 2, 1, 6, 5, 4]),
            (3, (2, 3), [6, 5, 4, 3, 2, 1]),
            (4, (2, 3), [4, 5, 6, 1, 2, 3]),
            (5, (3, 2), [1, 4, 2, 5, 3, 6]),
            (6, (3, 2), [4, 1, 5, 2, 6, 3]),
            (7, (3, 2), [6, 3, 5, 2, 4, 1]),
            (8, (3, 2), [3, 6, 2, 5, 1, 4]),
        ] {
            assert_eq!(shown(orientation), (size, values.to_vec()), "{orientation}");
        }
        assert_eq!(stored().oriented(None), stored());
        let colour = Picture::of_values(1, 2, 3, &[1, 2, 3, 4, 5, 6]).unwrap().oriented(Some(&noting(2, false)));
        assert_eq!(colour.values(), [4, 5, 6, 1, 2, 3]);
    }
}

//! Arrays of numpy: `.npy` (format versions 1 to 3, numpy.lib.format) inside `.npz`, which is a zip archive of them.
//!
//! As much of both as `np.savez` and `np.savez_compressed` write, and archives of `.npy` files by other programs. Only what
//! is asked for by name is unpacked: what else lies in an archive may be of any kind. A file is read as if it were hostile:
//! every size is checked against what is there before anything is taken for granted.

use crate::error::{bail, ensure};
use crate::file_kind::Found;
use flate2::read::DeflateDecoder;
use std::collections::BTreeMap;
use std::io::Read;

/// Bytes that an array may unpack to; guards against a small file that claims to be a huge one.
const MOST: u64 = 1 << 29;

/// Values that an array may have: in double precision as many bytes as above.
pub const VALUES: usize = 1 << 26;
/// Texts that an array may have.
const TEXTS: usize = 1 << 22;
/// Axes that an array may have, as in numpy.
const AXES: usize = 64;

/// An array, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// What it holds.
    pub values: Values,
}

/// Values of an array by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Any floating-point type, in double precision.
    Float(Vec<f64>),
    /// Unsigned 8-bit integers, as they are: what images are stored as.
    Byte(Vec<u8>),
    /// Any other integer type.
    Integer(Vec<i64>),
    /// Truth values.
    Boolean(Vec<bool>),
    /// Text, without padding.
    Text(Vec<String>),
}

impl Values {
    /// Integers of one kind: bytes become what all others are.
    ///
    /// # Errors
    /// More than [`VALUES`] of them.
    pub fn widened(self) -> Result<Self, String> {
        match self {
            Values::Byte(bytes) => {
                let n = bytes.len();
                ensure!(n <= VALUES, "has {n} values, at most {VALUES} are read; store fewer draws or inputs");
                Ok(Values::Integer(bytes.into_iter().map(i64::from).collect()))
            }
            other => Ok(other),
        }
    }

    /// In words, for messages.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self {
            Values::Float(_) => "floating-point numbers",
            Values::Byte(_) | Values::Integer(_) => "integers",
            Values::Boolean(_) => "booleans",
            Values::Text(_) => "text",
        }
    }
}

/// What an archive holds.
#[derive(Debug, Default)]
pub struct Archive {
    /// The arrays that were asked for, as far as they are there.
    pub arrays: BTreeMap<String, Array>,
    /// Names of all entries, without `.npy`.
    pub names: Vec<String>,
}

/// The arrays of an `.npz` that are asked for by name; an entry may lack the `.npy` of its name.
///
/// # Errors
/// What is wrong with the archive, or with one of these arrays.
pub fn read_npz(bytes: &[u8], wanted: &[&str]) -> Result<Archive, String> {
    let whole = "write it again with np.savez";
    let start = bytes.len().saturating_sub(22 + 65_535);
    let end = bytes[start..].windows(4).rposition(|w| w == b"PK\x05\x06").map(|i| start + i);
    let end = end.ok_or_else(|| match Found::of(bytes) {
        Found::Zip => format!("the .npz (zip) archive is cut off: its directory is missing; {whole}"),
        found => format!("it is no .npz (zip) archive but {}; {whole}", found.what().unwrap_or("something else")),
    })?;
    ensure!(bytes.len() - end >= 22, "the .npz (zip) archive is cut off: its last bytes are missing; {whole}");
    let (count, mut at) = directory(bytes, end)?;
    let mut archive = Archive::default();
    for _ in 0..count {
        ensure!(slice(bytes, at, 4)? == b"PK\x01\x02", "its zip directory is damaged; {whole}");
        let (flags, method, sum) = (u16_at(bytes, at + 8)?, u16_at(bytes, at + 10)?, u32_at(bytes, at + 16)?);
        let (mut stored, mut size) = (u64::from(u32_at(bytes, at + 20)?), u64::from(u32_at(bytes, at + 24)?));
        let name_length = usize::from(u16_at(bytes, at + 28)?);
        let extra_length = usize::from(u16_at(bytes, at + 30)?);
        let comment_length = usize::from(u16_at(bytes, at + 32)?);
        let mut local = u64::from(u32_at(bytes, at + 42)?);
        let name = String::from_utf8_lossy(slice(bytes, at + 46, name_length)?).into_owned();
        let extra = slice(bytes, at + 46 + name_length, extra_length)?;
        at += 46 + name_length + extra_length + comment_length;
        let array = name.strip_suffix(".npy").unwrap_or(&name);
        archive.names.push(array.to_owned());
        if !wanted.contains(&array) {
            continue;
        }
        ensure!(!archive.arrays.contains_key(array), "it holds {array} twice; store it once");
        ensure!(flags & 1 == 0, "{name} is encrypted; {whole}");
        // numpy writes sizes in 64 bits where they need it: extra field 1 has those that are full above, in order.
        let mut wide = zip64(extra);
        for value in [&mut size, &mut stored, &mut local] {
            if *value == u64::from(u32::MAX) {
                *value = wide.next().ok_or("its zip directory is damaged")?;
            }
        }
        let local = place(local)?;
        ensure!(slice(bytes, local, 4)? == b"PK\x03\x04", "its zip entry {name} is damaged");
        let local_name = usize::from(u16_at(bytes, local + 26)?);
        let same = slice(bytes, local.saturating_add(30), local_name)? == name.as_bytes();
        ensure!(same, "its zip entry {name} has another name in its own place; {whole}");
        let head = 30 + local_name + usize::from(u16_at(bytes, local + 28)?);
        let data = local.checked_add(head).ok_or("it names an impossible place")?;
        let data = slice(bytes, data, place(stored)?)?;
        ensure!(size <= MOST, "{name} unpacks to {size} bytes, at most {MOST} are read; store fewer draws or inputs");
        let content = match method {
            0 => data.to_vec(),
            8 => {
                let mut content = Vec::new();
                DeflateDecoder::new(data)
                    .take(size + 1)
                    .read_to_end(&mut content)
                    .map_err(|e| format!("{name}: {e}"))?;
                content
            }
            other => bail!("{name} is packed by method {other}; write it with np.savez or np.savez_compressed"),
        };
        let mut crc = flate2::Crc::new();
        crc.update(&content);
        ensure!(content.len() as u64 == size && crc.sum() == sum, "{name} is damaged (its checksum differs)");
        let read = read_npy(&content).map_err(|e| format!("array {array}: {e}"))?;
        archive.arrays.insert(array.to_owned(), read);
    }
    let behind =
        [&b"PK\x05\x06"[..], b"PK\x06\x06"].iter().any(|record| bytes.get(at..).is_some_and(|b| b.starts_with(record)));
    ensure!(behind, "its zip directory is damaged; {whole}");
    Ok(archive)
}

/// How many entries the directory of a zip archive has, and where it begins. `end` is the place of its end record; where
/// that is too narrow, one in 64 bits stands before it.
fn directory(bytes: &[u8], end: usize) -> Result<(u64, usize), String> {
    let (count, at) = (u64::from(u16_at(bytes, end + 10)?), u64::from(u32_at(bytes, end + 16)?));
    let (count, at) = match end.checked_sub(20) {
        Some(locator) if count == 0xffff || at == 0xffff_ffff => {
            if slice(bytes, locator, 4)? == b"PK\x06\x07" {
                let wide = place(u64_at(bytes, locator + 8)?)?;
                ensure!(slice(bytes, wide, 4)? == b"PK\x06\x06", "its zip directory is damaged");
                let entry = |offset| wide.checked_add(offset).ok_or("it names an impossible place");
                (u64_at(bytes, entry(32)?)?, u64_at(bytes, entry(48)?)?)
            } else {
                (count, at)
            }
        }
        _ => (count, at),
    };
    Ok((count, place(at)?))
}

/// The 64-bit numbers of a zip64 extra field.
fn zip64(mut extra: &[u8]) -> impl Iterator<Item = u64> + use<> {
    let mut found = Vec::new();
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let (kind, length) = (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
        let Some((field, after)) = rest.split_at_checked(length.into()) else { break };
        if kind == 1 {
            found.extend(field.as_chunks().0.iter().map(|c| u64::from_le_bytes(*c)));
        }
        extra = after;
    }
    found.into_iter()
}

/// One `.npy`.
fn read_npy(bytes: &[u8]) -> Result<Array, String> {
    ensure!(
        bytes.starts_with(b"\x93NUMPY"),
        "it is no .npy array but {}; write it with np.savez",
        Found::of(bytes).what().unwrap_or("something else")
    );
    let major = *bytes.get(6).ok_or("it ends too early")?;
    let (at, length) = if major == 1 { (10, usize::from(u16_at(bytes, 8)?)) } else { (12, u32_at(bytes, 8)? as usize) };
    let header = String::from_utf8_lossy(slice(bytes, at, length)?).into_owned();
    let field = |name: &str| -> Result<&str, String> {
        let key = format!("'{name}':");
        let place = header.find(&key).ok_or_else(|| format!("its header has no {name}"))?;
        Ok(header[place + key.len()..].trim_start())
    };
    let kind = field("descr")?;
    let kind = kind.strip_prefix('\'').and_then(|k| k.split('\'').next());
    let kind = kind.ok_or("it is a record array; store plain arrays")?;
    let fortran = field("fortran_order")?.starts_with("True");
    let sizes = field("shape")?.trim_start_matches('(');
    let sizes = sizes.split(')').next().unwrap_or_default();
    let sizes = sizes.split(',').map(str::trim).filter(|s| !s.is_empty());
    let shape: Vec<usize> = sizes.map(str::parse).collect::<Result<_, _>>().map_err(|_| "its shape cannot be read")?;
    let n = shape.iter().try_fold(1usize, |n, &s| n.checked_mul(s)).ok_or("its shape is impossible")?;
    // Bytes stay bytes: an entry is no longer than `MOST`.
    let most = if kind.trim_start_matches('|') == "u1" { MOST as usize } else { VALUES };
    ensure!(n <= most, "it has {n} values, at most {most} are read; store fewer draws or inputs");
    ensure!(shape.len() <= AXES, "it has {} axes, at most {AXES} are read", shape.len());
    let data = &bytes[at + length..];
    let mut values = decode(kind, data, n)?;
    if fortran && shape.len() > 1 {
        values = match values {
            Values::Float(v) => Values::Float(row_major(&v, &shape)),
            Values::Byte(v) => Values::Byte(row_major(&v, &shape)),
            Values::Integer(v) => Values::Integer(row_major(&v, &shape)),
            Values::Boolean(v) => Values::Boolean(row_major(&v, &shape)),
            Values::Text(v) => Values::Text(row_major(&v, &shape)),
        };
    }
    Ok(Array { shape, values })
}

fn decode(kind: &str, data: &[u8], n: usize) -> Result<Values, String> {
    let big = kind.starts_with('>');
    let plain = kind.trim_start_matches(['<', '>', '|', '=']);
    let (letter, width) = plain.split_at_checked(1).ok_or_else(|| format!("its type {kind:?} is unknown"))?;
    let unreadable = || match letter {
        "O" => {
            "it holds Python objects, wanted numbers or text; convert it with np.asarray(x, dtype=float) or dtype=str"
                .to_owned()
        }
        _ => format!("its type is {kind}, wanted float16 to float64, integers, bool or text; convert it with astype"),
    };
    let width: usize = width.parse().ok().ok_or_else(unreadable)?;
    ensure!(!["S", "U"].contains(&letter) || n <= TEXTS, "it has {n} texts, at most {TEXTS} are read; use numbers");
    let size = if letter == "U" { width.checked_mul(4).ok_or("its type is impossible")? } else { width };
    let wanted = n.checked_mul(size).ok_or("its shape is impossible")?;
    ensure!(data.len() == wanted, "it holds {} bytes, wanted {wanted}", data.len());
    // Numbers are at most 8 bytes; each is brought into the machine's order here.
    let ordered = |b: &[u8]| {
        let mut out = [0u8; 8];
        let take = b.len().min(8);
        out[..take].copy_from_slice(&b[..take]);
        if big {
            out[..take].reverse();
        }
        out
    };
    let cells = || data.chunks_exact(size.max(1));
    let four = |o: [u8; 8]| [o[0], o[1], o[2], o[3]];
    Ok(match (letter, width) {
        ("f", 8) => Values::Float(cells().map(|b| f64::from_le_bytes(ordered(b))).collect()),
        ("f", 4) => Values::Float(cells().map(|b| f32::from_le_bytes(four(ordered(b))).into()).collect()),
        ("f", 2) => Values::Float(cells().map(ordered).map(|o| half(u16::from_le_bytes([o[0], o[1]]))).collect()),
        ("i", 1 | 2 | 4 | 8) => {
            // Shifted up and down again: the sign spreads.
            let shift = 64 - 8 * width as u32;
            Values::Integer(cells().map(|b| (i64::from_le_bytes(ordered(b)) << shift) >> shift).collect())
        }
        ("b", 1) => Values::Boolean(cells().map(|b| b[0] != 0).collect()),
        ("u", 1) => Values::Byte(data.to_vec()),
        ("u", 2 | 4) => Values::Integer(cells().map(|b| i64::from_le_bytes(ordered(b))).collect()),
        ("u", 8) => {
            let read = |b| i64::try_from(u64::from_le_bytes(ordered(b))).map_err(|_| "it holds a number beyond 2^63");
            Values::Integer(cells().map(read).collect::<Result<_, _>>()?)
        }
        // Text without a letter takes no bytes.
        ("S" | "U", 0) => Values::Text(vec![String::new(); n]),
        ("S", 1..) => {
            let text = |b: &[u8]| String::from_utf8_lossy(b).trim_end_matches('\0').to_owned();
            Values::Text(cells().map(text).collect())
        }
        ("U", 1..) => {
            let letter = |b: &[u8]| char::from_u32(u32::from_le_bytes(four(ordered(b)))).unwrap_or('\u{fffd}');
            let text = |b: &[u8]| b.chunks_exact(4).map(letter).filter(|&c| c != '\0').collect();
            Values::Text(cells().map(text).collect())
        }
        _ => return Err(unreadable()),
    })
}

/// A number of IEEE 754 half precision.
#[must_use]
pub fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1024.0 + fraction) * 2f64.powi(e - 25),
    }
}

/// Column-major values in row-major order.
fn row_major<T: Clone>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    let mut index = vec![0usize; shape.len()];
    for _ in 0..values.len() {
        let place = index.iter().zip(shape).rev().fold(0, |place, (&i, &size)| place * size + i);
        out.extend(values.get(place).cloned());
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

/// A place or a size of a file in memory.
fn place(number: u64) -> Result<usize, String> {
    usize::try_from(number).map_err(|_| "it names an impossible place".to_owned())
}

fn slice(bytes: &[u8], at: usize, size: usize) -> Result<&[u8], String> {
    let end = at.checked_add(size).ok_or("it names an impossible place")?;
    Ok(bytes.get(at..end).ok_or("it ends too early; write it again with np.savez")?)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    let b = slice(bytes, at, 2)?;
    Ok(u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    let b = slice(bytes, at, 4)?;
    Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, String> {
    Ok(u64::from(u32_at(bytes, at)?) | u64::from(u32_at(bytes, at + 4)?) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn every_kind_is_read() {
        let read = |descr, shape, data: &[u8]| read_npy(&npy(descr, "False", shape, data)).unwrap().values;
        assert_eq!(read("<f4", "(2,)", &[0, 0, 128, 63, 0, 0, 0, 63]), Values::Float(vec![1.0, 0.5]));
        assert_eq!(read(">f4", "(1,)", &[63, 128, 0, 0]), Values::Float(vec![1.0]));
        assert_eq!(read("<f2", "(3,)", &[0, 60, 0, 184, 1, 0]), Values::Float(vec![1.0, -0.5, 2f64.powi(-24)]));
        assert_eq!(read("<i2", "(2,)", &[255, 255, 1, 0]), Values::Integer(vec![-1, 1]));
        assert_eq!(read("|u1", "(1, 1)", &[200]), Values::Byte(vec![200]));
        assert_eq!(Values::Byte(vec![200]).widened(), Ok(Values::Integer(vec![200])));
        assert_eq!(read(">i2", "(2,)", &[255, 255, 0, 1]), Values::Integer(vec![-1, 1]));
        assert_eq!(read("<u8", "()", &[7, 0, 0, 0, 0, 0, 0, 0]), Values::Integer(vec![7]));
        assert_eq!(read("|b1", "(2,)", &[1, 0]), Values::Boolean(vec![true, false]));
        assert_eq!(read("<U0", "(2,)", &[]), Values::Text(vec![String::new(); 2]));
        assert_eq!(read(">U1", "(1,)", &[0, 0, 0, b'o']), Values::Text(vec!["o".into()]));
        assert_eq!(read("<U2", "(1,)", &[b'o', 0, 0, 0, 0, 0, 0, 0]), Values::Text(vec!["o".into()]));
        assert_eq!(read("|S3", "(1,)", b"ab\0"), Values::Text(vec!["ab".into()]));
    }

    #[test]
    fn columns_become_rows() {
        let array = read_npy(&npy("|u1", "True", "(2, 3)", &[1, 4, 2, 5, 3, 6])).unwrap();
        assert_eq!(array.values, Values::Byte(vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn damage_is_an_error() {
        let good = npy("<f8", "False", "(2,)", &[0; 16]);
        assert!(read_npy(&good).is_ok());
        for bad in [&good[..good.len() - 1], &good[..20], &good[..3], &npy("|O", "False", "(1,)", &[0; 8])[..]] {
            assert!(read_npy(bad).is_err());
        }
        assert!(read_npz(b"", &["a"]).is_err() && read_npz(b"PK\x05\x06", &["a"]).is_err());
        let error = |descr, data: &[u8]| read_npy(&npy(descr, "False", "(1,)", data)).unwrap_err();
        assert!(error("|O", &[0; 8]).contains("dtype=str"));
        for (descr, size) in [("<f16", 16), ("<c16", 16), ("<M8[s]", 8), ("|V3", 3), ("<u3", 3)] {
            assert!(error(descr, &vec![0; size]).contains(descr), "{descr}");
        }
    }
}

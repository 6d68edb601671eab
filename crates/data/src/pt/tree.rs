//! What lies in a `.pt` file as a tree: the result of its pickle with the numbers of every tensor.

use super::pickle::{Made, Node, Value, View};
use super::zip::Archive;
use crate::npy::half;
use crate::tensor_file::{Array, Budget, Content, Entry};
use std::collections::HashMap;

/// How deep dictionaries, lists and objects may lie in each other.
const DEPTH: usize = 32;
/// Most values of a tree; a short program can refer to one value many times.
const MOST: usize = 1 << 18;

/// Most bytes of all texts.
const TEXTS: usize = 1 << 24;

/// Reads an archive's description and tensors.
pub(super) fn read(archive: &Archive<'_>, root: &str, made: &Made) -> Result<Content, String> {
    let mut reader =
        Reader { archive, root, made, steps: 0, texts: 0, budget: Budget::default(), entries: HashMap::new() };
    reader.content(made.root, DEPTH)
}

struct Reader<'a> {
    archive: &'a Archive<'a>,
    root: &'a str,
    made: &'a Made,
    steps: usize,
    /// Bytes of all texts so far.
    texts: usize,
    budget: Budget,
    /// Entries whose checksum was verified, by key.
    entries: HashMap<String, &'a [u8]>,
}

impl<'a> Reader<'a> {
    fn content(&mut self, value: Value, depth: usize) -> Result<Content, String> {
        self.steps += 1;
        if self.steps > MOST {
            return Err(format!("more than {MOST} values"));
        }
        let depth = depth.checked_sub(1).ok_or("values that lie too deep in each other, or in themselves")?;
        let made = self.made;
        Ok(match value {
            Value::Nothing | Value::Mark => Content::Nothing,
            Value::Flag(flag) => Content::Flag(flag),
            Value::Int(n) => Content::Number(n as f64),
            Value::Float(x) => Content::Number(x),
            Value::Node(_) => match made.node(value).ok_or("a value that is not there")? {
                Node::Text(text) => Content::Text(self.text(text)?),
                Node::Bytes | Node::Storage(_) => Content::Other("bytes".into()),
                Node::Global(name) => Content::Other(name.clone()),
                Node::Tuple(items) | Node::List(items) => {
                    Content::List(items.iter().map(|&item| self.content(item, depth)).collect::<Result<_, _>>()?)
                }
                Node::Dict(pairs) => Content::Dict(self.pairs(pairs, depth)?),
                Node::Tensor(view) => Content::Array(self.array(view)?),
                Node::Object(object) => {
                    let mut fields = match made.node(object.state) {
                        Some(Node::Dict(pairs)) => self.pairs(pairs, depth)?,
                        _ => Vec::new(),
                    };
                    fields.extend(self.pairs(&object.items, depth)?);
                    Content::Object { class: object.class.clone(), fields }
                }
            },
        })
    }

    /// A text, of which a short program can refer to one many times.
    fn text(&mut self, text: &str) -> Result<String, String> {
        self.texts += text.len();
        if self.texts > TEXTS { Err(format!("texts of more than {TEXTS} bytes")) } else { Ok(text.to_owned()) }
    }

    fn pairs(&mut self, pairs: &[(Value, Value)], depth: usize) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::with_capacity(pairs.len().min(MOST));
        for &(key, value) in pairs {
            let name = match key {
                Value::Int(n) => n.to_string(),
                Value::Float(x) => x.to_string(),
                _ => match self.made.node(key) {
                    Some(Node::Text(text)) => self.text(text)?,
                    _ => "?".into(),
                },
            };
            entries.push(Entry { name, content: self.content(value, depth)? });
        }
        Ok(entries)
    }

    /// The numbers of a tensor, gathered along its strides.
    fn array(&mut self, view: &View) -> Result<Array, String> {
        let View { storage, offset, dims, strides } = view;
        let numbers = self.entry(&storage.key)?;
        let count = check(dims, strides)?;
        self.budget.take(count)?;
        let kind = Kind::of(&storage.kind)?;
        // The last number that any index leads to.
        let last = dims
            .iter()
            .zip(strides)
            .try_fold(*offset, |at, (&size, &stride)| at.checked_add(size.saturating_sub(1).checked_mul(stride)?));
        let end = last.and_then(|last| last.checked_add(1)?.checked_mul(kind.width()));
        if count > 0 && end.is_none_or(|end| end > numbers.len()) {
            let size = numbers.len();
            return Err(format!("sizes {dims:?} from number {offset} on, but only {size} bytes"));
        }
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0usize; dims.len()];
        for _ in 0..count {
            let at = index.iter().zip(strides).fold(*offset, |at, (&i, &stride)| at + i * stride);
            values.push(kind.number(&numbers[at * kind.width()..][..kind.width()]));
            for axis in (0..dims.len()).rev() {
                index[axis] += 1;
                if index[axis] < dims[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Ok(Array { shape: dims.clone(), values, whole: kind.is_whole() })
    }

    fn entry(&mut self, key: &str) -> Result<&'a [u8], String> {
        if let Some(&bytes) = self.entries.get(key) {
            return Ok(bytes);
        }
        let name = format!("{}data/{key}", self.root);
        let bytes = self.archive.find(&name)?.ok_or_else(|| format!("no entry data/{key:?}"))?;
        self.entries.insert(key.to_owned(), bytes);
        Ok(bytes)
    }
}

/// The number of values of a tensor.
pub(super) fn check(dims: &[usize], strides: &[usize]) -> Result<usize, String> {
    if dims.len() != strides.len() {
        return Err(format!("{} sizes but {} strides", dims.len(), strides.len()));
    }
    dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(|| "sizes that overflow".into())
}

/// How numbers are stored.
#[derive(Clone, Copy)]
enum Kind {
    Double,
    Float,
    Half,
    BFloat16,
    Whole(usize),
    Byte,
    Flag,
}

impl Kind {
    fn of(storage: &str) -> Result<Self, String> {
        Ok(match storage {
            "DoubleStorage" => Kind::Double,
            "FloatStorage" => Kind::Float,
            "HalfStorage" => Kind::Half,
            "BFloat16Storage" => Kind::BFloat16,
            "LongStorage" => Kind::Whole(8),
            "IntStorage" => Kind::Whole(4),
            "ShortStorage" => Kind::Whole(2),
            "CharStorage" => Kind::Whole(1),
            "ByteStorage" => Kind::Byte,
            "BoolStorage" => Kind::Flag,
            other => return Err(format!("numbers of type {other:?}")),
        })
    }

    fn width(self) -> usize {
        match self {
            Kind::Double => 8,
            Kind::Float => 4,
            Kind::Half | Kind::BFloat16 => 2,
            Kind::Whole(width) => width,
            Kind::Byte | Kind::Flag => 1,
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Kind::Whole(_) | Kind::Byte | Kind::Flag)
    }

    /// The number that as many bytes as the width store, little-endian.
    fn number(self, bytes: &[u8]) -> f64 {
        let mut wide = [0u8; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let four = [wide[0], wide[1], wide[2], wide[3]];
        match self {
            Kind::Double => f64::from_le_bytes(wide),
            Kind::Float => f32::from_le_bytes(four).into(),
            Kind::Half => half(u16::from_le_bytes([wide[0], wide[1]])),
            Kind::BFloat16 => f32::from_le_bytes([0, 0, wide[0], wide[1]]).into(),
            Kind::Whole(width) => {
                // Shifted up and down again: the sign spreads.
                let shift = 64 - 8 * width as u32;
                ((i64::from_le_bytes(wide) << shift) >> shift) as f64
            }
            Kind::Byte => wide[0].into(),
            Kind::Flag => f64::from(wide[0] != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_type() {
        let number = |storage: &str, bytes: &[u8]| {
            let kind = Kind::of(storage).unwrap();
            assert_eq!(kind.width(), bytes.len());
            kind.number(bytes)
        };
        assert_eq!(number("DoubleStorage", &(-0.1f64).to_le_bytes()), -0.1);
        assert_eq!(number("FloatStorage", &1.5f32.to_le_bytes()), 1.5);
        assert_eq!((number("HalfStorage", &[0, 0xbe]), number("BFloat16Storage", &[0xc0, 0xbf])), (-1.5, -1.5));
        assert_eq!((number("LongStorage", &(-7i64).to_le_bytes()), number("IntStorage", &[255; 4])), (-7.0, -1.0));
        assert_eq!((number("ShortStorage", &[0, 1]), number("CharStorage", &[255])), (256.0, -1.0));
        assert_eq!((number("ByteStorage", &[255]), number("BoolStorage", &[2])), (255.0, 1.0));
        assert!(Kind::of("ComplexFloatStorage").is_err_and(|e| e.contains("Complex")));
    }
}

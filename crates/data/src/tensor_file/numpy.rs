//! Every array of an `.npz`.

use super::{Array, Budget, Content, Entry};
use crate::npy::{Values, read_npz};

/// Most arrays of an archive.
const ARRAYS: usize = 4096;

/// Reads the arrays. One that holds anything but numbers (numpyro's `savez` adds an object) is kept as
/// [`Content::Other`] with the reason.
pub(super) fn read(bytes: &[u8]) -> Result<Content, String> {
    let names = read_npz(bytes, &[])?.names;
    if names.len() > ARRAYS {
        return Err(format!("it holds {} arrays, at most {ARRAYS} are read", names.len()));
    }
    let mut budget = Budget::default();
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        let read = read_npz(bytes, &[&name]);
        // What is damaged is an error; what is of another kind may be of no interest.
        let array = match read {
            Ok(mut archive) => archive.arrays.remove(&name),
            Err(why) if why.starts_with("array ") && why.contains("Python objects") => {
                entries.push(Entry { name, content: Content::Other(why) });
                continue;
            }
            Err(why) => return Err(why),
        };
        let array = array.ok_or_else(|| format!("its array {name} cannot be found"))?;
        budget.take(array.shape.iter().product())?;
        let whole = !matches!(array.values, Values::Float(_));
        let values = match array.values {
            Values::Float(values) => values,
            Values::Byte(values) => values.into_iter().map(f64::from).collect(),
            Values::Integer(values) => values.into_iter().map(|n| n as f64).collect(),
            Values::Boolean(values) => values.into_iter().map(|b| f64::from(u8::from(b))).collect(),
            Values::Text(values) => {
                let content = match &values[..] {
                    [one] => Content::Text(one.clone()),
                    _ => Content::List(values.into_iter().map(Content::Text).collect()),
                };
                entries.push(Entry { name, content });
                continue;
            }
        };
        entries.push(Entry { name, content: Content::Array(Array { shape: array.shape, values, whole }) });
    }
    Ok(Content::Dict(entries))
}

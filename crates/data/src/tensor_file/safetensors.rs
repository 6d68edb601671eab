//! Every tensor of a safetensors file.

use super::{Array, Budget, Content, Entry, Format, TensorFile};
use crate::npy::half;
use safetensors::tensor::{Dtype, SafeTensors};

/// The longest header.
const HEADER: u64 = 1 << 24;

/// Reads the tensors, in the order in which their numbers lie in the file.
pub(super) fn read(bytes: &[u8]) -> Result<TensorFile, String> {
    let broken = |e: safetensors::SafeTensorError| format!("it is no whole safetensors file ({e}); write it again");
    let header = bytes.first_chunk().map(|b| u64::from_le_bytes(*b));
    if let Some(n) = header.filter(|&n| n > HEADER && n < bytes.len() as u64) {
        return Err(format!("it has a header of {n} bytes, at most {HEADER} are read; write it again"));
    }
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let mut metadata: Vec<(String, String)> =
        header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    metadata.sort();
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let mut budget = Budget::default();
    let mut tensors = file.tensors();
    // Names come in no order; where the numbers lie is the order in which they were written.
    tensors.sort_by_key(|(name, view)| (view.data().as_ptr() as usize, name.clone()));
    let mut entries = Vec::with_capacity(tensors.len());
    for (name, view) in tensors {
        let data = view.data();
        budget.take(view.shape().iter().product())?;
        let whole = |values: Vec<f64>| (values, true);
        let float = |values: Vec<f64>| (values, false);
        let (values, whole) = match view.dtype() {
            Dtype::F64 => float(data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect()),
            Dtype::F32 => float(data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b).into()).collect()),
            Dtype::F16 => float(data.as_chunks().0.iter().map(|&b| half(u16::from_le_bytes(b))).collect()),
            Dtype::BF16 => {
                float(data.as_chunks().0.iter().map(|&[a, b]| f32::from_le_bytes([0, 0, a, b]).into()).collect())
            }
            Dtype::I64 => whole(data.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b) as f64).collect()),
            Dtype::U64 => whole(data.as_chunks().0.iter().map(|&b| u64::from_le_bytes(b) as f64).collect()),
            Dtype::I32 => whole(data.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b).into()).collect()),
            Dtype::U32 => whole(data.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b).into()).collect()),
            Dtype::I16 => whole(data.as_chunks().0.iter().map(|&b| i16::from_le_bytes(b).into()).collect()),
            Dtype::U16 => whole(data.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b).into()).collect()),
            Dtype::I8 => whole(data.iter().map(|&b| b.cast_signed().into()).collect()),
            Dtype::U8 | Dtype::BOOL => whole(data.iter().map(|&b| b.into()).collect()),
            other => {
                let content = Content::Other(format!("numbers of type {other:?}"));
                entries.push(Entry { name, content });
                continue;
            }
        };
        entries.push(Entry { name, content: Content::Array(Array { shape: view.shape().to_vec(), values, whole }) });
    }
    Ok(TensorFile { format: Format::Safetensors, root: Content::Dict(entries), metadata })
}

//! Everything that must hold of a model file before anything of it is used.

use super::layer::{Layer, Linear, Op, Shape, grid_of, record, u16_at, u32_at, u64_at};
use super::{BIAS_BITS, HEADER_LEN, Kind, MAGIC, Model, ModelError, Problem, RECORD_LEN, SIZE_LIMIT, VERSION, crc32};
use crate::code::Bits;
use crate::draw::{Rounding, RowScale};
use crate::fixed::{OCTAVE, WIDE_FRACTION_BITS, shift_for};

/// Sums of products stay below this, so that a bias of as much again still fits into 32 bits.
pub(super) const SUM_LIMIT: u64 = 1 << 30;

/// Bytes that a linear layer's parameters take, if that is a sensible number. Order: `docs/file-format.md`.
///
/// `bits` are the widths of stored means and standard deviations; they matter where those are codes.
pub fn parameter_len(kind: Kind, channels: usize, fan_in: usize, bits: Option<(Bits, Bits)>) -> Option<u64> {
    let (channels, fan_in) = (channels as u64, fan_in as u64);
    let weights = channels.checked_mul(fan_in).filter(|&n| n < 1 << 40)?;
    let packed = |n: u64, bits: u32| (n * bits as u64).div_ceil(8);
    Some(match kind {
        Kind::Float => 8 * (weights + channels),
        Kind::Spq => 2 * channels + 8 * (weights + channels),
        Kind::Vpq | Kind::Jq => {
            let (mu, sigma) = bits?;
            let scales = if kind == Kind::Jq { 4 } else { 2 } * channels + 10;
            scales
                + packed(weights, mu.get())
                + packed(weights, sigma.get())
                + packed(channels, BIAS_BITS)
                + packed(channels, sigma.get())
        }
    })
}

/// Checks a whole file.
pub(super) fn file(bytes: &[u8]) -> Result<(), ModelError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(ModelError::NotAModel);
    }
    let found = bytes.len() as u64;
    if bytes.len() < HEADER_LEN {
        return Err(ModelError::Length { found, wanted: HEADER_LEN as u64 });
    }
    let version = u16_at(bytes, 8);
    if version == 0 || version > VERSION {
        return Err(ModelError::Version(version));
    }
    let wanted = u64_at(bytes, 16);
    if found != wanted {
        return Err(ModelError::Length { found, wanted });
    }
    let (found, wanted) = (crc32(&bytes[16..]), u32_at(bytes, 12));
    if found != wanted {
        return Err(ModelError::Checksum { found, wanted });
    }
    header(bytes)?;
    let layers = u16_at(bytes, 24) as usize;
    let mut end = (HEADER_LEN + layers * RECORD_LEN) as u64;
    if end > bytes.len() as u64 {
        return Err(ModelError::Length { found: bytes.len() as u64, wanted: end });
    }
    for index in 0..layers {
        layer(bytes, index, &mut end).map_err(|problem| ModelError::Layer { layer: index + 1, problem })?;
    }
    if end != bytes.len() as u64 {
        return Err(ModelError::Length { found: bytes.len() as u64, wanted: end });
    }
    last(bytes, layers)
}

fn header(bytes: &[u8]) -> Result<(), ModelError> {
    let fail = |what, found: u64| Err(ModelError::Header { what, found });
    let Some(&kind) = Kind::ALL.get(bytes[10] as usize) else { return fail("kind", bytes[10] as u64) };
    if bytes[11] > 1 {
        return fail("rounding", bytes[11] as u64);
    }
    for (what, at, wanted) in [
        ("mu bits", 36, kind.stores_codes()),
        ("sigma bits", 37, kind.stores_codes()),
        ("weight bits", 38, kind.runs_on_codes()),
        // VPQ may round its activations, and computes in float either way.
        ("activation bits", 39, kind.runs_on_codes() || kind == Kind::Vpq && bytes[39] != 0),
    ] {
        let bits = bytes[at] as u32;
        if if wanted { Bits::new(bits).is_err() } else { bits != 0 } {
            return fail(what, bits as u64);
        }
    }
    if bytes[41] != 0 {
        return fail("a reserved byte", bytes[41] as u64);
    }
    if u16_at(bytes, 24) == 0 {
        return fail("layers", 0);
    }
    let side = |at| u16_at(bytes, at) as usize;
    let input = Shape { channels: side(26), rows: side(28), columns: side(30) };
    match size(input) {
        Some(n) if n > 0 => {}
        n => return fail("the image's size", n.unwrap_or(u64::MAX)),
    }
    let name = &bytes[44..HEADER_LEN];
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    if core::str::from_utf8(&name[..end]).is_err() || name[end..].iter().any(|&b| b != 0) {
        return fail("a byte of the name", name[0] as u64);
    }
    Ok(())
}

/// Numbers of a shape, if they are not too many.
fn size(shape: Shape) -> Option<u64> {
    (shape.channels as u64).checked_mul(shape.rows as u64 * shape.columns as u64).filter(|&n| n <= SIZE_LIMIT)
}

fn equal(what: &'static str, found: usize, wanted: usize) -> Result<(), Problem> {
    if found == wanted { Ok(()) } else { Err(Problem::Number { what, found: found as u64, wanted: wanted as u64 }) }
}

fn at_most(what: &'static str, found: u64, wanted: u64) -> Result<(), Problem> {
    if found <= wanted { Ok(()) } else { Err(Problem::Number { what, found, wanted }) }
}

fn at_least(what: &'static str, found: usize, wanted: usize) -> Result<(), Problem> {
    if found >= wanted { Ok(()) } else { Err(Problem::Number { what, found: found as u64, wanted: wanted as u64 }) }
}

fn same_shape(found: Shape, wanted: Shape) -> Result<(), Problem> {
    equal("channels", found.channels, wanted.channels)?;
    equal("rows", found.rows, wanted.rows)?;
    equal("columns", found.columns, wanted.columns)
}

/// Windows of `size` that fit into `side`, `stride` apart.
fn windows(side: usize, size: usize, stride: usize) -> Result<usize, Problem> {
    at_least("window", size, 1)?;
    at_least("stride", stride, 1)?;
    at_most("window", size as u64, side as u64)?;
    Ok((side - size) / stride + 1)
}

/// Checks the record of layer `index`, those before it being checked; `end` is where its parameters must begin, and
/// becomes where they end.
fn layer(bytes: &[u8], index: usize, end: &mut u64) -> Result<(), Problem> {
    let r = record(bytes, index);
    at_most("kind of layer", r[0] as u64, 4)?;
    let model = Model { bytes };
    let runs_on_codes = model.kind().runs_on_codes();
    let layer = Layer::read(r);
    at_most("input", layer.input as u64, index as u64)?;
    let from = model.shape_of(layer.input);
    let codes = grid_of(bytes, layer.input).is_some() && runs_on_codes;
    match size(layer.shape) {
        Some(n) if n > 0 => {}
        n => return Err(Problem::Number { what: "size", found: n.unwrap_or(u64::MAX), wanted: SIZE_LIMIT }),
    }
    match layer.op {
        Op::Linear(l) => linear(&model, &layer, l, from, codes, end)?,
        Op::Pool(pool) => {
            let (rows, columns) =
                (windows(from.rows, pool.size, pool.stride)?, windows(from.columns, pool.size, pool.stride)?);
            same_shape(layer.shape, Shape { channels: from.channels, rows, columns })?;
        }
        Op::Activation(a) => {
            at_most("function", r[1] as u64, 3)?;
            same_shape(layer.shape, from)?;
            if model.activation_bits().is_none() {
                equal("width of activations", r[2] as usize, 0)?;
            } else {
                if codes {
                    return Err(Problem::Values { wanted: "sums: an activation cannot follow an activation" });
                }
                let Some(code) = a.code() else {
                    return Err(Problem::Number { what: "width of activations", found: r[2] as u64, wanted: 8 });
                };
                if (a.low as i32) < code.min() || a.high as i32 > code.max() || a.low > 0 || a.high <= 0 {
                    let (found, wanted) = (a.high as u16 as u64, code.max() as u64);
                    return Err(Problem::Number { what: "largest code", found, wanted });
                }
                at_most("slope", a.slope as u64, 1 << 31)?;
            }
        }
        Op::Add { other } => {
            at_most("second input", other as u64, index as u64)?;
            same_shape(from, model.shape_of(other))?;
            same_shape(layer.shape, from)?;
        }
    }
    Ok(())
}

fn linear(model: &Model<'_>, layer: &Layer, l: Linear, from: Shape, codes: bool, end: &mut u64) -> Result<(), Problem> {
    let channels = layer.shape.channels;
    at_least("padding below the window", l.kernel_rows.min(l.kernel_columns), l.padding + 1)?;
    let rows = windows(from.rows + 2 * l.padding, l.kernel_rows, l.stride)?;
    let columns = windows(from.columns + 2 * l.padding, l.kernel_columns, l.stride)?;
    equal("rows", layer.shape.rows, rows)?;
    equal("columns", layer.shape.columns, columns)?;
    equal("input channels that the groups leave over", from.channels % l.groups, 0)?;
    equal("output channels that the groups leave over", channels % l.groups, 0)?;
    equal("input channels of a group", l.group_inputs, from.channels / l.groups)?;
    let padded =
        Shape { channels: from.channels, rows: from.rows + 2 * l.padding, columns: from.columns + 2 * l.padding };
    if size(padded).is_none() {
        return Err(Problem::Number { what: "size of the padded input", found: u64::MAX, wanted: SIZE_LIMIT });
    }
    // kernel <= padded side, so this cannot overflow.
    let fan_in = l.fan_in();
    at_most("inputs of each output", fan_in as u64, SIZE_LIMIT / 64)?;
    let bits = model.mu_bits().zip(model.sigma_code().map(|s| s.0));
    let len = parameter_len(model.kind(), channels, fan_in, bits);
    let len = len.ok_or(Problem::Number { what: "weights", found: u64::MAX, wanted: 1 << 40 })?;
    let (offset, found) = (l.offset as u64, l.len as u64);
    if found != len {
        return Err(Problem::Number { what: "bytes of parameters", found, wanted: len });
    }
    if offset != *end {
        return Err(Problem::Number { what: "offset of the parameters", found: offset, wanted: *end });
    }
    *end = end.saturating_add(len);
    at_most("end of the parameters", *end, model.bytes.len() as u64)?;
    // The noise of a tensor is addressed by 32-bit blocks of 16 bytes.
    let noise = channels as u64 * fan_in as u64 * Rounding::Stochastic.noise_bytes() as u64;
    at_most("bytes of noise", noise, 16 << 32)?;
    if !model.kind().runs_on_codes() {
        return Ok(());
    }
    if !codes {
        return Err(Problem::Values { wanted: "codes: put an activation before it" });
    }
    arithmetic(model, layer, fan_in)
}

/// Whether a linear layer's integers stay in range whatever is drawn.
fn arithmetic(model: &Model<'_>, layer: &Layer, fan_in: usize) -> Result<(), Problem> {
    let (Some(grid), Some(code)) = (model.grid_of(layer.input), model.weight_code()) else { return Ok(()) };
    let largest = (fan_in as u64) * (-code.min()) as u64 * ((1 << grid.bits) - 1);
    if largest >= SUM_LIMIT {
        return Err(Problem::Accumulator { largest });
    }
    let Some((codes, mu_bits)) = model.codes(layer).zip(model.mu_bits()) else { return Ok(()) };
    if codes.sigma_step() <= 0 || codes.bias_sigma_step() <= 0 {
        return Err(Problem::Number { what: "step of a sigma grid", found: 0, wanted: 1 });
    }
    for channel in 0..codes.weight_scales.len() {
        let weight = codes.weight_scales.get(channel);
        let row = RowScale::new(codes.mu_scales.get(channel), weight, codes.sigma_top(), mu_bits);
        let wide = weight as i32 + grid.log2_step + WIDE_FRACTION_BITS as i32 * OCTAVE;
        if row.is_none() || shift_for(wide).is_none() {
            return Err(Problem::Scales { channel });
        }
    }
    Ok(())
}

/// The last layer must give one sum per class.
fn last(bytes: &[u8], layers: usize) -> Result<(), ModelError> {
    let model = Model { bytes };
    let fail = |problem| Err(ModelError::Layer { layer: layers, problem });
    let (shape, classes) = (model.shape_of(layers), model.classes());
    if shape.len() != classes {
        return fail(Problem::Number { what: "number of outputs", found: shape.len() as u64, wanted: classes as u64 });
    }
    if model.kind().runs_on_codes() && model.grid_of(layers).is_some() {
        return fail(Problem::Values { wanted: "to be a layer that gives sums: end in a dense layer" });
    }
    Ok(())
}

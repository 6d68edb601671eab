//! Everything that must hold of a model file before anything of it is used.

use super::layer::{Grid, Layer, Linear, Op, Shape, grid_of, record, u16_at, u32_at, u64_at};
use super::{
    BIAS_BITS, HEADER_LEN, Kind, LAYER_LIMIT, MAGIC, Model, ModelError, Posterior, Problem, RECORD_LEN, SIZE_LIMIT,
    VERSION, crc32,
};
use crate::code::Bits;
use crate::draw::{Rounding, RowScale};
use crate::fixed::{OCTAVE, WIDE_FRACTION_BITS, shift_for};

/// Sums of products stay below this, so that a bias of as much again still fits into 32 bits.
pub(super) const SUM_LIMIT: u64 = 1 << 30;
/// The logarithm of 1 in units of a wide value.
const WIDE: i32 = WIDE_FRACTION_BITS as i32 * OCTAVE;

/// Bytes that a linear layer's parameters take, if that is a sensible number. Order: `docs/file-format.md`.
///
/// `bits` are the widths of stored means and standard deviations; they matter where those are codes.
pub fn parameter_len(
    (kind, posterior): (Kind, Posterior),
    channels: usize,
    fan_in: usize,
    bits: (Option<Bits>, Option<Bits>),
) -> Option<u64> {
    let (channels, fan_in) = (channels as u64, fan_in as u64);
    let weights = channels.checked_mul(fan_in).filter(|&n| n < 1 << 40)?;
    let floats = if posterior.has_sigma() { 8 } else { 4 } * (weights + channels);
    Some(match kind {
        Kind::Float => floats,
        Kind::Spq => 2 * channels + floats,
        Kind::Vpq | Kind::Jq if !posterior.has_sigma() => {
            2 * channels + 2 + packed(weights, bits.0?) + (channels * BIAS_BITS as u64).div_ceil(8)
        }
        Kind::Vpq | Kind::Jq => {
            let (mu, sigma) = (bits.0?, bits.1?);
            let scales = if kind == Kind::Jq { 4 } else { 2 } * channels + 10;
            scales
                + packed(weights, mu)
                + packed(weights, sigma)
                + (channels * BIAS_BITS as u64).div_ceil(8)
                + packed(channels, sigma)
        }
    })
}

/// Bytes that codes take, however many.
pub(super) const fn packed(codes: u64, bits: Bits) -> u64 {
    (codes * bits.get() as u64).div_ceil(8)
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
    let posterior = Posterior::of_byte(bytes[41]);
    if !posterior.has_sigma() && u16_at(bytes, 8) < 2 {
        return fail("a reserved byte", bytes[41] as u64);
    }
    for (what, at, wanted) in [
        ("mu bits", 36, kind.stores_codes()),
        ("sigma bits", 37, kind.stores_codes() && posterior.has_sigma()),
        ("weight bits", 38, kind.runs_on_codes()),
        // VPQ may round its activations, and computes in float either way.
        ("activation bits", 39, kind.runs_on_codes() || kind == Kind::Vpq && bytes[39] != 0),
    ] {
        let bits = bytes[at] as u32;
        if if wanted { Bits::new(bits).is_err() } else { bits != 0 } {
            return fail(what, bits as u64);
        }
    }
    // Without a sigma a drawn weight is its mean.
    if kind == Kind::Jq && !posterior.has_sigma() && bytes[38] != bytes[36] {
        return fail("weight bits beside other mu bits", bytes[38] as u64);
    }
    let layers = u16_at(bytes, 24);
    if !(1..=LAYER_LIMIT).contains(&layers) {
        return fail("layers", layers as u64);
    }
    let side = |at| u16_at(bytes, at) as usize;
    let input = Shape { channels: side(26), rows: side(28), columns: side(30) };
    if !(1..=SIZE_LIMIT).contains(&size(input)) {
        return fail("the image's size", size(input));
    }
    let name = &bytes[44..HEADER_LEN];
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    let text = core::str::from_utf8(&name[..end]).map_err(|e| e.valid_up_to()).err();
    if let Some(at) = text.or(name[end..].iter().position(|&b| b != 0).map(|at| end + at)) {
        return fail("a byte of the name", name[at] as u64);
    }
    Ok(())
}

/// Numbers of a shape, in 64 bits: before it is checked they may be more than a `usize` holds.
fn size(shape: Shape) -> u64 {
    (shape.channels as u64).saturating_mul(shape.rows as u64 * shape.columns as u64)
}

/// Whether a shape has some numbers, and not too many.
fn sized(what: &'static str, shape: Shape) -> Result<(), Problem> {
    match size(shape) {
        0 => Err(Problem::Number { what, found: 0, wanted: 1 }),
        n => at_most(what, n, SIZE_LIMIT),
    }
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
    sized("size", layer.shape)?;
    match layer.op {
        Op::Linear(l) => {
            at_least("groups", u16_at(r, 24) as usize, 1)?;
            linear(&model, &layer, l, from, codes, end)?;
        }
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
                    return Err(Problem::Values { wanted: "sums: an activation cannot read codes" });
                }
                let Some(code) = a.code() else {
                    return Err(Problem::Number { what: "width of activations", found: r[2] as u64, wanted: 8 });
                };
                if (a.low as i32) < code.min() || a.high as i32 > code.max() || a.low > 0 || a.high <= 0 {
                    return Err(Problem::Codes { found: (a.low, a.high), wanted: (code.min(), code.max()) });
                }
                at_most("slope", a.slope as u64, 1 << 31)?;
                direct(&model, layer.input, a.log2_step)?;
            }
        }
        Op::Add { other } => {
            at_most("second input", other as u64, index as u64)?;
            same_shape(from, model.shape_of(other))?;
            same_shape(layer.shape, from)?;
            if model.kind() == Kind::Jq {
                [layer.input, other].map(|value| model.grid_of(value)).into_iter().flatten().try_for_each(operand)?;
            }
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
    sized("size of the padded input", padded)?;
    // kernel <= padded side, so this cannot overflow.
    let fan_in = l.fan_in();
    at_most("inputs of each output", fan_in as u64, SIZE_LIMIT / 64)?;
    let bits = (model.mu_bits(), model.sigma_code().map(|s| s.0));
    let len = parameter_len((model.kind(), model.posterior()), channels, fan_in, bits);
    let len = len.ok_or(Problem::Number { what: "weights", found: u64::MAX, wanted: 1 << 40 })?;
    *end = place((l.offset, l.len), (*end, len), model.bytes.len() as u64)?;
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

/// Where parameters end whose offset and length are `found` in the file and must be `wanted`. In 64 bits, whatever a `usize`
/// holds here: on a processor with addresses of 32 bits a narrowed offset could look right.
fn place(found: (u64, u64), wanted: (u64, u64), file: u64) -> Result<u64, Problem> {
    if found.1 != wanted.1 {
        return Err(Problem::Number { what: "bytes of parameters", found: found.1, wanted: wanted.1 });
    }
    if found.0 != wanted.0 {
        return Err(Problem::Number { what: "offset of the parameters", found: found.0, wanted: wanted.0 });
    }
    let end = wanted.0.saturating_add(wanted.1);
    at_most("end of the parameters", end, file)?;
    Ok(end)
}

/// Whether a linear layer's integers stay in range whatever is drawn.
fn arithmetic(model: &Model<'_>, layer: &Layer, fan_in: usize) -> Result<(), Problem> {
    let (Some(grid), Some(code)) = (model.grid_of(layer.input), model.weight_code()) else { return Ok(()) };
    let largest = (fan_in as u64) * (-code.min()) as u64 * ((1 << grid.bits) - 1);
    if largest >= SUM_LIMIT {
        return Err(Problem::Accumulator { largest });
    }
    let Some((codes, mu_bits)) = model.codes(layer).zip(model.mu_bits()) else { return Ok(()) };
    for step in [codes.sigma_step(), codes.bias_sigma_step()] {
        if step <= 0 {
            return Err(Problem::SigmaStep { found: step });
        }
    }
    for channel in 0..codes.weight_scales.len() {
        let weight = codes.weight_scales.get(channel);
        let row = RowScale::new(codes.mu_scales.get(channel), weight, codes.sigma_top(), mu_bits);
        if row.is_none() || shift_for(weight as i32 + grid.log2_step + WIDE).is_none() {
            return Err(Problem::Scales { channel });
        }
    }
    Ok(())
}

/// Whether codes that an add reads can be made wide.
fn operand(grid: Grid) -> Result<(), Problem> {
    match shift_for(grid.log2_step + WIDE) {
        Some(_) => Ok(()),
        None => Err(Problem::Operand { log2_step: grid.log2_step }),
    }
}

/// Whether the sums of a linear layer can be rescaled to the codes of an activation that reads them. Where they cannot, all
/// codes would be 0: the largest sum would be below half a step.
fn direct(model: &Model<'_>, value: usize, step: i16) -> Result<(), Problem> {
    let Some(layer) = value.checked_sub(1).map(|i| model.layer(i)) else { return Ok(()) };
    let (Op::Linear(_), Kind::Jq) = (layer.op, model.kind()) else { return Ok(()) };
    match model.largest_ratio(&layer, step as i32).map(shift_for) {
        Some(None) => Err(Problem::Vanishing { log2_step: step }),
        _ => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a processor with addresses of 32 bits would take for the right place once it had narrowed it.
    #[test]
    fn places_are_compared_in_64_bits() {
        let (wanted, file) = ((192, 1000), 1192);
        assert_eq!(place(wanted, wanted, file), Ok(1192));
        let far = 1u64 << 32;
        for (offset, len) in [(192 + far, 1000), (192, 1000 + far), (192 + far, 1000 + far), (192 + (far << 31), 1000)]
        {
            assert!(place((offset, len), wanted, file).is_err(), "{offset}, {len}");
        }
        // Parameters that end beyond the file, also where the sum leaves 64 bits.
        assert!(place(wanted, wanted, 1191).is_err());
        assert!(place((u64::MAX, 2), (u64::MAX, 2), file).is_err());
        assert!(place((far, 8), (far, 8), 8).is_err());
    }

    #[test]
    fn sizes_are_counted_in_64_bits() {
        let shape = |channels, rows, columns| Shape { channels, rows, columns };
        // The first is 0 in 32 bits, the second just fits.
        assert_eq!(size(shape(1 << 16, 1 << 15, 2)), 1 << 32);
        assert_eq!(size(shape((1 << 16) + 1, 65_535, 1)), (1 << 32) - 1);
        assert_eq!(size(shape(u32::MAX as usize, 65_535, 65_535)), u32::MAX as u64 * 65_535 * 65_535);
        assert_eq!(size(shape(1 << 30, 1 << 18, 1 << 18)), u64::MAX, "no more than there is");
        assert!(sized("size", shape(1 << 16, 1 << 15, 2)).is_err() && sized("size", shape(0, 1, 1)).is_err());
        assert!(sized("size", shape(1 << 15, 1 << 15, 1)).is_ok());
        let bits = |mu, sigma| (Bits::new(mu).ok(), Bits::new(sigma).ok());
        let gaussian = |kind| (kind, Posterior::Gaussian);
        // 2^33 weights: 2^32 bytes of means, 2^32 of sigmas.
        let (channels, fan_in) = (1 << 9, 1 << 24);
        assert_eq!(
            parameter_len(gaussian(Kind::Vpq), channels, fan_in, bits(4, 4)),
            Some((2 << 32) + 2 * 512 + 10 + 512 + 256)
        );
        assert_eq!(parameter_len(gaussian(Kind::Float), channels, fan_in, (None, None)), Some((8 << 33) + 8 * 512));
        assert_eq!(parameter_len(gaussian(Kind::Float), 1 << 16, fan_in, (None, None)), None);
        let point = |kind| parameter_len((kind, Posterior::Point), 3, 5, (Bits::new(4).ok(), None));
        assert_eq!(Kind::ALL.map(point), [Some(72), Some(19), Some(78), Some(19)]);
        assert_eq!(packed(1 << 33, Bits::new(8).unwrap()), 1 << 33);
    }
}

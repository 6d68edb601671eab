//! Writing a model file: the reader's mirror image.

extern crate alloc;

use super::layer::{Layer, Op, Shape};
use super::{BIAS_BITS, HEADER_LEN, Kind, MAGIC, Model, ModelError, Posterior, Problem, RECORD_LEN, crc32};
use crate::code::{Bits, LogCode, UniformCode};
use crate::draw::Rounding;
use crate::fixed::Log2;
use crate::pack::{packed_len, put};
use alloc::vec;
use alloc::vec::Vec;

/// What a file says of the network as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The network's name; its first 20 bytes are kept.
    pub name: &'a str,
    /// What is stored of each weight.
    pub kind: Kind,
    /// How the weights are distributed.
    pub posterior: Posterior,
    /// How a drawn weight meets its grid.
    pub rounding: Rounding,
    /// Shape of an input image.
    pub input: Shape,
    /// The pixel that is the number 0.
    pub pixel_zero: u8,
    /// A step of the pixels.
    pub pixel_log2_step: Log2,
    /// Width of stored means, where they are codes.
    pub mu: Option<Bits>,
    /// Width of stored standard deviations, where they are codes.
    pub sigma: Option<Bits>,
    /// Width of drawn weights, where they are codes.
    pub weight: Option<Bits>,
    /// Width of activations, where they are codes.
    pub activation: Option<Bits>,
}

impl Header<'_> {
    /// Whether scales of drawn weights are stored beside those of means.
    fn weight_scales(&self) -> bool {
        self.kind == Kind::Spq || self.kind == Kind::Jq && self.posterior.has_sigma()
    }
}

/// Parameters of a linear layer. Order of weights: as [`super::Codes`] says.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// Scale of the means of each output channel (kinds that store codes).
    pub mu_scales: Vec<Log2>,
    /// Scale of the drawn weights of each output channel (kinds that run on codes; JQ without sigmas has that of the means).
    pub weight_scales: Vec<Log2>,
    /// Largest sigma and step of the weights' grid; scale of the biases' means; largest sigma and step of their grid. Without
    /// sigmas only the third counts.
    pub ranges: [Log2; 5],
    /// Codes of means.
    pub mu: Vec<i8>,
    /// Codes of standard deviations.
    pub sigma: Vec<u8>,
    /// Codes of the biases' means.
    pub bias_mu: Vec<i8>,
    /// Codes of the biases' standard deviations.
    pub bias_sigma: Vec<u8>,
    /// Means and standard deviations of weights, then of biases (kinds that store float).
    pub float: [Vec<f32>; 4],
}

impl Parameters {
    /// Whether there are as many as a layer has that gives `channels` and reads `fan_in` numbers for each, and every code is
    /// one of its width.
    fn check(&self, header: &Header<'_>, channels: usize, fan_in: usize) -> Result<(), Problem> {
        let weights = channels.saturating_mul(fan_in);
        let count = |what, found: usize, wanted: usize| match found == wanted {
            true => Ok(()),
            false => Err(Problem::Number { what, found: found as u64, wanted: wanted as u64 }),
        };
        let floats = ["weights' means", "weights' sigmas", "biases' means", "biases' sigmas"];
        let sigmas = |n| if header.posterior.has_sigma() { n } else { 0 };
        let wanted = [weights, sigmas(weights), channels, sigmas(channels)];
        let codes = header.kind.stores_codes();
        for ((what, values), wanted) in floats.into_iter().zip(&self.float).zip(wanted) {
            count(what, values.len(), if codes { 0 } else { wanted })?;
        }
        let found = [self.mu.len(), self.sigma.len(), self.bias_mu.len(), self.bias_sigma.len()];
        let all = ["codes of means", "codes of sigmas", "codes of biases' means", "codes of biases' sigmas"];
        for ((what, found), wanted) in all.into_iter().zip(found).zip(wanted) {
            count(what, found, if codes { wanted } else { 0 })?;
        }
        count("scales of means", self.mu_scales.len(), if codes { channels } else { 0 })?;
        let drawn = if header.weight_scales() { channels } else { 0 };
        count("scales of drawn weights", self.weight_scales.len(), drawn)?;
        let outside = |code: i32, wanted: (i32, i32)| Problem::Codes { found: (code as i16, code as i16), wanted };
        if let Some(code) = header.mu.map(UniformCode::Signed)
            && let Some(&bad) = self.mu.iter().find(|&&m| code.clamp(m as i32) != m as i32)
        {
            return Err(outside(bad as i32, (code.min(), code.max())));
        }
        if let Some(code) = header.sigma.map(LogCode)
            && let Some(&bad) = self.sigma.iter().chain(&self.bias_sigma).find(|&&k| code.clamp(k as i32) != k as i32)
        {
            return Err(outside(bad as i32, (0, code.max())));
        }
        Ok(())
    }

    fn bytes(&self, header: &Header<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut half = |values: &[Log2]| values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        match header.kind {
            Kind::Float => {}
            Kind::Spq => half(&self.weight_scales),
            Kind::Vpq | Kind::Jq => {
                half(&self.mu_scales);
                half(&self.weight_scales);
                half(if header.posterior.has_sigma() { &self.ranges } else { &self.ranges[2..3] });
                let mu: Vec<i32> = self.mu.iter().map(|&c| c as i32).collect();
                let bias: Vec<i32> = self.bias_mu.iter().map(|&c| c as i32).collect();
                let wide = |codes: &[u8]| codes.iter().map(|&c| c as i32).collect::<Vec<_>>();
                let eight = Bits::new(BIAS_BITS).ok();
                for (codes, bits) in [
                    (mu, header.mu),
                    (wide(&self.sigma), header.sigma),
                    (bias, eight),
                    (wide(&self.bias_sigma), header.sigma),
                ] {
                    out.extend(bits.map(|bits| packed(&codes, bits)).unwrap_or_default());
                }
                return out;
            }
        }
        for values in &self.float {
            values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        }
        out
    }
}

fn packed(codes: &[i32], bits: Bits) -> Vec<u8> {
    let mut bytes = vec![0; packed_len(codes.len(), bits)];
    for (i, &code) in codes.iter().enumerate() {
        // There is room for as many as the run was made for.
        let _ = put(&mut bytes, i, code, bits);
    }
    bytes
}

/// Whether every number has room in its place: a file that holds part of one would describe another network.
fn check_sizes(header: &Header<'_>, layers: &[(Layer, Parameters)]) -> Result<(), ModelError> {
    let half = u16::MAX as usize;
    let sides = [header.input.channels, header.input.rows, header.input.columns];
    let of_header =
        [("layers", layers.len()), ("channels", sides[0]), ("rows", sides[1]), ("columns", sides[2])].into_iter();
    if let Some((what, found)) = of_header.clone().find(|(_, n)| *n > half) {
        return Err(ModelError::Header { what, found: found as u64 });
    }
    for (i, (layer, parameters)) in layers.iter().enumerate() {
        let fail = |problem| ModelError::Layer { layer: i + 1, problem };
        let most = |what, found: usize, most: usize| match found <= most {
            true => Ok(()),
            false => Err(fail(Problem::Number { what, found: found as u64, wanted: most as u64 })),
        };
        most("input", layer.input, half)?;
        most("channels", layer.shape.channels, u32::MAX as usize)?;
        most("rows", layer.shape.rows, half)?;
        most("columns", layer.shape.columns, half)?;
        match layer.op {
            Op::Linear(l) => {
                let sizes = [l.kernel_rows, l.kernel_columns, l.stride, l.padding, l.groups];
                for (what, size) in ["window", "window", "stride", "padding", "groups"].into_iter().zip(sizes) {
                    most(what, size, half)?;
                }
                most("input channels of a group", l.group_inputs, u32::MAX as usize)?;
                let fan_in = l.kernel_rows.saturating_mul(l.kernel_columns).saturating_mul(l.group_inputs);
                parameters.check(header, layer.shape.channels, fan_in).map_err(fail)?;
            }
            Op::Pool(pool) => [pool.size, pool.stride].into_iter().try_for_each(|n| most("window", n, half))?,
            Op::Activation(_) => {}
            Op::Add { other } => most("second input", other, half)?,
        }
    }
    Ok(())
}

/// The bytes of a model file. Where a layer's parameters lie is worked out here, whatever the layers say.
///
/// # Errors
/// A number that has no room in its place, codes that are too many, too few or too wide; whatever [`Model::new`] finds
/// wrong with the file.
pub fn write(header: &Header<'_>, layers: &[(Layer, Parameters)]) -> Result<Vec<u8>, ModelError> {
    check_sizes(header, layers)?;
    let mut bytes = vec![0u8; HEADER_LEN + layers.len() * RECORD_LEN];
    let classes = layers.last().map_or(0, |(l, _)| l.shape.len());
    let width = |bits: Option<Bits>| bits.map_or(0, |b| b.get() as u8);
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &MAGIC);
    let version: u16 = if header.posterior.has_sigma() { 1 } else { 2 };
    put(8, &version.to_le_bytes());
    put(10, &[header.kind as u8, (header.rounding == Rounding::Stochastic) as u8]);
    put(24, &(layers.len() as u16).to_le_bytes());
    for (at, side) in [(26, header.input.channels), (28, header.input.rows), (30, header.input.columns)] {
        put(at, &(side as u16).to_le_bytes());
    }
    put(32, &(classes as u32).to_le_bytes());
    put(
        36,
        &[
            width(header.mu),
            width(header.sigma),
            width(header.weight),
            width(header.activation),
            header.pixel_zero,
            header.posterior.byte(),
        ],
    );
    put(42, &header.pixel_log2_step.to_le_bytes());
    let end = (0..=header.name.len().min(20)).rev().find(|&n| header.name.is_char_boundary(n)).unwrap_or(0);
    put(44, &header.name.as_bytes()[..end]);
    for (i, (layer, parameters)) in layers.iter().enumerate() {
        let mut layer = *layer;
        if let Op::Linear(l) = &mut layer.op {
            let data = parameters.bytes(header);
            (l.offset, l.len) = (bytes.len() as u64, data.len() as u64);
            bytes.extend(data);
        }
        let mut record = [0; RECORD_LEN];
        layer.write(&mut record);
        bytes[HEADER_LEN + i * RECORD_LEN..][..RECORD_LEN].copy_from_slice(&record);
    }
    let len = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&len.to_le_bytes());
    let crc = crc32(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    Model::new(&bytes)?;
    Ok(bytes)
}

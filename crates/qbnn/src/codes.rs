//! The codes and scales of a model file as plain arrays, for whoever writes a program in C or a circuit: what lies packed in
//! the file, one number an element.
//!
//! Of linear layer n (the n-th of its kind, from 0), in an `.npz`:
//!
//! | array | type | shape | content |
//! |---|---|---|---|
//! | `Ln.weight.mu_codes` | i8 | `[out, window rows, window columns, in / groups]` | codes of means |
//! | `Ln.weight.sigma_codes` | u8 | the same | codes of sigmas: 0 is the largest |
//! | `Ln.weight.mu_log2` | i16 | `[out]` | scales of the means |
//! | `Ln.weight.drawn_log2` | i16 | `[out]` | scales of drawn weights (JQ) |
//! | `Ln.bias.mu_codes`, `Ln.bias.sigma_codes` | i8, u8 | `[out]` | of the biases |
//!
//! A scale s stands for 2^(s / 2048). What is one number (widths, grids, sizes of layers) is JSON. How a weight is drawn and how
//! layers compute with it, docs/file-format.md says; names here are those of that page.

use crate::error::{Error, Result};
use qbnn_core::draw::Rounding;
use qbnn_core::model::{Function, Layer, Linear, Model, Op, Posterior, Scales};
use qbnn_core::{Shape, pack};
use qbnn_data::npz_write;
use serde_json::{Value, json};
use std::path::Path;

/// Version of the description.
const VERSION: u32 = 1;
/// The array of the description in the `.npz`.
pub const KEY: &str = "qbnn_codes";

/// A model file's codes.
#[derive(Clone, Debug)]
pub struct ExportedCodes {
    /// The arrays, and the description as the text [`KEY`]: the bytes of an `.npz`.
    pub npz: Vec<u8>,
    /// The description.
    pub json: Value,
    /// Parameters of the network.
    pub parameters: usize,
}

/// The codes of a model file; `path` is for the messages.
///
/// # Errors
/// [`Error::Model`] of what is no model file; [`Error::Settings`] of one that stores floats.
pub fn of_file(path: &Path, bytes: &[u8]) -> Result<ExportedCodes> {
    let model = Model::new(bytes).map_err(|error| Error::Model { path: path.to_owned(), error })?;
    if !model.kind().stores_codes() {
        let kind = model.kind().name();
        let problem = format!("{} is a {kind} model, which stores floats; name a jq or vpq file", path.display());
        return Err(Error::settings("--to codes", problem));
    }
    let (mut arrays, mut layers, mut linear) = (Vec::new(), Vec::new(), 0);
    for (index, layer) in model.iter().enumerate() {
        let mut described = json!({ "index": index, "reads": layer.input, "shape": sizes(layer.shape) });
        let more = match layer.op {
            Op::Linear(of) => {
                let more = linear_layer(&model, &layer, &of, linear, &mut arrays);
                linear += 1;
                more
            }
            Op::Pool(pool) => {
                let kind = if pool.max { "max-pool" } else { "average-pool" };
                json!({ "kind": kind, "window": pool.size, "stride": pool.stride })
            }
            Op::Add { other } => json!({ "kind": "add", "other": other }),
            Op::Activation(of) => json!({
                "kind": "activation",
                "function": function(of.function),
                "bits": of.bits.map(|bits| bits.get()),
                "signed": of.function.signed(),
                "log2_step": of.log2_step,
                "low": of.low,
                "high": of.high,
                "slope_q31": of.slope,
            }),
        };
        if let (Value::Object(all), Value::Object(more)) = (&mut described, more) {
            all.extend(more);
        }
        layers.push(described);
    }
    let pixels = model.pixels();
    let posterior = match model.posterior() {
        Posterior::Gaussian => json!("gaussian"),
        Posterior::Point => json!("point"),
        Posterior::Dropout { dropped } => json!({ "dropout_256ths": dropped }),
    };
    let json = json!({
        "version": VERSION,
        "model": model.name(),
        "kind": model.kind().name(),
        "posterior": posterior,
        "crc32": model.checksum(),
        "log2_unit": qbnn_core::fixed::OCTAVE,
        "rounding": if model.rounding() == Rounding::Nearest { "nearest" } else { "stochastic" },
        "bits": {
            "mu": model.mu_bits().map(|bits| bits.get()),
            "sigma": model.sigma_code().map(|code| code.0.get()),
            "weight": model.weight_code().map(|code| code.bits().get()),
            "activation": model.activation_bits().map(|bits| bits.get()),
        },
        "input": sizes(model.input()),
        "classes": model.classes(),
        "pixels": { "zero": pixels.zero, "bits": pixels.bits, "log2_step": pixels.log2_step },
        "layers": layers,
    });
    arrays.push(npz_write::text(KEY, &[json.to_string()]));
    let npz = npz_write::archive(&arrays)
        .ok_or_else(|| Error::Encode { what: "the codes", source: "they would take 2^32 bytes or more".into() })?;
    Ok(ExportedCodes { npz, json, parameters: model.parameters() as usize })
}

/// Adds the arrays of a linear layer; gives what is one number.
fn linear_layer(
    model: &Model<'_>,
    layer: &Layer,
    of: &Linear,
    number: usize,
    arrays: &mut Vec<npz_write::Entry>,
) -> Value {
    let Some(codes) = model.codes(layer) else { return Value::Null };
    let channels = layer.shape.channels;
    let dims = [channels, of.kernel_rows, of.kernel_columns, of.group_inputs];
    let count = channels * of.fan_in();
    let mut put = |name: &str, descr: &str, dims: &[usize], bytes: Vec<u8>| {
        arrays.push(npz_write::array(&format!("L{number}.{name}"), descr, dims, bytes));
    };
    let logs = |scales: Scales<'_>| (0..scales.len()).flat_map(|i| scales.get(i).to_le_bytes()).collect::<Vec<u8>>();
    if let Some(bits) = model.mu_bits() {
        let mu = (0..count).map(|i| pack::get_signed(codes.mu, i, bits).unwrap_or(0).cast_unsigned());
        put("weight.mu_codes", "|i1", &dims, mu.collect());
    }
    put("weight.mu_log2", "<i2", &[channels], logs(codes.mu_scales));
    if !codes.weight_scales.is_empty() {
        put("weight.drawn_log2", "<i2", &[channels], logs(codes.weight_scales));
    }
    put("bias.mu_codes", "|i1", &[channels], codes.bias_mu.to_vec());
    let mut described = json!({
        "kind": "linear",
        "arrays": format!("L{number}"),
        "window": [of.kernel_rows, of.kernel_columns],
        "stride": of.stride,
        "padding": of.padding,
        "groups": of.groups,
        "group_inputs": of.group_inputs,
        "bias_mu_log2": codes.bias_mu_scale(),
        "noise_tensors": [2 * number, 2 * number + 1],
    });
    if let Some(code) = model.sigma_code() {
        let sigmas = |packed: &[u8], n: usize| (0..n).map(|i| pack::get(packed, i, code.0).unwrap_or(0)).collect();
        put("weight.sigma_codes", "|u1", &dims, sigmas(codes.sigma, count));
        put("bias.sigma_codes", "|u1", &[channels], sigmas(codes.bias_sigma, channels));
        for (key, value) in [
            ("sigma_top_log2", codes.sigma_top()),
            ("sigma_step_log2", codes.sigma_step()),
            ("bias_sigma_top_log2", codes.bias_sigma_top()),
            ("bias_sigma_step_log2", codes.bias_sigma_step()),
        ] {
            described[key] = value.into();
        }
    }
    described
}

fn sizes(shape: Shape) -> Value {
    json!({ "channels": shape.channels, "rows": shape.rows, "columns": shape.columns })
}

fn function(function: Function) -> &'static str {
    match function {
        Function::Relu => "relu",
        Function::LeakyRelu => "leaky-relu",
        Function::ClippedRelu => "clipped-relu",
        Function::Hardtanh => "hardtanh",
    }
}

//! A training in progress, whole: network, posterior, quantizers, optimizer and how far it has come.
//!
//! One safetensors file. All that is not a tensor is one JSON text under the key `qbnn` of the header (one key, because
//! the format does not fix the order of several, and a resumed training must end in the same bytes). Noise is keyed by
//! counters, so there is no generator state to keep.

use crate::data::Normalisation;
use crate::error::BnnError;
use crate::files;
use crate::guide::{Guide, ParameterBytes};
use crate::identity::{Origin, digest};
use crate::nn::limit::MAX_PARAMETERS;
use crate::nn::network::Tensor;
use crate::nn::{Network, NetworkSpec, Shape};
use crate::optim::Adam;
use crate::posterior::Posterior;
use crate::quant::Quantizers;
use crate::quant::params::Named;
use crate::quant::settings::QuantizeSettings;
use crate::settings::TrainSettings;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const KEY: &str = "qbnn";
/// The longest file that is read: six numbers of each of the most parameters, and as much again for whatever else.
const LONGEST: u64 = 2 * 6 * 4 * MAX_PARAMETERS as u64;
/// The longest header.
const LONGEST_HEADER: u64 = 1 << 24;
/// What the quantizers' optimizer is called in a file.
const QUANTIZER_ADAM: &str = "learned";
/// What the standard deviation of the prior is called behind a tensor's name.
const PRIOR: &str = "prior_sigma";
/// Version that is written. Version 1, which is read too, has neither origin nor model file nor checksum.
const VERSION: u32 = 2;
/// The key that ends the header.
const CHECKSUM: &str = ",\"checksum\":\"";

/// A network and everything that training it needs.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The network's description.
    pub network: NetworkSpec,
    /// Shape of an input image.
    pub input: Shape,
    /// Classes.
    pub classes: usize,
    /// How pixels become inputs.
    pub normalisation: Normalisation,
    /// Seed of everything random.
    pub seed: u64,
    /// How the float network is or was trained.
    pub train: TrainSettings,
    /// How it was quantized; `None` in float.
    pub quantize: Option<QuantizeSettings>,
    /// Epochs finished, of this phase (float, or fine-tuning through the quantizers).
    pub epoch: usize,
    /// On what it is trained, where that was said.
    pub origin: Option<Origin>,
    /// SHA-256 of the model file that was made of it; `None` before its training is finished, or where no file holds it.
    pub model_file: Option<String>,
    /// Version of the file that it was read from.
    version: u32,
    pub(crate) guide: Guide,
    /// Optimizers of the posterior's parameters, in their order.
    pub(crate) posterior_adams: Vec<Adam>,
    /// Optimizer of the quantizers' parameters, in their order.
    pub(crate) quantizer_adam: Adam,
    /// Standard deviations of the prior, one for each parameter, where they are not all `train.prior_sigma`.
    pub(crate) prior: Option<Vec<f32>>,
    net: Network,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    network: NetworkSpec,
    input: [usize; 3],
    classes: usize,
    normalisation: Normalisation,
    seed: u64,
    train: TrainSettings,
    quantize: Option<QuantizeSettings>,
    epoch: usize,
    #[serde(default)]
    origin: Option<Origin>,
    #[serde(default)]
    model_file: Option<String>,
}

/// The bytes of a safetensors file of a sensible length.
fn read(path: &Path) -> Result<Vec<u8>, BnnError> {
    let bytes = files::read(path, LONGEST).map_err(|e| BnnError::file(path, format!("cannot be read: {e}")))?;
    // The first eight bytes say how long the header is; it is read as a whole.
    let header = bytes.first_chunk().map(|b| u64::from_le_bytes(*b));
    match header.filter(|&n| n > LONGEST_HEADER && n < bytes.len() as u64) {
        Some(n) => Err(BnnError::file(path, format!("has a header of {n} bytes, wanted at most {LONGEST_HEADER}"))),
        None => Ok(bytes),
    }
}

/// Fresh optimizers of a posterior's parameters.
fn adams(posterior: &Posterior) -> Vec<Adam> {
    posterior.family().parameters().iter().map(|(_, values)| Adam::new(values.len())).collect()
}

impl Checkpoint {
    /// An untrained network.
    ///
    /// # Errors
    /// A setting out of range, or a network that does not fit the images.
    pub fn new(
        network: &NetworkSpec,
        input: Shape,
        classes: usize,
        normalisation: Normalisation,
        seed: u64,
        train: TrainSettings,
    ) -> Result<Self, BnnError> {
        train.check()?;
        let net = Network::new(network, input, classes)?;
        let key = qbnn_core::noise::key(seed);
        let posterior = Posterior::initial(train.posterior, &net, key, train.of_posterior());
        Ok(Checkpoint {
            network: network.clone(),
            input,
            classes,
            normalisation,
            seed,
            train,
            quantize: None,
            epoch: 0,
            origin: None,
            model_file: None,
            version: VERSION,
            posterior_adams: adams(&posterior),
            guide: Guide { posterior, quantizers: None },
            quantizer_adam: Adam::default(),
            prior: None,
            net,
        })
    }

    /// The float network `float` with the grids `quantizers`, at the start of its fine-tuning.
    ///
    /// Without any (every width 32) it goes on as the float network that it is.
    pub(crate) fn with_quantizers(
        float: Checkpoint,
        settings: QuantizeSettings,
        quantizers: Option<Quantizers>,
    ) -> Self {
        Checkpoint {
            quantize: Some(settings),
            epoch: 0,
            model_file: None,
            version: VERSION,
            posterior_adams: adams(&float.guide.posterior),
            quantizer_adam: quantizers.as_ref().map_or(Adam::default(), |q| Adam::new(q.param_count())),
            guide: Guide { quantizers, ..float.guide },
            ..float
        }
    }

    /// Drops the state of the optimizer: no training goes on from here.
    pub(crate) fn forget_optimizer(&mut self) {
        self.posterior_adams.iter_mut().for_each(|adam| *adam = Adam::default());
        self.quantizer_adam = Adam::default();
    }

    /// The grids that settings ask for, not yet calibrated; `None` where every width is 32.
    pub(crate) fn quantizers(&self, settings: &QuantizeSettings) -> Result<Option<Quantizers>, BnnError> {
        if settings.is_float() {
            Ok(None)
        } else {
            Quantizers::new(&self.net, self.guide.posterior.kind(), settings).map(Some)
        }
    }

    /// The network.
    pub fn net(&self) -> &Network {
        &self.net
    }

    /// Bytes of its parameters as stored.
    pub fn bytes(&self) -> ParameterBytes {
        self.guide.bytes(&self.net)
    }

    /// Posterior and quantizers.
    #[doc(hidden)]
    pub fn guide(&self) -> &Guide {
        &self.guide
    }

    /// Epochs of this phase, in all.
    pub fn epochs(&self) -> usize {
        self.quantize.as_ref().map_or(self.train.epochs, |q| q.epochs)
    }

    /// Whether this phase has come to its end.
    pub fn finished(&self) -> bool {
        self.epoch >= self.epochs()
    }

    /// Whether it was written by a version that keeps the identity of its model file.
    pub fn knows_file(&self) -> bool {
        self.version > 1
    }

    /// SHA-256 over settings, training state and every tensor: the same for the same training, wherever it is stored.
    pub fn identity(&self) -> String {
        let header = Header { model_file: None, ..self.header() };
        // A header is numbers, texts and lists of them: it can always be written.
        let json = serde_json::to_string(&header).unwrap_or_default();
        // With the names of 0.1, so that results of then are still known as this network's.
        self.digest(&json.replace("\"ood_weight\":", "\"foreign_weight\":"))
    }

    fn digest(&self, header: &str) -> String {
        let tensors = self.tensors();
        digest(header, tensors.iter().map(|(name, dims, values)| (name.as_str(), dims.as_slice(), *values)))
    }

    fn header(&self) -> Header {
        Header {
            version: VERSION,
            network: self.network.clone(),
            input: [self.input.channels, self.input.rows, self.input.columns],
            classes: self.classes,
            normalisation: self.normalisation,
            seed: self.seed,
            train: self.train.clone(),
            quantize: self.quantize.clone(),
            epoch: self.epoch,
            origin: self.origin.clone(),
            model_file: self.model_file.clone(),
        }
    }

    /// Every tensor of the file: name, shape, values.
    pub(crate) fn tensors(&self) -> Vec<(String, Vec<usize>, &[f32])> {
        let mut out = Vec::new();
        let parameters = self.guide.posterior.family().parameters();
        for tensor in &self.net.tensors {
            for (name, values) in &parameters {
                out.push((format!("{}.{name}", tensor.name), tensor.dims.clone(), &values[tensor.range.clone()]));
            }
        }
        if let Some(prior) = &self.prior {
            let of =
                |tensor: &'_ Tensor| (format!("{}.{PRIOR}", tensor.name), tensor.dims.clone(), tensor.range.clone());
            out.extend(self.net.tensors.iter().map(of).map(|(name, dims, at)| (name, dims, &prior[at])));
        }
        if let Some(quantizers) = &self.guide.quantizers {
            for Named { name, id, range } in quantizers.named(&self.net) {
                out.push((name, vec![range.len()], &quantizers.params(id)[range]));
            }
        }
        let of_posterior = parameters.iter().map(|(name, _)| *name).zip(&self.posterior_adams);
        for (name, adam) in of_posterior.chain([(QUANTIZER_ADAM, &self.quantizer_adam)]) {
            if !adam.first.is_empty() {
                out.push((format!("adam.{name}.first"), vec![adam.first.len()], &adam.first));
                out.push((format!("adam.{name}.second"), vec![adam.second.len()], &adam.second));
            }
        }
        out
    }

    /// The file's bytes.
    fn to_bytes(&self, path: &Path) -> Result<Vec<u8>, BnnError> {
        let fail = |e: &dyn std::fmt::Display| BnnError::file(path, format!("cannot be encoded: {e}"));
        let json = serde_json::to_string(&self.header()).map_err(|e| fail(&e))?;
        let json = format!("{}{CHECKSUM}{}\"}}", json.strip_suffix('}').unwrap_or(&json), self.digest(&json));
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = self
            .tensors()
            .into_iter()
            .map(|(name, dims, values)| (name, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let views = tensors
            .iter()
            .map(|(name, dims, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, dims.clone(), bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| fail(&e))?;
        let info = HashMap::from([(KEY.to_owned(), json)]);
        safetensors::serialize(views, Some(info)).map_err(|e| fail(&e))
    }

    /// Writes the file under a temporary name beside `path`, then renames it: what was there stays whole until then.
    ///
    /// # Errors
    /// [`BnnError::File`] names the file and what the system said.
    pub fn save(&self, path: &Path) -> Result<(), BnnError> {
        let bytes = self.to_bytes(path)?;
        files::replace(path, &bytes).map_err(|e| {
            BnnError::file(path, format!("cannot be written ({e}); free space or name another folder with --out"))
        })
    }

    /// Reads a file that [`Checkpoint::save`] wrote.
    ///
    /// # Errors
    /// [`BnnError::File`] for a file that is missing, cut short, of another kind, or whose tensors do not fit the
    /// network that its header describes.
    pub fn load(path: &Path) -> Result<Self, BnnError> {
        let bytes = read(path)?;
        let fail = |problem: String| BnnError::file(path, problem);
        let broken =
            |e: &dyn std::fmt::Display| fail(format!("is no whole checkpoint ({e}); use another, or train again"));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(&e))?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let json = json.ok_or_else(|| {
            fail("is a safetensors file without a `qbnn` header; give a checkpoint that `qbnn train` wrote".into())
        })?;
        let version: serde_json::Value = serde_json::from_str(json).map_err(|e| broken(&e))?;
        let found = &version["version"];
        if found != VERSION && found != 1 {
            return Err(fail(format!("has version {found}; this program reads 1 and {VERSION}: update qbnn")));
        }
        let header: Header = serde_json::from_str(json).map_err(|e| broken(&e))?;
        let [channels, rows, columns] = header.input;
        let input = Shape { channels, rows, columns };
        let mut checkpoint =
            Checkpoint::new(&header.network, input, header.classes, header.normalisation, header.seed, header.train)?;
        if let Some(settings) = header.quantize {
            settings.check()?;
            let quantizers = checkpoint.quantizers(&settings)?;
            checkpoint = Checkpoint::with_quantizers(checkpoint, settings, quantizers);
        }
        checkpoint.epoch = header.epoch;
        checkpoint.origin = header.origin;
        checkpoint.model_file = header.model_file;
        checkpoint.version = header.version;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| broken(&e))?;
        if !tensors.names().into_iter().any(|name| name.starts_with("adam.")) {
            if !checkpoint.finished() {
                let (epoch, epochs) = (checkpoint.epoch, checkpoint.epochs());
                return Err(fail(format!(
                    "holds no state of an optimizer after {epoch} of {epochs} epochs, from which its training could go on; \
                     use a finished checkpoint, or train again"
                )));
            }
            checkpoint.forget_optimizer();
        }
        if tensors.names().into_iter().any(|name| name.ends_with(&format!(".{PRIOR}"))) {
            checkpoint.prior = Some(vec![0.0; checkpoint.net.parameters()]);
        }
        checkpoint.read(&tensors).map_err(fail)?;
        if let Some(wrong) = checkpoint.prior.iter().flatten().find(|p| **p <= 0.0) {
            return Err(fail(format!("holds the standard deviation {wrong} of a prior; wanted numbers above 0")));
        }
        if checkpoint.version > 1 {
            checkpoint.check_sum(json).map_err(fail)?;
        }
        Ok(checkpoint)
    }

    /// Whether a safetensors file is a checkpoint, whole or damaged: one of another program's tensors is not.
    ///
    /// # Errors
    /// [`BnnError::File`] for a file that cannot be read.
    pub fn is_one(path: &Path) -> Result<bool, BnnError> {
        let bytes = read(path)?;
        let metadata = SafeTensors::read_metadata(&bytes);
        Ok(metadata.map_or(true, |(_, m)| m.metadata().as_ref().is_some_and(|m| m.contains_key(KEY))))
    }

    /// Compares the checksum at the end of the header with header and tensors.
    fn check_sum(&self, json: &str) -> Result<(), String> {
        let fix = "use another, or train again";
        let Some((header, stored)) = json.rsplit_once(CHECKSUM) else {
            return Err(format!("has no checksum, which version {VERSION} ends its header with; {fix}"));
        };
        let (stored, found) = (stored.strip_suffix("\"}").unwrap_or(stored), self.digest(&format!("{header}}}")));
        if stored == found {
            return Ok(());
        }
        Err(format!("was changed after it was written (its checksum is {stored}, its contents give {found}); {fix}"))
    }

    /// Takes every tensor's values from the file: each of the name and shape that the network gives it, and no other.
    fn read(&mut self, file: &SafeTensors<'_>) -> Result<(), String> {
        let wanted: BTreeMap<String, Vec<usize>> = self.tensors().into_iter().map(|(n, dims, _)| (n, dims)).collect();
        if let Some(name) = file.names().into_iter().find(|name| !wanted.contains_key(*name)) {
            return Err(format!("holds a tensor `{name}`, which its network has not: it is of another network"));
        }
        let get = |name: &str, into: &mut [f32]| -> Result<(), String> {
            let view = file.tensor(name).map_err(|_| format!("holds no tensor `{name}`: it is of another network"))?;
            let (dtype, found) = (view.dtype(), view.shape());
            let dims = wanted.get(name).map_or(&[][..], Vec::as_slice);
            if dtype != Dtype::F32 || found != dims || view.data().len() != 4 * into.len() {
                return Err(format!("tensor `{name}` is {dtype:?} {found:?}, wanted F32 {dims:?}"));
            }
            for (value, b) in into.iter_mut().zip(view.data().chunks_exact(4)) {
                *value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                if !value.is_finite() {
                    return Err(format!("tensor `{name}` holds {value}; train again"));
                }
            }
            Ok(())
        };
        let mut parameters = self.guide.posterior.family_mut().parameters_mut();
        for tensor in &self.net.tensors {
            for (name, values) in &mut parameters {
                get(&format!("{}.{name}", tensor.name), &mut values[tensor.range.clone()])?;
            }
        }
        if let Some(prior) = &mut self.prior {
            for tensor in &self.net.tensors {
                get(&format!("{}.{PRIOR}", tensor.name), &mut prior[tensor.range.clone()])?;
            }
        }
        let names: Vec<&str> = parameters.into_iter().map(|(name, _)| name).collect();
        if let Some(quantizers) = &mut self.guide.quantizers {
            for Named { name, id, range } in quantizers.named(&self.net) {
                get(&name, &mut quantizers.params_mut(id)[range])?;
            }
        }
        let of_posterior = names.into_iter().zip(&mut self.posterior_adams);
        for (name, adam) in of_posterior.chain([(QUANTIZER_ADAM, &mut self.quantizer_adam)]) {
            if !adam.first.is_empty() {
                get(&format!("adam.{name}.first"), &mut adam.first)?;
                get(&format!("adam.{name}.second"), &mut adam.second)?;
            }
        }
        Ok(())
    }
}

//! From a posterior that was found to a checkpoint, and from there to a run folder.

use super::assign::{self, Assigned, DETERMINISTIC, Posterior, PriorOf, Taking};
use super::check::{Agreement, Reference};
use super::elbo::{self, ReadingScore};
use super::family::Family;
use super::found::Found;
use super::layout::Layout;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::preprocess::Prepared;
use crate::run_folder::{FLOAT, IMPORT, RunFolder};
use crate::{consistency, experiment, input, model_file};
use qbnn_bnn::internals::identity::sha256;
use qbnn_bnn::{Checkpoint, GivenPosterior, Normalisation};
use qbnn_data::tensor_file;
use serde::Serialize;
use std::path::Path;

/// Version of `import.json`.
const VERSION: u32 = 1;

/// A posterior on its way into a run folder.
pub struct Import {
    /// The float network.
    pub checkpoint: Checkpoint,
    /// What became of every tensor.
    pub record: Record,
    /// Why the network may be another one than its source.
    doubt: Option<String>,
}

/// `import.json`: where a posterior comes from, and what became of every tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Version of this description.
    pub version: u32,
    /// The file's name.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// What wrote it.
    pub family: Family,
    /// The layout of its weights.
    pub layout: Layout,
    /// How pixels become inputs, as it was told.
    pub normalisation: Normalisation,
    /// The standard deviation of the prior that QAT trains with.
    pub prior_sigma: f32,
    /// Where that comes from.
    pub prior_source: &'static str,
    /// Least and largest standard deviation of the priors of parameters, where they are not all that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priors: Option<[f32; 2]>,
    /// The way of each linear layer, in running order.
    pub layers: Vec<Assigned>,
    /// Least, middle and largest standard deviation.
    pub sigma: [f32; 3],
    /// How far the network is from its source, where that was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Agreement>,
    /// Readings of sigma by their ELBO, best first, where they were compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<ReadingScore>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What was done that goes without saying.
    pub notes: Vec<String>,
}

/// Refuses settings that do not say how the source turned pixels into inputs. `data` is what they would be here.
///
/// # Errors
/// [`Error::Settings`] with the usual answers.
pub fn normalisation(config: &Config, data: &Prepared<'_>) -> Result<Normalisation> {
    let of_data = data.dataset.pixels;
    match (config.data.mean, config.data.std) {
        (Some(mean), Some(std)) => Ok(Normalisation { mean, std }),
        _ => Err(Error::settings(
            "--mean and --std",
            format!(
                "how the source turned pixels into inputs is in no file; wanted (pixel / 255 - mean) / std, as in \
                 --mean 0.1307 --std 0.3081, or --mean 0 --std 1 for pixel / 255 (the pixels of {} have mean {:.4} and \
                 standard deviation {:.4})",
                data.dataset.name, of_data.mean, of_data.std
            ),
        )),
    }
}

impl Import {
    /// The network of the settings with the posterior that was found in the file.
    ///
    /// # Errors
    /// [`Error::Posterior`] of layers or numbers that do not fit; those of [`experiment::network`] and [`normalisation`].
    pub fn new(path: &Path, found: &Found, config: &Config, data: &Prepared<'_>, taking: &Taking) -> Result<Self> {
        let normalisation = normalisation(config, data)?;
        let (spec, net) = experiment::network(config, data)?;
        let posterior = assign::assign(found, &net, taking).map_err(|problem| Error::posterior(path, problem))?;
        let Posterior { mu, sigma, layers, deterministic, prior, warnings: of_layers, doubt } = posterior;
        let given = GivenPosterior { mu: &mu, sigma: &sigma };
        let train = config.train.clone();
        let mut checkpoint =
            Checkpoint::given(&spec, data.shape(), data.dataset.classes(), normalisation, config.seed, train, given)?;
        if let Some(prior) = prior {
            let told = |prior: &PriorOf| if taking.prior_told { PriorOf { sigma: None, ..*prior } } else { *prior };
            let prior: Vec<f32> = prior.iter().map(|prior| told(prior).value(config.train.prior_sigma)).collect();
            checkpoint = checkpoint.with_prior(prior)?;
        }
        checkpoint.origin = Some(consistency::origin(config, data));
        let mut warnings = found.warnings.clone();
        warnings.extend(of_layers);
        if deterministic > 0 {
            warnings.push(format!(
                "{deterministic} of {} numbers have no standard deviation in the file; they have {DETERMINISTIC} here, the \
                 least that a model file holds",
                mu.len()
            ));
        }
        let mut sorted = sigma;
        sorted.sort_by(f32::total_cmp);
        let middle = sorted[sorted.len() / 2];
        let prior_sigma = config.train.prior_sigma;
        if middle > 3.0 * prior_sigma {
            warnings.push(format!(
                "the middle standard deviation is {middle}, over three times that of the prior ({prior_sigma}): sigma may be \
                 read by a wrong rule; compare with --elbo"
            ));
        }
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let prior_range = |all: &[f32]| {
            let least = all.iter().copied().fold(f32::INFINITY, f32::min);
            [least, all.iter().copied().fold(0.0, f32::max)]
        };
        let priors = checkpoint.prior_sigmas().map(prior_range);
        let record = Record {
            version: VERSION,
            file: name,
            sha256: sha256(&input::bytes(path, tensor_file::LONGEST)?),
            family: found.family,
            layout: found.layout,
            normalisation,
            prior_sigma,
            prior_source: if found.prior_sigma.is_some_and(|p| p as f32 == prior_sigma) { "file" } else { "settings" },
            priors,
            layers,
            sigma: [sorted[0], middle, sorted[sorted.len() - 1]],
            check: None,
            readings: Vec::new(),
            warnings,
            notes: found.notes.clone(),
        };
        Ok(Import { checkpoint, record, doubt })
    }

    /// Refuses a network that may be another one than its source though all shapes fit, unless [`Import::check`] showed that it
    /// is not.
    ///
    /// # Errors
    /// [`Error::Posterior`] with the reason.
    pub fn settle(&self) -> Result<()> {
        match &self.doubt {
            Some(doubt) if self.record.check.is_none() => {
                Err(Error::posterior(Path::new(&self.record.file), doubt.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Compares the network with its source.
    ///
    /// # Errors
    /// [`Error::Posterior`] if it is another one, with what would make it the same where that is found.
    pub fn check(&mut self, reference: &Reference) -> Result<()> {
        let agreement = reference.compare(&self.checkpoint)?;
        if agreement.agrees() {
            self.record.check = Some(agreement);
            return Ok(());
        }
        let fix = match reference.other_normalisation(&self.checkpoint)? {
            Some(Normalisation { mean, std }) => format!("with --mean {mean} --std {std} it agrees"),
            None => "its layers, their order, an activation function, a layout, or the normalisation of pixels differ"
                .to_owned(),
        };
        let Agreement { images, largest, same_class, tolerance } = agreement;
        Err(Error::posterior(
            Path::new(&self.record.file),
            format!(
                "the network is not its source: logarithms of probabilities differ by up to {largest:.3} nats (wanted at most \
                 {tolerance:.3}), {same_class} of {images} images have the same class; {fix}"
            ),
        ))
    }

    /// Compares the readings of sigma, and warns if another one is better.
    ///
    /// # Errors
    /// Those of [`elbo::rank`].
    pub fn rank(&mut self, observer: &dyn Observer, found: &Found, data: &Prepared<'_>, taking: &Taking) -> Result<()> {
        self.record.readings = elbo::rank(observer, found, &self.checkpoint, data, taking)?;
        let warning = if self.record.readings.is_empty() || !found.family.maximises_elbo() {
            Some(format!("the ELBO says nothing of the sigma of {}, which is computed by a formula", found.family))
        } else {
            elbo::verdict(&self.record.readings)
        };
        self.record.warnings.extend(warning);
        Ok(())
    }

    /// Writes checkpoint, model file and `import.json` into a folder that holds the settings already.
    ///
    /// # Errors
    /// [`Error::Io`]; a checkpoint that cannot be written; those of [`Import::settle`]. A network that no model file holds is
    /// no error: it is said.
    pub fn write(mut self, observer: &dyn Observer, folder: &RunFolder, data: &Prepared<'_>) -> Result<Record> {
        self.settle()?;
        folder.write_classes(&data.dataset.class_names)?;
        self.checkpoint.save(&folder.checkpoint(FLOAT))?;
        let mut json = serde_json::to_vec_pretty(&self.record).map_err(Error::encode("the import"))?;
        json.push(b'\n');
        folder.write(IMPORT, &json)?;
        model_file::settle(observer, folder, FLOAT, &mut self.checkpoint, data.train_images())?;
        Ok(self.record)
    }
}

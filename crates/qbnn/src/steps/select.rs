//! The models that an evaluation names, and the settings to evaluate them with.

use super::OnTopOf;
use crate::config::{self, Config, Layers};
use crate::consistency::{self, Part};
use crate::ensemble::{self, Ensemble};
use crate::error::{Error, Result};
use crate::model_file::ModelFile;
use crate::observer::Observer;
use crate::preprocess::Prepared;
use crate::run_folder::{METRICS, RunFolder, classes_beside, name_in};
use crate::{model_file, named, shell};
use qbnn_bnn::Checkpoint;
use std::path::{Path, PathBuf};

/// A checkpoint to evaluate.
pub struct Entry {
    /// The folder that it lies in.
    pub folder: RunFolder,
    /// Its file.
    pub path: PathBuf,
    /// What it holds.
    pub checkpoint: Checkpoint,
}

/// The models that were named, and the settings to evaluate them with: those of the first one's run, and what was
/// typed.
pub struct Selected {
    /// The checkpoints.
    pub entries: Vec<Entry>,
    /// The model files.
    pub files: Vec<ModelFile>,
    /// The ensembles; with the checkpoints and model files at least one model.
    pub ensembles: Vec<Ensemble>,
    /// Checkpoints that lie beside model files and members of the ensembles.
    beside: Vec<Entry>,
    /// The settings.
    pub config: Config,
    /// Keys that were typed, or that stand in a config that was.
    asked: Vec<String>,
}

impl Selected {
    /// Reads them, for a command (`eval` or `check`), with settings on top of those of the first one's run.
    ///
    /// # Errors
    /// [`Error::Asked`] of what the command does not take, or where nothing names the data; files that cannot be read.
    pub fn new(command: &str, models: &[PathBuf], settings: OnTopOf<'_>) -> Result<Self> {
        let (mut entries, mut files, mut ensembles, mut beside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for from in models {
            if ensemble::is_one(from) {
                if command != "eval" {
                    return Err(Error::asked(format!(
                        "{} is an ensemble; `qbnn {command}` takes checkpoints",
                        from.display()
                    )));
                }
                ensembles.push(Ensemble::read(from)?);
                continue;
            }
            if command == "eval" && named::is_model(from) {
                let file = ModelFile::read(from)?;
                if files.iter().any(|other: &ModelFile| other.path == file.path) {
                    return Err(Error::asked(format!("{} is named twice; name it once", from.display())));
                }
                files.push(file);
                continue;
            }
            entries.extend(if from.is_dir() { of_run(from)? } else { vec![of_file(from)?] });
        }
        for file in files.iter().chain(ensembles.iter().flat_map(|e| &e.members)) {
            let path = file.path.with_extension("safetensors");
            if path.is_file() && Checkpoint::is_one(&path)? {
                beside.push(of_file(&path)?);
            }
        }
        let others = files.iter().map(|file| &file.path).chain(ensembles.iter().map(|e| &e.path));
        let first = entries.iter().map(|e| &e.path).chain(others).next();
        let first = first.map(|path| (RunFolder::of_checkpoint(path).config(), path));
        let Some((own, path)) = first else {
            return Err(Error::asked("nothing to evaluate; name a run folder or a checkpoint"));
        };
        let layers = settings(own.as_deref())?;
        config::check_used(command, &layers.flags)?;
        if own.is_none() && !layers.names_data() {
            return Err(Error::asked(format!(
                "no config.toml lies beside {}; name the data to evaluate on with --data",
                path.display()
            )));
        }
        let asked = layers.asked.clone();
        Ok(Selected { entries, files, ensembles, beside, config: layers.finish()?, asked })
    }

    /// Whether metrics of these models with these settings would take the place of others in a run folder: those of other
    /// settings than the run's own, or of more models.
    pub(super) fn is_other(&self, folder: &RunFolder) -> Result<bool> {
        let whole = self.entries.len() == folder.models()?.len();
        Ok(folder.path().join(METRICS).exists() && (!self.asked.is_empty() || !whole))
    }

    /// Whether all of them read such images, and belong to the settings and the model files beside them; warns of
    /// half-trained ones.
    ///
    /// # Errors
    /// [`Error::Mismatch`], [`Error::OtherSetting`] or [`Error::Stale`] of what does not belong together.
    pub fn fit(&self, observer: &dyn Observer, data: &Prepared<'_>) -> Result<()> {
        let asked = |key: &str| self.asked.iter().any(|a| a == key);
        let other_data = ["seed", "data.name", "data.group_limit"].into_iter().any(asked);
        self.files.iter().try_for_each(|file| file.check(data))?;
        for ensemble in &self.ensembles {
            data.check(&ensemble.path, ensemble.input, ensemble.classes)?;
            model_file::same_names(&ensemble.path, &ensemble.class_names, data)?;
        }
        for entry in self.entries.iter().chain(&self.beside) {
            let c = &entry.checkpoint;
            data.check(&entry.path, c.input, c.classes)?;
            model_file::same_names(&entry.path, &classes_beside(&entry.path, c.classes)?, data)?;
            model_file::check_beside(&entry.path, c)?;
            if let Some(path) = entry.folder.config() {
                let mut own = Layers::default();
                own.file(&path)?;
                let fix = |key: &str| match key {
                    "seed" | "data.name" | "data.group_limit" => {
                        format!("say so with --set {key}=VALUE to evaluate with another")
                    }
                    _ => "copy the checkpoint elsewhere and name the data with --data".to_owned(),
                };
                // What was typed counts, and is another evaluation than that of the run.
                consistency::same_settings(&entry.path, c, &own.finish()?, asked, fix)?;
            }
            if !other_data && consistency::same_test(c, &self.config) {
                consistency::same_data(&entry.path, c, data, Part::Test)?;
            }
            if !c.finished() {
                let (path, epoch, epochs) = (entry.path.display(), c.epoch, c.epochs());
                observer.warn(&format!("{path} has {epoch} of {epochs} epochs"));
            }
        }
        Ok(())
    }
}

fn of_run(path: &Path) -> Result<Vec<Entry>> {
    let folder = RunFolder::open(path)?;
    let models = folder.models()?;
    if models.is_empty() {
        let problem = format!("holds no checkpoint yet; `qbnn train --resume {}` makes one", shell::path(path));
        return Err(Error::contents(path, problem));
    }
    models.iter().map(|m| of_file(&folder.checkpoint(m))).collect()
}

fn of_file(path: &Path) -> Result<Entry> {
    named::checkpoint(path)?;
    let checkpoint = Checkpoint::load(path)?;
    Ok(Entry { folder: RunFolder::of_checkpoint(path), path: path.to_owned(), checkpoint })
}

/// The models' names; with their paths where two have the same.
pub fn names(entries: &[Entry]) -> Vec<String> {
    let short: Vec<_> = entries.iter().map(|e| name_in(&e.path, &e.checkpoint)).collect();
    let twice = |name: &String| short.iter().filter(|n| *n == name).count() > 1;
    let name = |(e, name): (&Entry, &String)| {
        if twice(name) { e.path.with_extension("").display().to_string() } else { name.clone() }
    };
    entries.iter().zip(&short).map(name).collect()
}

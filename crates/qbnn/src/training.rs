//! One phase of training in a run folder: events told and written down, a checkpoint after every epoch, a stop that
//! loses nothing. Float training and training through the quantizers are the same phase on another checkpoint.

use crate::config::Config;
use crate::consistency::{self, Part};
use crate::error::{Error, Result};
use crate::observer::{self, Observer};
use crate::ood;
use crate::pass_check::PassAgreement;
use crate::preprocess::Prepared;
use crate::run_folder::{EpochLine, FLOAT, RunFolder, model_name};
use crate::{model_file, shell};
use qbnn_bnn::pfp;
use qbnn_bnn::predictor::{Analytic, of_file};
use qbnn_bnn::train::{Event, Outcome, train};
use qbnn_bnn::{BnnError, Checkpoint, NetworkSpec};
use std::ops::ControlFlow;
use std::path::Path;

/// What a training phase needs: observer, run folder, data.
pub struct TrainingContext<'a> {
    /// Hears what happens, and says whether to stop.
    pub observer: &'a dyn Observer,
    /// The run folder.
    pub folder: &'a RunFolder,
    /// The data.
    pub data: &'a Prepared<'a>,
    /// The command that goes on after a stop, such as `qbnn train --resume`.
    pub go_on: &'static str,
}

impl TrainingContext<'_> {
    /// The float network, trained to the end: from the start, or from where its checkpoint is.
    ///
    /// # Errors
    /// [`Error::Bnn`] of the network, the settings or the training; [`Error::OtherSetting`] or [`Error::Mismatch`] of a
    /// checkpoint of another experiment; [`Error::Io`]; [`Error::Stopped`].
    pub fn float(&self, config: &Config, spec: &NetworkSpec) -> Result<Checkpoint> {
        let checkpoint = match self.folder.load(FLOAT)? {
            Some(checkpoint) => checkpoint,
            None => {
                ood::warnings(&config.train).iter().for_each(|line| self.observer.warn(line));
                self.folder.write_classes(&self.data.dataset.class_names)?;
                let mut new = Checkpoint::new(
                    spec,
                    self.data.shape(),
                    self.data.dataset.classes(),
                    self.data.normalisation(),
                    config.seed,
                    config.train.clone(),
                )?;
                new.origin = Some(consistency::origin(config, self.data));
                self.begin(FLOAT, &new)?;
                new
            }
        };
        if checkpoint.quantize.is_some() {
            let path = self.folder.checkpoint(FLOAT);
            return Err(Error::contents(&path, "is quantized; restore the float checkpoint"));
        }
        self.go_on(config, FLOAT, checkpoint)
    }

    /// The quantized network, fine-tuned to the end: from its checkpoint where there is one.
    ///
    /// # Errors
    /// As [`TrainingContext::float`]; a model file that would not compute what the checkpoint does.
    pub fn quantized(&self, float: Checkpoint, config: &Config) -> Result<Checkpoint> {
        let settings = &config.quantize;
        let name = self.folder.name_of(settings)?;
        let checkpoint = match self.folder.load(&name)? {
            Some(checkpoint) if checkpoint.quantize.as_ref() == Some(settings) => {
                return self.go_on(config, &name, checkpoint);
            }
            Some(_) => {
                let problem = "was quantized with other settings than [quantize] says; use `qbnn quantize --overwrite`";
                return Err(Error::contents(&self.folder.checkpoint(&name), problem));
            }
            None => {
                let train_data = self.data.train_data(&float.train, float.seed)?;
                let checkpoint = Checkpoint::quantized(float, settings.clone(), &train_data)?;
                self.begin(&name, &checkpoint)?;
                checkpoint
            }
        };
        self.finish(&name, checkpoint)
    }

    /// A checkpoint of the folder, compared with settings and data, trained to its end.
    ///
    /// # Errors
    /// As [`TrainingContext::float`].
    pub fn go_on(&self, config: &Config, name: &str, mut checkpoint: Checkpoint) -> Result<Checkpoint> {
        self.same_experiment(&self.folder.checkpoint(name), &checkpoint, config)?;
        if checkpoint.origin.is_none() && !checkpoint.finished() {
            self.observer.warn(&format!(
                "{} is of an earlier version, which did not keep the data that it began with: it goes on with {} as it \
                 is now",
                self.folder.checkpoint(name).display(),
                self.data.dataset.name
            ));
            checkpoint.origin = Some(consistency::origin(config, self.data));
        }
        self.finish(name, checkpoint)
    }

    /// Trains to the end, and sees to the model file.
    fn finish(&self, name: &str, mut checkpoint: Checkpoint) -> Result<Checkpoint> {
        if !checkpoint.finished() {
            model_file::remove(self.folder, name)?;
        }
        self.train(&mut checkpoint)?;
        if let Some(path) =
            model_file::settle(self.observer, self.folder, name, &mut checkpoint, self.data.train_images())?
        {
            self.observer.note(&format!("model file: {}", path.display()));
            if checkpoint.quantize.is_some() {
                self.check_pass(name, &path)?;
            }
        }
        Ok(checkpoint)
    }

    /// Warns where an analytic pass over a new model file leaves what its draws say of validation images.
    fn check_pass(&self, name: &str, path: &Path) -> Result<()> {
        let file = model_file::read(path)?;
        // Dropped units have no pass, and nobody can ask for one.
        if model_file::model(&file).is_ok_and(|model| model.posterior().dropped() > 0) {
            return Ok(());
        }
        let mut pass = Analytic::new(file.clone(), pfp::Weights::default())?;
        let images = self.data.dataset.validation.images.view();
        let agreement = PassAgreement::of(&mut pass, &mut *of_file(file)?, images, 0)?;
        agreement.warning(name).iter().for_each(|line| self.observer.warn(line));
        Ok(())
    }

    /// The first checkpoint of a phase. A model file that lies there is of another.
    fn begin(&self, name: &str, checkpoint: &Checkpoint) -> Result<()> {
        model_file::remove(self.folder, name)?;
        Ok(checkpoint.save(&self.folder.checkpoint(name))?)
    }

    /// Trains a checkpoint to its end.
    fn train(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        let model = model_name(checkpoint);
        self.folder.cut_epochs(&model, checkpoint.epoch)?;
        if checkpoint.finished() {
            return self.check_stop(&format!("{model} is trained"));
        }
        let path = self.folder.checkpoint(&model);
        let batch = checkpoint.train.batch;
        let (mut current, mut saved, mut failed) = (checkpoint.epoch + 1, checkpoint.epoch, None);
        let outcome = {
            let mut observe = |event: &Event| {
                self.observer.event(observer::Event::Training { model: &model, batch, event });
                if let Event::Step { epoch, .. } = event {
                    current = *epoch;
                } else if let Some(line) = EpochLine::new(&model, event)
                    && let Err(e) = self.folder.append_epoch(&line)
                {
                    failed = Some(e);
                    return ControlFlow::Break(());
                }
                if self.observer.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let mut save = |checkpoint: &Checkpoint| -> Result<(), BnnError> {
                checkpoint.save(&path)?;
                saved = checkpoint.epoch;
                Ok(())
            };
            let train_data = self.data.train_data(&checkpoint.train, checkpoint.seed)?;
            train(checkpoint, &train_data, &mut observe, &mut save)
        };
        self.observer.event(observer::Event::TrainingEnded);
        if let Some(failed) = failed {
            return Err(failed);
        }
        if outcome? == Outcome::Finished && !self.observer.stopped() {
            return Ok(());
        }
        let what = if saved == 0 {
            "no epoch was finished yet".to_owned()
        } else {
            format!("the checkpoint of epoch {saved} is in {}", path.display())
        };
        self.stop(&format!("in {model}, epoch {current}; {what}"))
    }

    /// An error that says where it stopped and how to go on, if the user asked to stop.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn check_stop(&self, place: &str) -> Result<()> {
        if self.observer.stopped() { self.stop(place) } else { Ok(()) }
    }

    fn stop(&self, place: &str) -> Result<()> {
        let go_on = format!("{} {}", self.go_on, shell::path(self.folder.path()));
        Err(Error::Stopped { place: place.to_owned(), go_on })
    }

    /// A checkpoint goes on only with the settings and the data that it began with.
    fn same_experiment(&self, path: &Path, checkpoint: &Checkpoint, config: &Config) -> Result<()> {
        self.data.check(path, checkpoint.input, checkpoint.classes)?;
        let fix = |_: &str| "start a new run with --out".to_owned();
        consistency::same_settings(path, checkpoint, config, |_| false, fix)?;
        if checkpoint.normalisation != self.data.normalisation() {
            let problem = format!(
                "it reads pixels by {:?}, {} now wants {:?}; start a new run with --out",
                checkpoint.normalisation,
                self.data.dataset.name,
                self.data.normalisation()
            );
            return Err(Error::mismatch(path, problem));
        }
        if checkpoint.finished() {
            return Ok(());
        }
        consistency::same_data(path, checkpoint, self.data, Part::Training)
    }
}

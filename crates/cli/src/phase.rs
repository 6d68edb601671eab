//! One phase of training in a run folder: events shown and written down, a checkpoint after every epoch, a stop that
//! loses nothing. Float training and training through the quantizers are the same phase on another checkpoint.

use crate::config::Config;
use crate::convert::Prepared;
use crate::model_file;
use crate::run_folder::{EpochLine, FLOAT, RunFolder, model_name};
use crate::session::Session;
use anyhow::{Result, bail};
use qbnn_bnn::checkpoint::Checkpoint;
use qbnn_bnn::quant::settings::QuantizeSettings;
use qbnn_bnn::train::{Event, Outcome, train};
use qbnn_bnn::{BnnError, NetworkSpec};
use std::ops::ControlFlow;

/// Where a phase takes place.
pub struct Place<'a> {
    /// The session.
    pub session: &'a Session,
    /// The run folder.
    pub folder: &'a RunFolder,
    /// The data.
    pub data: &'a Prepared<'a>,
    /// The command that goes on after a stop, such as `qbnn train --resume`.
    pub go_on: &'static str,
}

impl Place<'_> {
    /// The float network, trained to the end: from the start, or from where its checkpoint is.
    pub fn float(&self, config: &Config, spec: &NetworkSpec) -> Result<Checkpoint> {
        let mut checkpoint = match self.folder.load(FLOAT)? {
            Some(checkpoint) => {
                self.same_experiment(&checkpoint, config, spec)?;
                checkpoint
            }
            None => Checkpoint::new(
                spec,
                self.data.shape(),
                self.data.dataset.classes,
                self.data.normalisation(),
                config.seed,
                config.train.clone(),
            )?,
        };
        if checkpoint.epochs() == 0 {
            checkpoint.save(&self.folder.checkpoint(FLOAT))?;
        }
        self.finish(&mut checkpoint)?;
        self.model_file(FLOAT, &checkpoint)?;
        Ok(checkpoint)
    }

    /// The quantized network, fine-tuned to the end: from its checkpoint where there is one.
    pub fn quantized(&self, float: Checkpoint, settings: &QuantizeSettings) -> Result<Checkpoint> {
        let name = settings.name();
        let mut checkpoint = match self.folder.load(&name)? {
            Some(checkpoint) if checkpoint.quantize.as_ref() == Some(settings) => checkpoint,
            Some(_) => bail!(
                "{} was quantized with other settings than [quantize] says; use `qbnn quantize --overwrite`",
                self.folder.checkpoint(&name).display()
            ),
            None => {
                let train_data = self.data.train_data(&float.train, float.seed);
                let checkpoint = Checkpoint::quantized(float, settings.clone(), &train_data)?;
                checkpoint.save(&self.folder.checkpoint(&name))?;
                checkpoint
            }
        };
        self.finish(&mut checkpoint)?;
        self.model_file(&name, &checkpoint)?;
        Ok(checkpoint)
    }

    /// Writes the model file beside a finished checkpoint, if a file can hold it.
    fn model_file(&self, name: &str, checkpoint: &Checkpoint) -> Result<()> {
        if let Some(path) = model_file::write(self.folder, name, checkpoint)? {
            self.session.ui.say(&format!("model file: {}", path.display()));
        }
        Ok(())
    }

    /// Trains a checkpoint to its end.
    pub fn finish(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        let model = model_name(checkpoint);
        self.folder.cut_epochs(&model, checkpoint.epoch)?;
        if checkpoint.finished() {
            return self.check_stop(&format!("{model} is trained"));
        }
        let path = self.folder.checkpoint(&model);
        let mut progress = self.session.ui.training(&model, checkpoint.train.batch);
        let (mut current, mut saved, mut failed) = (checkpoint.epoch + 1, checkpoint.epoch, None);
        let outcome = {
            let mut observe = |event: &Event| {
                progress.event(event);
                if let Event::Step { epoch, .. } = event {
                    current = *epoch;
                } else if let Some(line) = EpochLine::new(&model, event)
                    && let Err(e) = self.folder.append_epoch(&line)
                {
                    failed = Some(e);
                    return ControlFlow::Break(());
                }
                if self.session.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let mut save = |checkpoint: &Checkpoint| -> Result<(), BnnError> {
                checkpoint.save(&path)?;
                saved = checkpoint.epoch;
                Ok(())
            };
            let train_data = self.data.train_data(&checkpoint.train, checkpoint.seed);
            train(checkpoint, &train_data, &mut observe, &mut save)
        };
        progress.end();
        if let Some(failed) = failed {
            return Err(failed);
        }
        if outcome? == Outcome::Finished && !self.session.stopped() {
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
    pub fn check_stop(&self, place: &str) -> Result<()> {
        if self.session.stopped() { self.stop(place) } else { Ok(()) }
    }

    fn stop(&self, place: &str) -> Result<()> {
        bail!("stopped {place}; go on with `{} {}`", self.go_on, self.folder.path().display())
    }

    /// A checkpoint goes on only with the settings that it began with.
    fn same_experiment(&self, checkpoint: &Checkpoint, config: &Config, spec: &NetworkSpec) -> Result<()> {
        let path = self.folder.checkpoint(FLOAT);
        self.data.check(&path, checkpoint.input, checkpoint.classes)?;
        let same = [
            ("strategy", checkpoint.quantize.is_none()),
            ("network", checkpoint.network == *spec),
            ("seed", checkpoint.seed == config.seed),
            ("train settings", checkpoint.train == config.train),
            ("pixel normalisation", checkpoint.normalisation == self.data.normalisation()),
        ];
        match same.iter().find(|s| !s.1) {
            None => Ok(()),
            Some((what, _)) => bail!(
                "{}: the checkpoint's {what} differs from that of config.toml beside it; restore config.toml, or \
                 start a new run with --out",
                path.display()
            ),
        }
    }
}

//! One file per command.

pub mod bench;
pub mod calibrate;
pub mod check;
pub mod completions;
pub mod config;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod export;
pub mod import;
pub mod inspect;
pub mod man;
pub mod predict;
pub mod quantize;
pub mod report;
pub mod run;
pub mod sweep;
pub mod train;

use crate::args::{Cli, Command};
use crate::failure::usage;
use crate::session::Session;
use crate::settings::RunArgs;
use anyhow::Result;
use qbnn::config::{Config, Layers};
use qbnn::run_folder::{Held, RunFolder};
use std::path::PathBuf;

/// Does what was asked for.
pub fn dispatch(cli: Cli, session: &Session) -> Result<()> {
    if matches!(
        cli.command,
        Command::Run(_)
            | Command::Train(_)
            | Command::Quantize(_)
            | Command::Eval(_)
            | Command::Calibrate(_)
            | Command::Check(_)
            | Command::Import(_)
            | Command::Sweep(_)
    ) {
        // An unknown one would only be met after the training.
        qbnn_bnn::predictor::kernel()?;
    }
    match cli.command {
        Command::Run(args) => run::run(session, &args),
        Command::Train(args) => train::train(session, &args),
        Command::Quantize(args) => quantize::quantize(session, &args),
        Command::Eval(args) => eval::eval(session, &args),
        Command::Calibrate(args) => calibrate::calibrate(session, &args),
        Command::Check(args) => check::check(session, &args),
        Command::Report(args) => report::report(session, &args),
        Command::Sweep(args) => sweep::sweep(session, &args),
        Command::Predict(args) => predict::predict(session, &args),
        Command::Export(args) => export::export(session, &args),
        Command::Import(args) => import::import(session, &args),
        Command::Inspect(args) => inspect::inspect(session, &args),
        Command::Data(args) => data::data(session, args),
        Command::Bench(args) => bench::bench(session, &args),
        Command::Config(args) => config::config(session, &args),
        Command::Doctor { data_dir } => doctor::doctor(session, data_dir),
        Command::Man { out } => man::man(session, out.as_deref()),
        Command::Completions { shell } => completions::completions(session, shell),
    }
}

/// The experiment of `run` and `train`, and where it goes. A new folder is only looked at, not made.
pub struct Start {
    pub config: Config,
    place: Place,
}

/// Where a run goes.
enum Place {
    /// Into a new folder.
    New { out: Option<PathBuf>, overwrite: bool },
    /// Into the folder of a run that goes on.
    Old(Held),
}

impl Start {
    /// From the arguments: a new experiment, or the one of a run folder.
    pub fn new(args: &RunArgs) -> Result<Self> {
        let Some(run) = &args.resume else {
            let config = args.settings.config()?;
            config.check_trainable()?;
            args.out.as_deref().map_or(Ok(()), |out| RunFolder::check_free(out, args.overwrite))?;
            return Ok(Start { config, place: Place::New { out: args.out.clone(), overwrite: args.overwrite } });
        };
        let given = args.settings.layers()?.flags;
        let file = args.settings.base.config.as_ref().map(|_| "--config".to_owned());
        if let Some(key) = file.or(given.into_iter().next()) {
            return Err(usage(format!(
                "--resume takes all settings from {}; leave out {key}, or start a new run without --resume",
                run.display()
            )));
        }
        let folder = RunFolder::open(run)?.hold()?;
        let mut layers = Layers::default();
        folder.config().map_or(Ok(()), |path| layers.file(&path))?;
        Ok(Start { config: layers.finish()?, place: Place::Old(folder) })
    }

    /// Makes the folder of a new run. Until what this gives is dropped, no other command writes in the folder.
    pub fn begin(self) -> Result<(Config, Held)> {
        let held = match self.place {
            Place::Old(held) => held,
            Place::New { out, overwrite } => {
                RunFolder::make(out.as_deref(), &self.config.name, overwrite, &self.config.to_toml()?)?
            }
        };
        Ok((self.config, held))
    }
}

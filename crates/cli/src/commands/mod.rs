//! One file per command.

pub mod bench;
pub mod check;
pub mod completions;
pub mod config;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod inspect;
pub mod man;
pub mod predict;
pub mod quantize;
pub mod report;
pub mod run;
pub mod sweep;
pub mod train;

use crate::args::{Cli, Command, RunArgs};
use crate::config::{Config, Layers};
use crate::failure::usage;
use crate::run_folder::RunFolder;
use crate::session::Session;
use anyhow::Result;

/// Does what was asked for.
pub fn dispatch(cli: Cli, session: &Session) -> Result<()> {
    match cli.command {
        Command::Run(args) => run::run(session, &args),
        Command::Train(args) => train::train(session, &args),
        Command::Quantize(args) => quantize::quantize(session, &args),
        Command::Eval(args) => eval::eval(session, &args),
        Command::Check(args) => check::check(session, &args),
        Command::Report(args) => report::report(session, &args),
        Command::Sweep(args) => sweep::sweep(session, &args),
        Command::Predict(args) => predict::predict(session, &args),
        Command::Inspect(args) => inspect::inspect(session, &args),
        Command::Data(args) => data::data(session, args),
        Command::Bench(args) => bench::bench(session, &args),
        Command::Config(args) => config::config(session, &args),
        Command::Doctor { data_dir } => doctor::doctor(session, data_dir),
        Command::Man { out } => man::man(session, out.as_deref()),
        Command::Completions { shell } => completions::completions(session, shell),
    }
}

/// The experiment and the folder of `run` and `train`. A new folder is only chosen, not made; that a run goes on is
/// told by `resumed`.
pub struct Start {
    pub config: Config,
    pub folder: RunFolder,
    pub resumed: bool,
}

impl Start {
    /// From the arguments: a new experiment, or the one of a run folder.
    pub fn new(args: &RunArgs) -> Result<Self> {
        let Some(run) = &args.resume else {
            let config = args.settings.config()?;
            let folder = RunFolder::choose(args.out.as_deref(), &config.name, args.overwrite)?;
            return Ok(Start { config, folder, resumed: false });
        };
        let given = args.settings.layers()?.flags;
        let file = args.settings.base.config.as_ref().map(|_| "--config".to_owned());
        if let Some(key) = file.or(given.into_iter().next()) {
            return Err(usage(format!(
                "--resume takes all settings from {}; leave out {key}, or start a new run without --resume",
                run.display()
            )));
        }
        let folder = RunFolder::open(run)?;
        let mut layers = Layers::default();
        folder.config().map_or(Ok(()), |path| layers.file(&path))?;
        Ok(Start { config: layers.finish()?, folder, resumed: true })
    }

    /// Makes the folder of a new run.
    pub fn begin(&self) -> Result<()> {
        if self.resumed { Ok(()) } else { self.folder.create(&self.config.to_toml()?) }
    }
}

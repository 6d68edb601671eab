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
use crate::session::Session;
use anyhow::Result;

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

//! The binary `qbnn`: from images to a quantized Bayesian network at the command line.
//!
//! This is the only crate that prints. It parses ([`args`]), calls the library `qbnn`, and shows what that tells
//! ([`session`], [`ui`]).
#![deny(unsafe_code)]

mod answer;
mod args;
mod closing;
mod commands;
mod failure;
mod layout;
mod png;
mod session;
mod settings;
mod summary;
mod sweep;
mod table;
mod ui;

use anyhow::{Context, Result};
use clap::Parser;
use clap::error::ErrorKind;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version, asked for or shown because nothing was.
        Err(told) if !told.use_stderr() || told.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return ended(ui::told(&told).map(|()| u8::try_from(told.exit_code()).unwrap_or(failure::FAILURE)));
        }
        Err(error) => {
            ui::note(&format!("error: {}", failure::parser_line(&error.render().to_string())));
            return ExitCode::from(failure::USAGE);
        }
    };
    ended(start(cli).map(|()| 0))
}

/// The exit code, or the line of an error and its code.
fn ended(result: Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            ui::note(&format!("error: {}", failure::one_line(&error)));
            // What fails after a signal fails because of it.
            ExitCode::from(if session::is_stopped() { failure::STOPPED } else { failure::exit_code(&error) })
        }
    }
}

fn start(cli: args::Cli) -> Result<()> {
    let ui = ui::Ui { quiet: cli.quiet, json: cli.json };
    let session = session::Session::new(ui)?;
    if let Some(threads) = cli.threads.map(usize::from) {
        let cores = std::thread::available_parallelism().map_or(threads, usize::from);
        if threads > cores {
            ui.warn(&format!("--threads {threads} on {cores} cores will be slower than --threads {cores}"));
        }
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start the threads")?;
    }
    commands::dispatch(cli, &session)
}

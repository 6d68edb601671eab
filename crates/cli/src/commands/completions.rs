//! `qbnn completions`: a script for a shell, made from the very arguments that are parsed.

use crate::args::Cli;
use crate::session::Session;
use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints it.
pub fn completions(session: &Session, shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "qbnn", &mut script);
    session.ui.result(String::from_utf8_lossy(&script).trim_end())
}

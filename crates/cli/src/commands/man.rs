//! `qbnn man`: manual pages, made from the very arguments that are parsed.

use crate::args::Cli;
use crate::session::Session;
use anyhow::{Context, Result};
use clap::CommandFactory;
use std::path::Path;

/// Prints the page of the whole, or writes one for each command into a folder.
pub fn man(session: &Session, out: Option<&Path>) -> Result<()> {
    let Some(folder) = out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).context("cannot write the manual page")?;
        return session.ui.result(String::from_utf8_lossy(&page).trim_end());
    };
    let shown = folder.display();
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("cannot write manual pages into {shown}; name a folder that can be written"))?;
    session.ui.result(&format!("manual pages: {shown}; read one with `man -l {shown}/qbnn.1`"))
}

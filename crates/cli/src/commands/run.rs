//! `qbnn run`: images in, an evaluated 4-bit network out. Resuming does whatever of it is not yet done.

use crate::closing::{self, Closing};
use crate::session::Session;
use crate::settings::RunArgs;
use anyhow::Result;
use qbnn::shell;
use qbnn::steps::{self, Ran};

/// Runs it.
pub fn run(session: &Session, args: &RunArgs) -> Result<()> {
    let Ran { folder, metrics, report, note } = steps::run(&session.caller(), args.start()?)?;
    let word = shell::path(&folder);
    let next = format!("next: open the report, then qbnn quantize {word} --bits 3 and qbnn eval {word}");
    let [folder, report] = [folder, report].map(|path| path.display().to_string());
    let (note, folder, report) = (note.as_deref(), Some(&folder[..]), Some(&report[..]));
    closing::show(session, &metrics, &Closing { note, folder, report, next: &next })
}

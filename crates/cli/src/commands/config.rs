//! `qbnn config`: the settings that `qbnn run` would use, for reading and for keeping.

use crate::session::Session;
use crate::settings::SettingArgs;
use anyhow::Result;

/// Prints them as TOML, or as one JSON object.
pub fn config(session: &Session, args: &SettingArgs) -> Result<()> {
    let config = args.config()?;
    if session.ui.json { session.ui.json_line(&config) } else { session.ui.result(config.to_toml()?.trim_end()) }
}

//! Where a run goes: into a new folder, or on in that of an earlier one.

use crate::config::{Config, Layers};
use crate::error::{Error, Result};
use crate::run_folder::{Held, RunFolder};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of a new run.
#[derive(Clone, Debug, Default)]
pub struct NewRun {
    /// Where; `runs/DATE-NAME` where nothing is said.
    pub out: Option<PathBuf>,
    /// Whether a run that is there already is replaced.
    pub overwrite: bool,
    /// A folder of data that was written for this run: its files become the run's own, and its settings name them there.
    pub staged: Option<PathBuf>,
}

impl NewRun {
    /// Whether the folder can be made, without touching the disk.
    ///
    /// # Errors
    /// As [`RunFolder::check_free`].
    pub fn check(&self) -> Result<()> {
        self.out.as_deref().map_or(Ok(()), |out| RunFolder::check_free(out, self.overwrite))
    }

    /// Makes it with these settings, of which paths of staged files become those of the run's own.
    ///
    /// # Errors
    /// As [`RunFolder::make`].
    pub fn make(&self, config: &mut Config) -> Result<Held> {
        let (mut placed, staged) = (config.clone(), self.staged.as_deref());
        let held = RunFolder::make_with(self.out.as_deref(), &config.name, self.overwrite, |folder| {
            let folder = std::path::absolute(folder).map_err(Error::io("find", folder))?;
            let settings = &mut placed.data;
            let paths = settings.path.iter_mut().chain(settings.test.iter_mut().map(|test| &mut test.path));
            for path in paths.filter(|path| staged.is_some() && path.parent() == staged) {
                *path = folder.join(path.file_name().unwrap_or_default());
            }
            placed.to_toml()
        })?;
        if let Some(staged) = staged {
            for entry in fs::read_dir(staged).map_err(Error::io("list", staged))? {
                let from = entry.map_err(Error::io("list", staged))?.path();
                held.take(&from)?;
            }
        }
        *config = placed;
        Ok(held)
    }
}

/// An experiment, and where it goes. A new folder is only looked at, not made.
pub struct Start {
    /// The settings.
    pub config: Config,
    place: Place,
}

enum Place {
    New(NewRun),
    Old(Held),
}

impl Start {
    /// A new experiment.
    ///
    /// # Errors
    /// Those of [`Layers::finish`] and [`NewRun::check`]; settings of an imported posterior.
    pub fn new(layers: Layers, place: NewRun) -> Result<Self> {
        let config = layers.finish()?;
        config.check_trainable()?;
        place.check()?;
        Ok(Start { config, place: Place::New(place) })
    }

    /// The experiment of a run folder, which goes on.
    ///
    /// # Errors
    /// As [`RunFolder::open`] and [`RunFolder::hold`].
    pub fn resume(run: &Path) -> Result<Self> {
        let folder = RunFolder::open(run)?.hold()?;
        let mut layers = Layers::default();
        folder.config().map_or(Ok(()), |path| layers.file(&path))?;
        Ok(Start { config: layers.finish()?, place: Place::Old(folder) })
    }

    /// Makes the folder of a new run. Until what this gives is dropped, no other command writes in the folder.
    ///
    /// # Errors
    /// As [`NewRun::make`].
    pub fn begin(self) -> Result<(Config, Held)> {
        let Start { mut config, place } = self;
        let held = match place {
            Place::Old(held) => held,
            Place::New(new) => new.make(&mut config)?,
        };
        Ok((config, held))
    }
}

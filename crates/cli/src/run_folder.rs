//! The folder of one run: what lies in it, and writing it so that a killed or failed write loses nothing.
//!
//! Files are written under a temporary name and renamed. `metrics.jsonl` is appended to, and cut back to the epochs of
//! the checkpoint when a run is resumed, so that no epoch appears twice.

use crate::failure::usage;
use crate::page::{CARD, REPORT};
use crate::provenance::PROVENANCE;
use crate::stored::PREDICTIONS;
use anyhow::{Context, Result, anyhow, bail};
use qbnn_bnn::Strategy;
use qbnn_bnn::checkpoint::Checkpoint;
use qbnn_bnn::train::Event;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Settings that repeat the experiment.
pub const CONFIG: &str = "config.toml";
/// One line per epoch.
pub const EPOCHS: &str = "metrics.jsonl";
/// The evaluation.
pub const METRICS: &str = "metrics.json";
/// What float checkpoints and models are called.
pub const FLOAT: &str = "float";
const SUFFIX: &str = ".safetensors";

/// A run folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLine {
    /// `float` or `quantized`.
    pub phase: String,
    /// The model's name, as in `metrics.json`.
    pub model: String,
    /// Counted from 1 within the phase.
    pub epoch: usize,
    /// In all.
    pub epochs: usize,
    /// Mean training loss, nats.
    pub nll: f64,
    /// KL divergence over the number of training images, nats.
    pub kl: f64,
    /// On the validation group.
    pub validation_accuracy: f64,
    /// On the validation group, nats.
    pub validation_nll: f64,
    /// Speed of training.
    pub images_per_second: f64,
}

impl EpochLine {
    /// The line of an event, if it ends an epoch.
    pub fn new(model: &str, event: &Event) -> Option<Self> {
        let &Event::Epoch { epoch, epochs, nll, kl, validation_accuracy, validation_nll, images_per_second } = event
        else {
            return None;
        };
        let phase = if model == FLOAT { FLOAT } else { "quantized" };
        Some(EpochLine {
            phase: phase.to_owned(),
            model: model.to_owned(),
            epoch,
            epochs,
            nll,
            kl,
            validation_accuracy,
            validation_nll,
            images_per_second,
        })
    }
}

/// What a checkpoint's model is called.
pub fn model_name(checkpoint: &Checkpoint) -> String {
    checkpoint.quantize.as_ref().map_or_else(|| FLOAT.to_owned(), |q| q.name())
}

impl RunFolder {
    /// Chooses the folder of a new run, without touching the disk: `--out`, or `runs/<date>-<name>`, with a number
    /// after it where that exists.
    ///
    /// # Errors
    /// An existing folder that is not empty, unless it is a run folder and may be overwritten.
    pub fn choose(out: Option<&Path>, name: &str, overwrite: bool) -> Result<Self> {
        let Some(out) = out else {
            let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
            let path = |n: usize| match n {
                1 => PathBuf::from(format!("runs/{date}-{name}")),
                n => PathBuf::from(format!("runs/{date}-{name}-{n}")),
            };
            let free = (1..10_000).map(path).find(|p| fs::symlink_metadata(p).is_err());
            return free.map(|path| Self { path }).ok_or_else(|| usage("runs/ is full for today; name one with --out"));
        };
        let shown = out.display();
        match fs::read_dir(out) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => bail!("cannot use {shown} as a run folder: {e}; name another with --out"),
            Ok(mut entries) => {
                let empty = entries.next().is_none();
                if !empty && !out.join(CONFIG).is_file() {
                    return Err(usage(format!("{shown} exists and is no run folder; name another with --out")));
                }
                if !empty && !overwrite {
                    return Err(usage(format!(
                        "{shown} holds a run already; name another with --out, give --overwrite to replace it, or go \
                         on with `qbnn train --resume {shown}`"
                    )));
                }
            }
        }
        Ok(Self { path: out.to_owned() })
    }

    /// Makes the chosen folder, removes an overwritten run's files, and writes the settings.
    pub fn create(&self, config: &str) -> Result<()> {
        fs::create_dir_all(&self.path).map_err(|e| write_error("make", &self.path, &e))?;
        for old in self.own_files()? {
            fs::remove_file(&old).map_err(|e| write_error("remove", &old, &e))?;
        }
        let version = env!("CARGO_PKG_VERSION");
        let text =
            format!("# Made by qbnn {version}; `qbnn run --config <this file>` repeats the experiment.\n{config}");
        self.write(CONFIG, text.as_bytes())
    }

    /// The folder of an earlier run.
    pub fn open(path: &Path) -> Result<Self> {
        if path.join(CONFIG).is_file() {
            return Ok(Self { path: path.to_owned() });
        }
        let shown = path.display();
        Err(anyhow!(
            "{shown} is no run folder ({CONFIG} is missing there); name one that `qbnn run` or `qbnn train` made"
        ))
    }

    /// The folder that a checkpoint lies in, whatever else is there.
    pub fn of_checkpoint(checkpoint: &Path) -> Self {
        let parent = checkpoint.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self { path: parent.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its settings, where they are there.
    pub fn config(&self) -> Option<PathBuf> {
        Some(self.path.join(CONFIG)).filter(|p| p.is_file())
    }

    /// Where the checkpoint of a model lies.
    pub fn checkpoint(&self, model: &str) -> PathBuf {
        self.path.join(format!("{model}{SUFFIX}"))
    }

    /// The checkpoint of a model, if there is one.
    pub fn load(&self, model: &str) -> Result<Option<Checkpoint>> {
        let path = self.checkpoint(model);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Checkpoint::load(&path)?))
    }

    /// Names of the models that have a checkpoint here: float first, then by name.
    pub fn models(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for path in self.entries()? {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if let Some(model) = name.strip_suffix(SUFFIX)
                && (model == FLOAT || Strategy::ALL.iter().any(|s| model.starts_with(&format!("{s}-"))))
            {
                names.push(model.to_owned());
            }
        }
        names.sort_by_key(|n| (n != FLOAT, n.clone()));
        Ok(names)
    }

    fn entries(&self) -> Result<Vec<PathBuf>> {
        let read = || fs::read_dir(&self.path)?.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>();
        read().with_context(|| format!("cannot list {}", self.path.display()))
    }

    fn own_files(&self) -> Result<Vec<PathBuf>> {
        let named = [CONFIG, EPOCHS, METRICS, PREDICTIONS, PROVENANCE, REPORT, CARD]
            .map(|n| self.path.join(n))
            .into_iter()
            .filter(|p| p.is_file());
        Ok(named.chain(self.models()?.iter().map(|m| self.checkpoint(m))).collect())
    }

    /// Writes a file of the folder as a whole.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_whole(&self.path.join(name), bytes)
    }

    /// Cuts `metrics.jsonl` back to what the checkpoints know: of `model` the first `epochs` epochs, of others all.
    pub fn cut_epochs(&self, model: &str, epochs: usize) -> Result<()> {
        let path = self.path.join(EPOCHS);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => bail!("cannot read {}: {e}", path.display()),
        };
        // A line that was cut off by a kill is no line.
        let keep =
            |line: &&str| serde_json::from_str::<EpochLine>(line).is_ok_and(|l| l.model != model || l.epoch <= epochs);
        let kept: String = text.lines().filter(keep).flat_map(|l| [l, "\n"]).collect();
        if kept == text { Ok(()) } else { write_whole(&path, kept.as_bytes()) }
    }

    /// Appends one epoch to `metrics.jsonl`.
    pub fn append_epoch(&self, line: &EpochLine) -> Result<()> {
        let path = self.path.join(EPOCHS);
        let text = format!("{}\n", serde_json::to_string(line)?);
        let append = || OpenOptions::new().create(true).append(true).open(&path)?.write_all(text.as_bytes());
        append().map_err(|e| write_error("write", &path, &e))
    }
}

/// Writes a file under a temporary name and renames it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|e: io::Error| {
        // What was there before is intact; the half-written part is of no use to anyone.
        let _ = fs::remove_file(&temporary);
        write_error("write", path, &e)
    })
}

fn write_error(action: &str, path: &Path, error: &io::Error) -> anyhow::Error {
    let mend = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space and resume; what was written before is intact"
        }
        _ => "choose a folder that can be written with --out",
    };
    anyhow!("cannot {action} {}: {error}; {mend}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(model: &str, epoch: usize) -> EpochLine {
        let event = Event::Epoch {
            epoch,
            epochs: 3,
            nll: 0.5,
            kl: 0.25,
            validation_accuracy: 0.9,
            validation_nll: 0.3,
            images_per_second: 100.0,
        };
        EpochLine::new(model, &event).unwrap()
    }

    #[test]
    fn epochs_beyond_the_checkpoint_and_torn_lines_are_cut() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::choose(Some(&dir.path().join("a")), "x", false).unwrap();
        folder.create("seed = 1\n").unwrap();
        let wanted = [line("float", 1), line("float", 2), line("jq-w4a4", 1)];
        for l in [&wanted[0], &wanted[1], &line("float", 3), &wanted[2]] {
            folder.append_epoch(l).unwrap();
        }
        let path = folder.path().join(EPOCHS);
        let torn = fs::read_to_string(&path).unwrap() + "{\"phase\":\"fl";
        fs::write(&path, torn).unwrap();
        folder.cut_epochs("float", 2).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let found: Vec<EpochLine> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn only_run_folders_are_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a");
        fs::create_dir(&out).unwrap();
        assert!(RunFolder::choose(Some(&out), "x", false).is_ok());
        fs::write(out.join("letter.txt"), "dear").unwrap();
        assert!(RunFolder::choose(Some(&out), "x", true).is_err());
        fs::write(out.join(CONFIG), "").unwrap();
        assert!(RunFolder::choose(Some(&out), "x", false).is_err());
        RunFolder::choose(Some(&out), "x", true).unwrap().create("seed = 2\n").unwrap();
        assert!(out.join("letter.txt").is_file());
    }
}

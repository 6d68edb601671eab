//! Downloads of the public sets: several mirrors, resumed where they stopped, and verified before they count.
//!
//! A file arrives under its name with `.part`; what has arrived is kept and continued with an HTTP range, within one
//! call and in later ones. It gets its name only after its checksum is right: of an IDX file the SHA-256 of the decompressed
//! content (mirrors may compress differently), of PyTorch tensors the MD5 that their authors publish. Tensors are
//! converted to IDX files here. Addresses, names and checksums are those of the set's descriptor.

mod convert;
mod download;
mod event;
mod sum;
#[cfg(test)]
mod tests;

pub use event::{FetchEvent, OnEvent};

use crate::descriptor::{Descriptor, Download, Half, SetFile, SetFiles, Tensors};
use crate::error::DataError;
use crate::locations::{FileReport, Locations};
use crate::pt;
use crate::read::load_ambiguous;
use download::{Check, Job};
use event::tell;
use std::path::{Path, PathBuf};
use sum::sha256;

/// Makes sure that a set lies complete and correct in `<root>/<set>/`, downloading what is not; answers with its files.
/// `mirrors` are addresses of folders, tried in order: mostly those of its descriptor.
///
/// Files with a checksum that are there are verified and kept. A set that is converted from tensors is kept when its files
/// are there and fit together, whichever version they are, because a reconstruction has no published checksum.
///
/// # Errors
/// [`DataError::Download`] if no mirror delivers, [`DataError::Checksum`] if the only thing delivered is wrong (it is
/// deleted), [`DataError::Stopped`], [`DataError::Io`], [`DataError::MissingSet`] for a descriptor without files, and for
/// tensors those of [`pt::read`], [`DataError::WrongShape`], [`DataError::Label`], [`DataError::Intensity`] and
/// [`DataError::Probabilities`].
pub fn fetch(
    set: &Descriptor,
    root: &Path,
    mirrors: &[String],
    on: &mut OnEvent<'_>,
) -> Result<Vec<PathBuf>, DataError> {
    let folder = root.join(&set.name);
    std::fs::create_dir_all(&folder).map_err(|e| DataError::io("make", &folder, &e))?;
    let locations = Locations::new(Some(root.into()), None, None);
    match &set.set {
        Some(files @ SetFiles { tensors: Some(tensors), .. }) => {
            fetch_tensors(set, files, tensors, &folder, &locations, mirrors, on)?;
        }
        _ => set.files().iter().try_for_each(|file| fetch_idx(&folder, file, mirrors, on))?,
    }
    locations.find(set)
}

fn fetch_idx(folder: &Path, file: &SetFile, mirrors: &[String], on: &mut OnEvent<'_>) -> Result<(), DataError> {
    let zipped = format!("{}.gz", file.name);
    let goal = folder.join(&zipped);
    let check = file.sha256.as_deref().map_or(Check::None, Check::Sha256);
    if let Some(path) = FileReport::look(folder, &file.name).path {
        let found = sha256(&path);
        if found.as_ref().is_ok_and(|found| file.sha256.as_ref().is_none_or(|wanted| wanted == found)) {
            return tell(on, FetchEvent::Present { file: &zipped }, &zipped);
        }
        // A wrong `.gz` is replaced; a wrong plain file would hide the right one, and is not ours to delete.
        if path != goal {
            // A damaged gzip stream is as wrong as another checksum.
            let found = found.unwrap_or_else(|e| e.to_string());
            let wanted = file.sha256.clone().unwrap_or_else(|| "a file that can be read".into());
            return Err(DataError::Checksum { path, kind: "SHA-256", found, wanted });
        }
    }
    download::run(&Job { file: &zipped, goal: &goal, check, mirrors }, on)
}

fn fetch_tensors(
    set: &Descriptor,
    files: &SetFiles,
    tensors: &Tensors,
    folder: &Path,
    locations: &Locations,
    mirrors: &[String],
    on: &mut OnEvent<'_>,
) -> Result<(), DataError> {
    let all = [&tensors.samples, &tensors.labels, &tensors.probabilities];
    if [Half::Train, Half::Test].iter().all(|&half| load_ambiguous(set, half, locations).is_ok()) {
        return all.iter().try_for_each(|d| tell(on, FetchEvent::Present { file: &d.name }, &d.name));
    }
    let goals = all.map(|d| folder.join(&d.name));
    for (Download { name, md5 }, goal) in all.into_iter().zip(&goals) {
        let check = md5.as_deref().map_or(Check::None, Check::Md5);
        if goal.is_file() && !matches!(check, Check::None) && check.verify(goal).is_ok() {
            tell(on, FetchEvent::Present { file: name }, name)?;
        } else {
            download::run(&Job { file: name, goal, check, mirrors }, on)?;
        }
    }
    let [samples, labels, predictions] = &goals;
    let result = convert::convert(
        files,
        folder,
        (samples, pt::read(samples)?),
        (labels, pt::read(labels)?),
        (predictions, pt::read(predictions)?),
    );
    if let Err(error) = result {
        // The one without a checksum is what can be at fault here: it is not kept for the next time.
        for (_, goal) in all.iter().zip(&goals).filter(|(download, _)| download.md5.is_none()) {
            let _ = std::fs::remove_file(goal);
        }
        return Err(error);
    }
    for goal in &goals {
        std::fs::remove_file(goal).map_err(|e| DataError::io("delete", goal, &e))?;
    }
    tell(on, FetchEvent::Converted { set: &set.name }, &tensors.samples.name)
}

//! Downloads of the public sets: several mirrors, resumed where they stopped, and verified before they count.
//!
//! A file arrives under its name with `.part`; what has arrived is kept and continued with an HTTP range, within one
//! call and in later ones. It gets its name only after its checksum is right: for MNIST and Fashion-MNIST the SHA-256 of
//! the decompressed content (mirrors may compress differently), for Ambiguous-MNIST the MD5 that its authors publish.
//! Ambiguous-MNIST comes as PyTorch tensors and is converted to IDX files here.

mod convert;
mod download;
#[cfg(test)]
mod tests;

use crate::error::DataError;
use crate::idx::{sibling, ungzip};
use crate::pt;
use crate::set::{FileReport, Half, Locations, Set, load_ambiguous};
use download::{Check, Job};
use sha2::{Digest, Sha256};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Where each set is downloaded from: addresses of folders, tried in order. `Default` is the public mirrors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// Folders with the four `.gz` files of MNIST.
    pub mnist: Vec<String>,
    /// Folders with the four `.gz` files of Fashion-MNIST.
    pub fashion_mnist: Vec<String>,
    /// Folders with `amnist_samples.pt`, `amnist_labels.pt` and `amnist_predictions.pt`.
    pub ambiguous_mnist: Vec<String>,
}

impl Default for Mirrors {
    fn default() -> Self {
        let owned = |urls: &[&str]| urls.iter().map(|&u| u.to_string()).collect();
        Self {
            mnist: owned(&[
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ]),
            fashion_mnist: owned(&[
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            ]),
            ambiguous_mnist: owned(&["https://github.com/BlackHC/ddu_dirty_mnist/releases/download/data-v1.0.0/"]),
        }
    }
}

impl Mirrors {
    /// The folders of a set.
    #[must_use]
    pub fn of(&self, set: Set) -> &[String] {
        match set {
            Set::Mnist => &self.mnist,
            Set::FashionMnist => &self.fashion_mnist,
            Set::AmbiguousMnist => &self.ambiguous_mnist,
        }
    }
}

/// What happens during [`fetch`]. `file` is the name of the file as it is downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent<'a> {
    /// The file is already there and correct; nothing is downloaded.
    Present {
        /// The file.
        file: &'static str,
    },
    /// A mirror has answered.
    Started {
        /// The file.
        file: &'static str,
        /// Its address.
        url: &'a str,
        /// Bytes that had arrived earlier and are not sent again.
        resumed: u64,
    },
    /// More has arrived.
    Progress {
        /// The file.
        file: &'static str,
        /// Bytes so far, those of earlier calls included.
        bytes: u64,
        /// Size of the whole file in bytes, where the mirror tells.
        total: Option<u64>,
    },
    /// A mirror has failed; the same one is asked to go on, or the next is tried, or none is left.
    Failed {
        /// The file.
        file: &'static str,
        /// The address that failed.
        url: &'a str,
        /// What happened, on one line.
        reason: &'a str,
    },
    /// The file has arrived and is correct.
    Verified {
        /// The file.
        file: &'static str,
    },
    /// Files have been converted to IDX.
    Converted {
        /// The set.
        set: Set,
    },
}

/// What is told of the progress; [`ControlFlow::Break`] stops the download, keeping what has arrived.
pub type OnEvent<'a> = dyn FnMut(FetchEvent<'_>) -> ControlFlow<()> + 'a;

const SUMS: [(Set, [&str; 4]); 2] = [
    (
        Set::Mnist,
        [
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ],
    ),
    (
        Set::FashionMnist,
        [
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ],
    ),
];

const ZIPPED: [&str; 4] = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
];

const TENSORS: [(&str, Check); 3] = [
    ("amnist_samples.pt", Check::Md5("4f7865093b1d28e34019847fab917722")),
    ("amnist_labels.pt", Check::Md5("3bfc055a9f91a76d8d493e8b898c3c95")),
    // No checksum is published; its shape and its sums are checked when it is converted.
    ("amnist_predictions.pt", Check::None),
];

/// Makes sure that a set lies complete and correct in `<root>/<set>/`, downloading what is not; answers with its files.
///
/// Files of MNIST and Fashion-MNIST that are there are verified and kept. Ambiguous-MNIST is kept when its six files are
/// there and fit together, whichever version they are, because a reconstruction has no published checksum.
///
/// # Errors
/// [`DataError::Download`] if no mirror delivers, [`DataError::Checksum`] if the only thing delivered is wrong (it is
/// deleted), [`DataError::Stopped`], [`DataError::Io`], and for Ambiguous-MNIST those of [`pt::read`],
/// [`DataError::WrongShape`], [`DataError::Label`], [`DataError::Intensity`] and [`DataError::Probabilities`].
pub fn fetch(set: Set, root: &Path, mirrors: &Mirrors, on: &mut OnEvent<'_>) -> Result<Vec<PathBuf>, DataError> {
    let folder = root.join(set.name());
    std::fs::create_dir_all(&folder).map_err(|e| DataError::io("make", &folder, &e))?;
    let locations = Locations::new(Some(root.into()), None, None);
    match SUMS.iter().find(|(s, _)| *s == set) {
        Some((_, sums)) => {
            for ((file, name), sum) in ZIPPED.iter().zip(set.files()).zip(sums) {
                fetch_idx(&folder, file, name, sum, mirrors.of(set), on)?;
            }
        }
        None => fetch_tensors(&folder, &locations, mirrors.of(set), on)?,
    }
    locations.find(set)
}

fn fetch_idx(
    folder: &Path,
    file: &'static str,
    name: &'static str,
    sum: &'static str,
    mirrors: &[String],
    on: &mut OnEvent<'_>,
) -> Result<(), DataError> {
    let goal = folder.join(file);
    if let Some(path) = FileReport::look(folder, name).path {
        // A damaged gzip stream is as wrong as another checksum.
        let found = sha256(&path).unwrap_or_else(|e| e.to_string());
        if found == sum {
            return tell(on, FetchEvent::Present { file }, file);
        }
        // A wrong `.gz` is replaced; a wrong plain file would hide the right one, and is not ours to delete.
        if path != goal {
            return Err(DataError::Checksum { path, kind: "SHA-256", found, wanted: sum });
        }
    }
    download::run(&Job { file, goal: &goal, check: Check::Sha256(sum), mirrors }, on)
}

fn fetch_tensors(
    folder: &Path,
    locations: &Locations,
    mirrors: &[String],
    on: &mut OnEvent<'_>,
) -> Result<(), DataError> {
    if [Half::Train, Half::Test].iter().all(|&half| load_ambiguous(half, locations).is_ok()) {
        return TENSORS.iter().try_for_each(|&(file, _)| tell(on, FetchEvent::Present { file }, file));
    }
    let goals = TENSORS.map(|(file, _)| folder.join(file));
    for (&(file, check), goal) in TENSORS.iter().zip(&goals) {
        if goal.is_file() && !matches!(check, Check::None) && check.verify(goal).is_ok() {
            tell(on, FetchEvent::Present { file }, file)?;
        } else {
            download::run(&Job { file, goal, check, mirrors }, on)?;
        }
    }
    let [samples, labels, predictions] = &goals;
    let result = convert::convert(
        folder,
        (samples, pt::read(samples)?),
        (labels, pt::read(labels)?),
        (predictions, pt::read(predictions)?),
    );
    if let Err(error) = result {
        // The one without a checksum is what can be at fault here: it is not kept for the next time.
        let _ = std::fs::remove_file(predictions);
        return Err(error);
    }
    for goal in &goals {
        std::fs::remove_file(goal).map_err(|e| DataError::io("delete", goal, &e))?;
    }
    tell(on, FetchEvent::Converted { set: Set::AmbiguousMnist }, TENSORS[0].0)
}

fn tell(on: &mut OnEvent<'_>, event: FetchEvent<'_>, file: &'static str) -> Result<(), DataError> {
    if on(event).is_break() { Err(DataError::Stopped { file }) } else { Ok(()) }
}

/// SHA-256 of the decompressed content of a file, in hexadecimal.
fn sha256(path: &Path) -> std::io::Result<String> {
    let (_, mut content) = ungzip(std::io::BufReader::new(std::fs::File::open(path)?))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn part_of(goal: &Path) -> PathBuf {
    sibling(goal, ".part")
}

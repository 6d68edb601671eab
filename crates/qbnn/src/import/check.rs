//! Does the imported network compute what its source does? The strongest test, and it needs no knowledge of the library: some
//! images and the logits that the source gives for them with every weight at its mean.
//!
//! A file `.npz` of two arrays: `images` `[N][rows][columns]`, `[N][rows][columns][channels]` or, as PyTorch has them,
//! `[N][channels][rows][columns]`, unsigned bytes as they are stored, and `logits` `[N][classes]`. Layouts, batch
//! normalisation, activation functions and the normalisation of pixels all show in it. Logarithms of probabilities are compared,
//! so that a source may give logits, logarithms of probabilities, or (told by their sums) probabilities.

use crate::error::{Error, Result};
use crate::input;
use qbnn_bnn::{Checkpoint, ImagesView, Normalisation};
use qbnn_core::Shape;
use qbnn_data::npy::{Values, read_npz};
use serde::Serialize;
use std::borrow::Cow;
use std::path::Path;

/// Most that a logarithm of a probability may differ, in nats; and as a share of the largest.
const TOLERANCE: (f64, f64) = (1e-3, 1e-5);

/// Means and standard deviations of pixels that are usual: none, to between -1 and 1, MNIST's, Fashion-MNIST's.
const USUAL: [(f32, f32); 5] = [(0.0, 1.0), (0.5, 0.5), (0.1307, 0.3081), (0.2860, 0.3530), (0.5, 1.0)];

/// Images and what the source's mean network says of them.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Sizes of an image as the file has them: three where channels are an axis.
    sizes: Vec<usize>,
    pixels: Vec<u8>,
    /// Logarithms of probabilities, `[image][class]`.
    logarithms: Vec<f64>,
    classes: usize,
    /// The least logarithm that is compared: probabilities in single precision have none far below.
    least: f64,
}

/// The least probability that is compared where the source gives probabilities.
const LEAST: f64 = 1e-6;

/// How far a network is from its source.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Images compared.
    pub images: usize,
    /// The largest difference of a logarithm of a probability, in nats.
    pub largest: f64,
    /// Images that both give the same class.
    pub same_class: usize,
    /// Most that `largest` may be.
    pub tolerance: f64,
}

impl Agreement {
    /// Whether both are the same network.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.largest <= self.tolerance
    }
}

impl Reference {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Arrays`] of what it lacks.
    pub fn read(path: &Path) -> Result<Self> {
        let fail = |problem: String| Error::Arrays { path: path.to_owned(), problem };
        let archive = read_npz(&input::bytes(path, input::PREDICTIONS)?, &["images", "logits"]).map_err(fail)?;
        let get = |name: &str| {
            archive.arrays.get(name).ok_or_else(|| {
                let names = archive.names.join(", ");
                fail(format!(
                    "it has no array {name} (it has {names}); wanted images [N][rows][columns] and logits [N][C]"
                ))
            })
        };
        let (images, logits) = (get("images")?, get("logits")?);
        let Values::Byte(pixels) = &images.values else {
            let found = images.values.what();
            return Err(fail(format!("images hold {found}; wanted unsigned bytes as stored: images.astype(np.uint8)")));
        };
        if !(3..=4).contains(&images.shape.len()) {
            return Err(fail(format!("images have shape {:?}; wanted [N][rows][columns]", images.shape)));
        }
        let Values::Float(logits_of) = &logits.values else {
            return Err(fail(format!("logits hold {}; wanted floating-point numbers", logits.values.what())));
        };
        let classes = match logits.shape[..] {
            [n, classes] if n == images.shape[0] && n > 0 && classes > 1 => classes,
            _ => {
                return Err(fail(format!(
                    "logits have shape {:?}, images {:?}; wanted [N][C] of the same N",
                    logits.shape, images.shape
                )));
            }
        };
        let is_one =
            |row: &[f64]| row.iter().all(|p| (0.0..=1.0).contains(p)) && (row.iter().sum::<f64>() - 1.0).abs() < 1e-3;
        let are_probabilities = logits_of.chunks_exact(classes).all(is_one);
        let of = |row: &[f64]| match are_probabilities {
            true => row.iter().map(|p| p.max(f64::MIN_POSITIVE).ln()).collect(),
            false => log_softmax(row),
        };
        Ok(Reference {
            sizes: images.shape[1..].to_vec(),
            pixels: pixels.clone(),
            logarithms: logits_of.chunks_exact(classes).flat_map(of).collect(),
            classes,
            least: if are_probabilities { LEAST.ln() } else { f64::NEG_INFINITY },
        })
    }

    /// The images with channels last, as a network reads that reads `input`.
    fn images(&self, input: Shape) -> (Shape, Cow<'_, [u8]>) {
        let stored = match self.sizes[..] {
            [rows, columns, channels] => Shape { channels, rows, columns },
            _ => Shape { channels: 1, rows: self.sizes[0], columns: self.sizes[1] },
        };
        let Shape { channels, rows, columns } = input;
        if stored == input || self.sizes != [channels, rows, columns] {
            return (stored, Cow::Borrowed(&self.pixels));
        }
        let places = rows * columns;
        let turned = |image: &'_ [u8]| -> Vec<u8> {
            (0..places).flat_map(|at| (0..channels).map(move |c| c * places + at)).map(|at| image[at]).collect()
        };
        (input, self.pixels.chunks_exact(input.len()).flat_map(turned).collect())
    }

    /// Compares the network of the means.
    ///
    /// # Errors
    /// [`Error::Bnn`] of images of another shape.
    pub fn compare(&self, checkpoint: &Checkpoint) -> Result<Agreement> {
        let (shape, pixels) = self.images(checkpoint.input);
        let images = ImagesView { shape, pixels: &pixels };
        let found: Vec<f64> = checkpoint.mean_logits(images)?.into_iter().map(f64::from).collect();
        if checkpoint.classes != self.classes {
            let problem = format!("logits are of {} classes, the network has {}", self.classes, checkpoint.classes);
            return Err(Error::settings("--check", problem));
        }
        let (mut largest, mut same_class, mut scale) = (0.0f64, 0, 0.0f64);
        let rows = found.chunks_exact(self.classes).zip(self.logarithms.chunks_exact(self.classes));
        for (found, wanted) in rows {
            let found = log_softmax(found);
            for (f, w) in found.iter().zip(wanted).map(|(f, w)| (f.max(self.least), w.max(self.least))) {
                // A number that is none differs by more than any.
                largest = if (f - w).is_finite() { largest.max((f - w).abs()) } else { f64::INFINITY };
                scale = scale.max(w.abs());
            }
            same_class += usize::from(largest_at(&found) == largest_at(wanted));
        }
        let tolerance = TOLERANCE.0 + TOLERANCE.1 * scale;
        Ok(Agreement { images: images.len(), largest, same_class, tolerance })
    }

    /// Other normalisations of pixels with which the network would agree, in words; for the message of one that does not.
    ///
    /// # Errors
    /// As [`Reference::compare`].
    pub fn other_normalisation(&self, checkpoint: &Checkpoint) -> Result<Option<Normalisation>> {
        for (mean, std) in USUAL {
            let normalisation = Normalisation { mean, std };
            let mut other = checkpoint.clone();
            other.normalisation = normalisation;
            if self.compare(&other)?.agrees() {
                return Ok(Some(normalisation));
            }
        }
        Ok(None)
    }
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = logits.iter().map(|l| (l - most).exp()).sum::<f64>().ln();
    logits.iter().map(|l| l - most - sum).collect()
}

fn largest_at(values: &[f64]) -> Option<usize> {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b]))
}

//! Does one analytic pass (PFP) say what draws of the same model say?
//!
//! A pass takes activations for Gaussian and independent, and knows no steps of their grids. Where that fails, as for
//! two-bit networks, it decides otherwise than the draws that it stands for, and its own answers do not show it. So a few
//! images are predicted both ways, and the differences are held against those of draws among themselves: two halves of
//! the draws differ by chance alone.

use crate::error::Result;
use qbnn_bnn::pfp;
use qbnn_bnn::predictor::{Draws, NoProgress, Predictor, Probabilities};
use qbnn_core::ImagesView;
use qbnn_eval::arg_max;

/// Most images that are predicted both ways: enough to see one in a hundred.
pub const IMAGES: usize = 512;

/// Most probabilities that a pass gives for them.
const NUMBERS: usize = 1 << 24;

/// Draws of each.
pub const DRAWS: usize = 32;

/// Share of the images whose class may differ beyond what draws among themselves do.
const CLASSES: f64 = 0.01;

/// Mean total variation distance of the probabilities beyond that of draws among themselves.
const DISTANCE: f64 = 0.03;

/// How far a pass is from draws, on some images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PassAgreement {
    /// Images.
    pub images: usize,
    /// Draws that the pass is held against.
    pub draws: usize,
    /// Images to which the pass and the mean of the draws give different classes.
    pub classes_differ: usize,
    /// The same of the two halves of the draws.
    pub classes_differ_by_chance: usize,
    /// Sum over the images of the total variation distance between the pass and the mean of the draws, each 0 to 1.
    distance: f64,
    /// The same of the two halves of the draws, halved: the mean of all draws is nearer to the truth than that of half of them.
    distance_by_chance: f64,
}

/// Half the sum of absolute differences of two distributions.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}

/// The mean distribution of an image over a range of draws.
fn mean(found: &Probabilities, image: usize, draws: std::ops::Range<usize>) -> Vec<f64> {
    let n = draws.len().max(1) as f64;
    let mut mean = vec![0.0; found.classes];
    for row in found.of_image(image).skip(draws.start).take(draws.len()) {
        mean.iter_mut().zip(row).for_each(|(mean, p)| *mean += p / n);
    }
    mean
}

impl PassAgreement {
    /// Of a pass and of draws on the first [`IMAGES`] of some images.
    ///
    /// # Errors
    /// Those of the predictors.
    pub fn of(pass: &mut dyn Predictor, draws: &mut dyn Predictor, images: ImagesView<'_>, seed: u64) -> Result<Self> {
        // A pass is read out at many points: with a thousand classes they are a hundred million numbers on all images.
        let most = NUMBERS / (pfp::POINTS * draws.classes().max(1));
        let images = first(images, IMAGES.min(most.max(1)));
        let one = Draws { count: 1, seed };
        let found = pass.predict(images, one, &mut NoProgress)?;
        let pass: Vec<_> = (0..found.images).map(|image| mean(&found, image, 0..found.draws)).collect();
        let mut agreement = Self::default();
        agreement.add(&pass, draws, images, seed)?;
        Ok(agreement)
    }

    /// Takes images in, for which a pass has given these probabilities.
    ///
    /// # Errors
    /// Those of the predictor.
    pub fn add(
        &mut self,
        pass: &[Vec<f64>],
        draws: &mut dyn Predictor,
        images: ImagesView<'_>,
        seed: u64,
    ) -> Result<()> {
        let found = draws.predict(images, Draws { count: DRAWS, seed }, &mut NoProgress)?;
        self.draws = found.draws;
        let half = found.draws / 2;
        for (image, pass) in pass.iter().enumerate().take(found.images) {
            let all = mean(&found, image, 0..found.draws);
            let halves = [mean(&found, image, 0..half), mean(&found, image, half..found.draws)];
            self.images += 1;
            self.classes_differ += usize::from(arg_max(pass).0 != arg_max(&all).0);
            self.classes_differ_by_chance += usize::from(arg_max(&halves[0]).0 != arg_max(&halves[1]).0);
            self.distance += distance(pass, &all);
            self.distance_by_chance += distance(&halves[0], &halves[1]) / 2.0;
        }
        Ok(())
    }

    /// Mean over the images of the total variation distance (0 to 1) between the probabilities of the pass and of the draws.
    pub fn distance(&self) -> f64 {
        self.distance / self.images.max(1) as f64
    }

    /// What of it chance explains: half the distance of the halves of the draws.
    pub fn distance_by_chance(&self) -> f64 {
        self.distance_by_chance / self.images.max(1) as f64
    }

    /// Whether the pass says something else than draws: its class differs for more than one image in a hundred beyond chance,
    /// and beyond three standard deviations of such a count; or its probabilities are farther away than `DISTANCE` beyond
    /// chance.
    pub fn is_apart(&self) -> bool {
        let (found, chance) = (self.classes_differ as f64, self.classes_differ_by_chance as f64);
        let beyond = found - chance;
        let classes = beyond > CLASSES * self.images as f64 && beyond > 3.0 * (found + chance).sqrt();
        classes || self.distance() > DISTANCE + self.distance_by_chance()
    }

    /// The warning about a model, in one line; `None` where the pass says what draws say.
    pub fn warning(&self, model: &str) -> Option<String> {
        self.is_apart().then(|| {
            format!(
                "{model}: one analytic pass (--pfp) leaves what draws say: on {} images it gives another class than {} draws to \
                 {} (two halves of the draws to {}), and its probabilities are {:.3} away ({:.3} by chance); use draws",
                self.images,
                self.draws,
                self.classes_differ,
                self.classes_differ_by_chance,
                self.distance(),
                self.distance_by_chance(),
            )
        })
    }
}

/// The first few of some images.
pub(crate) fn first(images: ImagesView<'_>, at_most: usize) -> ImagesView<'_> {
    let bytes = images.len().min(at_most) * images.shape.len();
    ImagesView { pixels: images.pixels.get(..bytes).unwrap_or(images.pixels), ..images }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;
    use crate::experiment;
    use crate::preprocess::Prepared;
    use qbnn_bnn::predictor::Export;
    use qbnn_bnn::train::train;
    use qbnn_bnn::{BnnError, Checkpoint};
    use std::ops::ControlFlow;

    /// A network that was trained on strokes, in such widths: how far its pass is from its draws.
    fn agreement(bits: &str) -> PassAgreement {
        let mut layers = Layers::default();
        for set in ["data.train_limit=3000", "data.group_limit=400", "network.name=mlp", "train.epochs=6"] {
            layers.set(set).unwrap();
        }
        layers.set("quantize.epochs=0").unwrap();
        layers.widths(bits.parse().unwrap());
        let config = layers.finish().unwrap();
        let dataset = experiment::load(&config).unwrap();
        let data = Prepared::new(&dataset);
        let (spec, _) = experiment::network(&config, &data).unwrap();
        let (classes, pixels) = (dataset.classes(), data.normalisation());
        let mut float = Checkpoint::new(&spec, data.shape(), classes, pixels, 1, config.train.clone()).unwrap();
        let train_data = data.train_data(&config.train, 1).unwrap();
        let mut save = |_: &Checkpoint| -> Result<(), BnnError> { Ok(()) };
        train(&mut float, &train_data, &mut |_| ControlFlow::Continue(()), &mut save).unwrap();
        let quantized = Checkpoint::quantized(float, config.quantize, &train_data).unwrap();
        let export = Export::new(&quantized);
        let mut pass = export.analytic(pfp::Weights::Stored).unwrap().unwrap();
        let mut draws = export.predictor().unwrap();
        PassAgreement::of(&mut pass, &mut *draws, dataset.validation.images.view(), 1).unwrap()
    }

    #[test]
    fn a_pass_is_near_draws_at_eight_bits_and_leaves_them_on_a_grid_that_clips() {
        // Eight bits have the stored moments nearly as they are; two bits of a drawn weight cut off what lies beyond.
        let (good, bad) = (agreement("w8a8"), agreement("mu4s4w2a2"));
        assert!(!good.is_apart() && good.warning("x").is_none(), "{good:?}");
        assert!(bad.is_apart(), "{bad:?}");
        assert_eq!((good.images, good.draws), (400, DRAWS));
        let warning = bad.warning("jq-w2a2").unwrap();
        assert!(warning.starts_with("jq-w2a2: ") && warning.contains("use draws"), "{warning}");
    }

    static PIXELS: [u8; 1000] = [0; 1000];

    /// Gives every image the same rows, one for each draw.
    struct Fixed(Vec<[f64; 2]>);

    impl Predictor for Fixed {
        fn input(&self) -> qbnn_core::Shape {
            qbnn_core::Shape { channels: 1, rows: 1, columns: 1 }
        }

        fn classes(&self) -> usize {
            2
        }

        fn backend(&self) -> qbnn_bnn::predictor::Backend {
            qbnn_bnn::predictor::Backend::Float
        }

        fn predict(
            &mut self,
            images: ImagesView<'_>,
            _: Draws,
            _: &mut dyn qbnn_bnn::predictor::Progress,
        ) -> Result<Probabilities, BnnError> {
            let values = self.0.iter().flat_map(|row| row.repeat(images.len())).collect();
            Ok(Probabilities {
                draws: self.0.len(),
                images: images.len(),
                classes: 2,
                values,
                energies: vec![0.0; self.0.len() * images.len()],
            })
        }
    }

    #[test]
    fn chance_is_what_the_halves_of_the_draws_differ_by() {
        let images = |n: usize| ImagesView { shape: Fixed(Vec::new()).input(), pixels: &PIXELS[..n] };
        let of = |pass: f64, draws: [f64; 2], n: usize| {
            let rows = |p: &[f64]| Fixed(p.iter().map(|&p| [p, 1.0 - p]).collect());
            PassAgreement::of(&mut rows(&[pass]), &mut rows(&draws), images(n), 1).unwrap()
        };
        let same = of(0.7, [0.7, 0.7], 1000);
        assert_eq!((same.images, same.classes_differ, same.is_apart()), (IMAGES, 0, false));
        // Another class for every image.
        assert!(of(0.4, [0.6, 0.6], 100).is_apart());
        // Draws that differ among themselves as much: by chance.
        let loose = of(0.49, [0.4, 0.62], 100);
        assert_eq!((loose.classes_differ, loose.classes_differ_by_chance), (100, 100));
        assert!((loose.distance() - 0.02).abs() < 1e-12 && (loose.distance_by_chance() - 0.11).abs() < 1e-12);
        assert!(!loose.is_apart());
        // The same class with other probabilities.
        assert!(of(0.9, [0.7, 0.7], 10).is_apart() && of(0.9, [0.7, 0.7], 10).classes_differ == 0);
        assert_eq!(PassAgreement::default().warning("none"), None);
    }
}

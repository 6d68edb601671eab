//! `strokes`: an embedded synthetic set of drawn digits, made from a seed in under a second, without any file.
//!
//! A digit is a few lines in one of several styles; a random hand jitters, bends, slants, turns, stretches and moves
//! them and draws with a pen of random width. The same seed gives the same bytes on every machine.
//!
//! **Ambiguous images** are drawn on the way from one digit to another: the strokes of a pair of digits are laid out
//! evenly and mixed with weight t, t uniform in [`MORPH`]. The probability of the second digit is [`chance`]`(t)`, of
//! the first one less that, of all others 0. Labels are drawn from exactly this law, so the soft label is not an
//! estimate: it is the distribution its labels come from, known before the image is drawn. Unambiguous digits are
//! drawn in their own styles or at ends of the same ways (t within 0.1 of an end), where the law gives certainty.
//!
//! **Foreign images** are by the same pen: letters unlike digits, signs, zigzags, spirals, stars, polygons, scribbles.
//!
//! Image number i of a group depends on the seed and i alone: a smaller set is the beginning of a larger one.

mod glyphs;
mod pen;

use crate::dataset::{Ambiguous, Dataset, Labelled, TestGroup, TrainSet};
use crate::descriptor::Catalogue;
use crate::error::DataError;
use crate::images::Images;
use crate::random::Random;
pub use pen::SIDE;
use pen::{Hand, Place, between, even, flatten, lines, turn};
use std::ops::Range;

/// Range of the weight t of the second digit in an ambiguous image.
pub const MORPH: Range<f64> = 0.25..0.75;

/// Labels drawn per ambiguous image.
pub const DRAWN: usize = 10;

/// The name of its descriptor, and of the dataset.
const NAME: &str = "strokes";

/// Digits.
const CLASSES: usize = 10;

/// Foreign shapes are wider than digits; drawn this much smaller they take about the same ink.
const FOREIGN_SIZE: f64 = 0.87;

/// The most images that a group may be asked to hold.
const MOST: usize = 1_000_000;

/// How many images of each kind are drawn: each 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Unambiguous training images, one pair each.
    pub train_clean: usize,
    /// Ambiguous training images, [`DRAWN`] pairs each.
    pub train_ambiguous: usize,
    /// Unambiguous images for validation.
    pub validation: usize,
    /// Unambiguous test images.
    pub clean: usize,
    /// Ambiguous test images.
    pub ambiguous: usize,
    /// Foreign test images.
    pub ood: usize,
}

impl Default for Sizes {
    /// 10,000 + 1,000 x [`DRAWN`] training pairs, 1,000 for validation, 2,000 clean, 1,000 ambiguous, 2,000 OOD.
    fn default() -> Self {
        Self {
            train_clean: 10_000,
            train_ambiguous: 1_000,
            validation: 1_000,
            clean: 2_000,
            ambiguous: 1_000,
            ood: 2_000,
        }
    }
}

impl Sizes {
    /// Training pairs, and images of each test group.
    pub(crate) fn extent(&self) -> (usize, Vec<usize>) {
        (self.train_clean + self.train_ambiguous * DRAWN, vec![self.clean, self.ambiguous, self.ood])
    }
}

/// The probability that an image with weight `t` (0 to 1) of the second digit has that digit's label: a smooth step
/// from 0 at t = 0.2 to 1 at t = 0.8, with one half at t = 0.5.
#[must_use]
pub fn chance(t: f64) -> f64 {
    let u = (t - 0.2) / 0.6;
    if u <= 0.0 {
        0.0
    } else if u >= 1.0 {
        1.0
    } else {
        u * u * (3.0 - 2.0 * u)
    }
}

/// Draws the set of a seed.
///
/// # Errors
/// [`DataError::Limit`] for a size outside 1 to 1,000,000.
pub fn dataset(seed: u64, sizes: &Sizes) -> Result<Dataset, DataError> {
    for (key, found) in [
        ("train_clean", sizes.train_clean),
        ("train_ambiguous", sizes.train_ambiguous),
        ("validation", sizes.validation),
        ("clean", sizes.clean),
        ("ambiguous", sizes.ambiguous),
        ("ood", sizes.ood),
    ] {
        if !(1..=MOST).contains(&found) {
            return Err(DataError::Limit { key, found, wanted: "1 to 1000000" });
        }
    }
    let (descriptor, composition) = Catalogue::built_in()?.dataset(NAME)?;
    let missing = || DataError::Descriptor { file: NAME.into(), reason: "dataset.drawn is missing".into() };
    let drawn = composition.drawn.as_ref().ok_or_else(missing)?;
    let mut train = TrainSet::of(clean(seed, 1, sizes.train_clean));
    train.append(&ambiguous(seed, 2, sizes.train_ambiguous), CLASSES);
    Ok(Dataset {
        name: descriptor.name.clone(),
        class_names: drawn.classes.clone(),
        train,
        validation: clean(seed, 3, sizes.validation),
        groups: vec![
            TestGroup::clean("clean", clean(seed, 4, sizes.clean)),
            TestGroup::ambiguous("ambiguous", ambiguous(seed, 5, sizes.ambiguous)),
            TestGroup::ood("ood", ood(seed, 6, sizes.ood)),
        ],
        train_noise: composition.train_noise,
        pixels: drawn.pixels,
        note: composition.note.clone(),
        left_out: Vec::new(),
    })
}

fn stream(seed: u64, group: u64, image: usize) -> Random {
    Random::new(seed, group << 32 | image as u64)
}

fn empty(images: usize) -> Images {
    Images { height: SIDE, width: SIDE, channels: 1, pixels: Vec::with_capacity(images * SIDE * SIDE) }
}

fn pick<T: Copy>(from: &[T], random: &mut Random) -> T {
    from[random.below(from.len() as u64) as usize]
}

fn clean(seed: u64, group: u64, count: usize) -> Labelled {
    let (mut images, mut labels) = (empty(count), Vec::with_capacity(count));
    for i in 0..count {
        let mut random = stream(seed, group, i);
        let digit = random.below(CLASSES as u64) as u8;
        // Which ends of ways are this digit: none of them is chosen by more than a third.
        let ends: Vec<_> = glyphs::PAIRS.iter().filter(|p| p.digits.contains(&digit)).collect();
        let drawing = if random.below(3) == 0 {
            let pair = pick(&ends, &mut random);
            let t = random.range(0.0, 0.1);
            morph(pair, if pair.digits[0] == digit { t } else { 1.0 - t }, &mut random)
        } else {
            lines(pick(glyphs::DIGITS[usize::from(digit)], &mut random), &mut random)
        };
        Hand::draw(&mut random).render(&drawing, &mut images.pixels);
        labels.push(digit.into());
    }
    Labelled { images, labels }
}

fn ambiguous(seed: u64, group: u64, count: usize) -> Ambiguous {
    let mut images = empty(count);
    let (mut labels, mut soft) = (Vec::with_capacity(count * DRAWN), vec![0.0; count * CLASSES]);
    for (i, row) in soft.chunks_mut(CLASSES).enumerate() {
        let mut random = stream(seed, group, i);
        let pair = pick(&glyphs::PAIRS, &mut random);
        let t = random.range(MORPH.start, MORPH.end);
        let second = chance(t);
        let [a, b] = pair.digits;
        row[usize::from(a)] = (1.0 - second) as f32;
        row[usize::from(b)] = second as f32;
        labels.extend((0..DRAWN).map(|_| u16::from(if random.unit() < second { b } else { a })));
        let drawing = morph(&pair, t, &mut random);
        Hand::draw(&mut random).render(&drawing, &mut images.pixels);
    }
    Ambiguous { images, drawn: DRAWN, labels, soft_labels: soft }
}

fn morph(pair: &glyphs::Pair, t: f64, random: &mut Random) -> Vec<Vec<Place>> {
    let [first, second] = pair.glyphs.map(|glyph| lines(glyph, random));
    let mix =
        |(a, b): (&Vec<Place>, &Vec<Place>)| even(a).into_iter().zip(even(b)).map(|(a, b)| between(a, b, t)).collect();
    first.iter().zip(&second).map(mix).collect()
}

fn ood(seed: u64, group: u64, count: usize) -> Images {
    let mut images = empty(count);
    for i in 0..count {
        let mut random = stream(seed, group, i);
        let mut drawing = match random.below(10) {
            0..=4 => lines(pick(&glyphs::FOREIGN, &mut random), &mut random),
            5 => vec![zigzag(&mut random)],
            6 => vec![spiral(&mut random)],
            7 => vec![polygon(&mut random, true)],
            8 => vec![polygon(&mut random, false)],
            _ => vec![scribble(&mut random)],
        };
        for place in drawing.iter_mut().flatten() {
            *place = between((0.5, 0.5), *place, FOREIGN_SIZE);
        }
        Hand::draw(&mut random).render(&drawing, &mut images.pixels);
    }
    images
}

/// A line across the box that turns back and forth, lying or standing.
fn zigzag(random: &mut Random) -> Vec<Place> {
    let turns = 5 + random.below(2);
    let (low, high) = (random.range(0.15, 0.35), random.range(0.65, 0.85));
    let stands = random.below(2) == 1;
    let place = |k: u64| {
        let (along, across) = (0.1 + 0.8 * k as f64 / turns as f64, if k.is_multiple_of(2) { low } else { high });
        if stands { (across, along) } else { (along, across) }
    };
    (0..=turns).map(place).collect()
}

/// One and three quarters to two and a quarter windings outwards.
fn spiral(random: &mut Random) -> Vec<Place> {
    let (cos, sin) = turn(if random.below(2) == 0 { 0.18 } else { -0.18 });
    let steps = 30 + random.below(12);
    let (mut x, mut y) = turn(random.range(-2.0, 2.0));
    let mut out = Vec::new();
    for k in 0..steps {
        let radius = 0.03 + 0.37 * k as f64 / steps as f64;
        out.push((0.5 + radius * x, 0.5 + radius * y));
        (x, y) = (cos * x - sin * y, sin * x + cos * y);
    }
    out
}

/// A closed polygon of 3 or 4 corners, or a star of 5 or 6.
fn polygon(random: &mut Random, star: bool) -> Vec<Place> {
    // Tangents of half the angle between neighbours: of 3 and 4 corners, and of 10 and 12 (a star has every second
    // corner further in).
    let (corners, tangent) = match (star, random.below(2)) {
        (false, 0) => (3, 1.7320508075688772),
        (false, _) => (4, 1.0),
        (true, 0) => (10, 0.3249196962329063),
        (true, _) => (12, 0.2679491924311227),
    };
    let (cos, sin) = turn(tangent);
    let (mut x, mut y) = turn(random.range(-1.0, 1.0));
    let inner = random.range(0.35, 0.5);
    let mut out = Vec::new();
    for k in 0..corners {
        let radius = 0.36 * if star && k % 2 == 1 { inner } else { random.range(0.85, 1.1) };
        out.push((0.5 + radius * x, 0.5 + radius * y));
        (x, y) = (cos * x - sin * y, sin * x + cos * y);
    }
    out.push(out[0]);
    out
}

/// A smooth line through places at random, far enough from each other, too many for a digit.
fn scribble(random: &mut Random) -> Vec<Place> {
    let mut points: Vec<glyphs::Point> = Vec::new();
    while points.len() < 6 {
        let (x, y) = (random.range(0.12, 0.88), random.range(0.12, 0.88));
        let far = points.last().is_none_or(|p| (p.x - x) * (p.x - x) + (p.y - y) * (p.y - y) > 0.12);
        if far {
            points.push(glyphs::Point { x, y, corner: false });
        }
    }
    flatten(&points)
}

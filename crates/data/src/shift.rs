//! Shifted images: test images changed in a known way and by a known degree, with their labels kept.
//!
//! Accuracy and calibration on test images like those of the training say little about a camera that is turned, out of
//! focus or half covered. Seven changes, each in five severities, as corruption benchmarks have them (Hendrycks and
//! Dietterich 2019, arXiv 1903.12261). The degrees are our own and are stated at each [`Shift`]. What is random in a
//! change (a direction, a place, noise) depends on the shift, its severity and the place of the image alone, so that a
//! group is the same on every machine and for every seed of an experiment. Lengths are shares of an image's side.

use crate::images::Images;
use crate::random::Random;
use std::fmt;
use std::str::FromStr;

/// The stream of random numbers.
const STREAM: u64 = 0x7368_6966_7400_0000;

/// A change of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shift {
    /// Turned about its centre, left or right, by 15, 30, 45, 60, 75 degrees.
    Rotation,
    /// Gaussian noise with a standard deviation of 0.1, 0.2, 0.3, 0.4, 0.5 of the full range, on every value.
    Noise,
    /// A binomial filter, which is a Gaussian blur of 0.7, 1, 1.4, 2, 2.8 pixels.
    Blur,
    /// Moved in one of eight directions by 2, 3, 4, 5, 6 of 28 parts of the side.
    Translation,
    /// Contrast about the mean of the image times 0.75, 0.5, 0.35, 0.2, 0.1.
    Contrast,
    /// A black square at a random place, its side 0.2, 0.3, 0.4, 0.5, 0.6 of the shorter side.
    Occlusion,
    /// On the way to its negative by 0.2, 0.4, 0.6, 0.8, 1.
    Inversion,
}

/// A shift and its severity, written `rotation@3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shifted {
    /// What is changed.
    pub shift: Shift,
    /// By how much, from 1 to 5.
    severity: u8,
}

impl Shift {
    /// Every shift.
    pub const ALL: [Self; 7] =
        [Self::Rotation, Self::Noise, Self::Blur, Self::Translation, Self::Contrast, Self::Occlusion, Self::Inversion];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rotation => "rotation",
            Self::Noise => "noise",
            Self::Blur => "blur",
            Self::Translation => "translation",
            Self::Contrast => "contrast",
            Self::Occlusion => "occlusion",
            Self::Inversion => "inversion",
        }
    }

    /// The shift in each severity, the mildest first.
    #[must_use]
    pub fn severities(self) -> [Shifted; 5] {
        [1, 2, 3, 4, 5].map(|severity| Shifted { shift: self, severity })
    }
}

impl Shifted {
    /// What is changed, by how much; `None` for a severity that is not from 1 to 5.
    #[must_use]
    pub fn new(shift: Shift, severity: u8) -> Option<Self> {
        (1..=5).contains(&severity).then_some(Self { shift, severity })
    }

    /// The name of a test group that is made so: `rotation-3`.
    #[must_use]
    pub fn group(self) -> String {
        format!("{}-{}", self.shift.name(), self.severity)
    }

    /// What is changed.
    #[must_use]
    pub fn shift(self) -> Shift {
        self.shift
    }

    /// By how much, from 1 to 5.
    #[must_use]
    pub fn severity(self) -> u8 {
        self.severity
    }

    /// The images, changed; of their number and size.
    #[must_use]
    pub fn of(self, images: &Images) -> Images {
        self.of_places(images, &(0..images.len()).collect::<Vec<_>>())
    }

    /// The images at some places, each changed as it is among all of them.
    #[must_use]
    pub fn of_places(self, images: &Images, places: &[usize]) -> Images {
        let mut pixels = Vec::with_capacity(places.len() * images.size());
        for (i, image) in places.iter().filter_map(|&i| Some((i, images.get(i)?))) {
            let stream = STREAM | u64::from(self.severity) << 8 | self.shift as u64;
            let mut random = Random::new(i as u64, stream);
            pixels.extend(self.image(images, image, &mut random));
        }
        Images { pixels, ..*images }
    }

    /// The degree of this severity.
    fn degree(self, degrees: [f64; 5]) -> f64 {
        degrees[usize::from(self.severity.clamp(1, 5)) - 1]
    }

    fn image(self, like: &Images, image: &[u8], random: &mut Random) -> Vec<u8> {
        match self.shift {
            Shift::Rotation => rotate(like, image, self.turn(random)),
            Shift::Noise => {
                let deviation = 255.0 * self.degree([0.1, 0.2, 0.3, 0.4, 0.5]);
                image.iter().map(|&p| byte(f64::from(p) + deviation * random.normal())).collect()
            }
            Shift::Blur => {
                let mut values: Vec<f64> = image.iter().map(|&p| f64::from(p)).collect();
                // A pass of [1 2 1] / 4 adds a variance of a half.
                for _ in 0..self.degree([1.0, 2.0, 4.0, 8.0, 16.0]) as usize {
                    values = smooth(like, &values);
                }
                values.into_iter().map(byte).collect()
            }
            Shift::Translation => {
                const WAYS: [(f64, f64); 8] = [
                    (0.0, 1.0),
                    (1.0, 1.0),
                    (1.0, 0.0),
                    (1.0, -1.0),
                    (0.0, -1.0),
                    (-1.0, -1.0),
                    (-1.0, 0.0),
                    (-1.0, 1.0),
                ];
                let (down, right) = WAYS[random.below(8) as usize];
                let share = self.degree([2.0, 3.0, 4.0, 5.0, 6.0]) / 28.0;
                let (down, right) =
                    ((down * share * like.height as f64).round(), (right * share * like.width as f64).round());
                taken_from(like, image, |row, column| (row - down, column - right))
            }
            Shift::Contrast => {
                let kept = self.degree([0.75, 0.5, 0.35, 0.2, 0.1]);
                let mean = image.iter().map(|&p| f64::from(p)).sum::<f64>() / image.len().max(1) as f64;
                image.iter().map(|&p| byte(mean + (f64::from(p) - mean) * kept)).collect()
            }
            Shift::Occlusion => {
                let side = self.degree([0.2, 0.3, 0.4, 0.5, 0.6]) * like.height.min(like.width) as f64;
                cover(like, image, (side.round() as usize).max(1), random)
            }
            Shift::Inversion => {
                let way = self.degree([0.2, 0.4, 0.6, 0.8, 1.0]);
                image.iter().map(|&p| byte(f64::from(p) + (255.0 - 2.0 * f64::from(p)) * way)).collect()
            }
        }
    }

    /// (cosine, sine) of the angle. They are written down: no platform's functions can change a bit.
    fn turn(self, random: &mut Random) -> (f64, f64) {
        let cosine = self.degree([
            0.965_925_826_289_068_3,
            0.866_025_403_784_438_6,
            std::f64::consts::FRAC_1_SQRT_2,
            0.5,
            0.258_819_045_102_520_74,
        ]);
        let sine = self.degree([
            0.258_819_045_102_520_74,
            0.5,
            std::f64::consts::FRAC_1_SQRT_2,
            0.866_025_403_784_438_6,
            0.965_925_826_289_068_3,
        ]);
        (cosine, if random.below(2) == 0 { sine } else { -sine })
    }
}

/// The nearest byte.
fn byte(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// Each place takes the value of another one, bilinear between pixels; beyond the edge is the nearest pixel of the edge.
fn taken_from(like: &Images, image: &[u8], from: impl Fn(f64, f64) -> (f64, f64)) -> Vec<u8> {
    let split = |at: f64, side: usize| {
        let at = at.clamp(0.0, (side.max(1) - 1) as f64);
        let low = at as usize;
        (low, (low + 1).min(side.max(1) - 1), at - low as f64)
    };
    let mut out = Vec::with_capacity(image.len());
    for row in 0..like.height {
        for column in 0..like.width {
            let (r, c) = from(row as f64, column as f64);
            let ((top, bottom, down), (left, right, across)) = (split(r, like.height), split(c, like.width));
            for channel in 0..like.channels {
                let at = |r: usize, c: usize| f64::from(image[(r * like.width + c) * like.channels + channel]);
                let upper = at(top, left) * (1.0 - across) + at(top, right) * across;
                let lower = at(bottom, left) * (1.0 - across) + at(bottom, right) * across;
                out.push(byte(upper * (1.0 - down) + lower * down));
            }
        }
    }
    out
}

fn rotate(like: &Images, image: &[u8], (cosine, sine): (f64, f64)) -> Vec<u8> {
    let (y, x) = ((like.height.max(1) - 1) as f64 / 2.0, (like.width.max(1) - 1) as f64 / 2.0);
    taken_from(like, image, |row, column| {
        let (down, right) = (row - y, column - x);
        (y + cosine * down - sine * right, x + sine * down + cosine * right)
    })
}

/// One pass of [1 2 1] / 4 along rows and columns; beyond the edge is the pixel of the edge.
fn smooth(like: &Images, values: &[f64]) -> Vec<f64> {
    let pass = |values: &[f64], length: usize, stride: usize| -> Vec<f64> {
        let one = |(i, &value): (usize, &f64)| {
            let at = i / stride % length;
            let before = if at > 0 { values[i - stride] } else { value };
            let after = if at + 1 < length { values[i + stride] } else { value };
            0.25 * before + 0.5 * value + 0.25 * after
        };
        values.iter().enumerate().map(one).collect()
    };
    let along = pass(values, like.width, like.channels);
    pass(&along, like.height, like.width * like.channels)
}

fn cover(like: &Images, image: &[u8], side: usize, random: &mut Random) -> Vec<u8> {
    let top = random.below((like.height - side.min(like.height) + 1) as u64) as usize;
    let left = random.below((like.width - side.min(like.width) + 1) as u64) as usize;
    let mut out = image.to_vec();
    for row in top..(top + side).min(like.height) {
        let start = (row * like.width + left) * like.channels;
        let end = (row * like.width + (left + side).min(like.width)) * like.channels;
        out[start..end].fill(0);
    }
    out
}

impl fmt::Display for Shifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.shift.name(), self.severity)
    }
}

impl FromStr for Shifted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = text.split_once('@').and_then(|(name, severity)| {
            let shift = Shift::ALL.into_iter().find(|s| s.name() == name)?;
            let severity = severity.parse().ok().filter(|s| (1..=5).contains(s))?;
            Some(Shifted { shift, severity })
        });
        known.ok_or_else(|| {
            let names = Shift::ALL.map(Shift::name).join(", ");
            format!("`{text}` is no shift; wanted SHIFT@SEVERITY with a shift among {names} and a severity from 1 to 5")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(height: usize, width: usize, channels: usize) -> Images {
        let value = |i: usize| ((i * 73 + i / width * 41) % 256) as u8;
        Images { height, width, channels, pixels: (0..4 * height * width * channels).map(value).collect() }
    }

    /// Mean absolute change of a value.
    fn change(a: &Images, b: &Images) -> f64 {
        let sum: u64 = a.pixels.iter().zip(&b.pixels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / a.pixels.len() as f64
    }

    /// A bright bar on black, as digits are: what moves is seen.
    fn bars() -> Images {
        let bar = |i: usize| if (8..20).contains(&(i / 28 % 28)) && (12..16).contains(&(i % 28)) { 255 } else { 0 };
        Images { height: 28, width: 28, channels: 1, pixels: (0..16 * 784).map(bar).collect() }
    }

    #[test]
    fn every_shift_keeps_number_and_size_and_grows_with_its_severity() {
        for of in [bars(), images(9, 5, 3), images(1, 1, 1), images(2, 7, 1)] {
            for shift in Shift::ALL {
                let made = shift.severities().map(|s| s.of(&of));
                for (shifted, made) in shift.severities().iter().zip(&made) {
                    assert_eq!((made.len(), made.shape()), (of.len(), of.shape()), "{shifted}");
                    assert_eq!(*made, shifted.of(&of), "{shifted}");
                }
            }
        }
        for shift in Shift::ALL {
            let changes = shift.severities().map(|s| change(&bars(), &s.of(&bars())));
            assert!(changes[0] > 0.5, "{}: {changes:?}", shift.name());
            assert!(changes.windows(2).all(|w| w[0] < w[1] * 1.02) && changes[0] < changes[4], "{changes:?}");
        }
        assert!(Shift::Noise.severities()[0].of(&Images { pixels: Vec::new(), ..bars() }).is_empty());
    }

    #[test]
    fn shifts_do_what_their_names_say() {
        let of = images(12, 12, 3);
        let by = |shift: Shift, severity: usize| shift.severities()[severity - 1].of(&of);
        let negative: Vec<u8> = of.pixels.iter().map(|p| 255 - p).collect();
        assert_eq!(by(Shift::Inversion, 5).pixels, negative);
        // A place that was black before may be black by itself.
        let black = |images: &Images| images.pixels.chunks(3).filter(|p| *p == [0, 0, 0]).count();
        let covered = black(&by(Shift::Occlusion, 4)) - black(&of);
        assert_eq!(covered, 4 * 6 * 6, "a square of half the side in each of four images");
        // Of a constant image only noise, cover and inversion are seen.
        let grey = Images { pixels: vec![90; of.pixels.len()], ..of };
        for shift in [Shift::Rotation, Shift::Blur, Shift::Translation, Shift::Contrast] {
            assert!(shift.severities().iter().all(|s| s.of(&grey) == grey), "{}", shift.name());
        }
        let noise = Shift::Noise.severities()[1].of(&Images { pixels: vec![128; 4 * 432], ..grey });
        let variance = noise.pixels.iter().map(|&p| (f64::from(p) - 128.0).powi(2)).sum::<f64>() / (4.0 * 432.0);
        assert!((variance.sqrt() / 51.0 - 1.0).abs() < 0.06, "{variance}");
    }

    #[test]
    fn turns_are_by_multiples_of_fifteen_degrees() {
        // cos 15 = sin 75: the tables of both belong together; a turn keeps lengths.
        let pairs = Shift::Rotation.severities().map(|s| s.turn(&mut Random::new(1, 1)));
        for (i, (cosine, sine)) in pairs.iter().enumerate() {
            assert!((cosine * cosine + sine * sine - 1.0).abs() < 1e-15);
            assert_eq!(cosine.to_bits(), pairs[4 - i].1.abs().to_bits());
            assert!((cosine.acos().to_degrees() - 15.0 * (i as f64 + 1.0)).abs() < 1e-9);
        }
    }

    #[test]
    fn the_bytes_of_a_group_never_change() {
        // FNV-1a over the bytes: a group is part of what a published figure means.
        let hash = |images: &Images| {
            images
                .pixels
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
        };
        let all = Shift::ALL.map(|shift| hash(&shift.severities()[2].of(&images(28, 28, 1))));
        assert_eq!(all, KNOWN, "{all:#x?}");
    }

    const KNOWN: [u64; 7] = [
        0x9ac5_3544_66bb_914e,
        0x43b3_88a3_c8a8_0e9b,
        0x8685_5f41_495e_0feb,
        0x4d1b_46b7_f77e_581d,
        0xe223_64c9_41ae_d7fb,
        0xc133_a29c_5b10_9493,
        0xff25_e39c_6151_7a77,
    ];

    #[test]
    fn names_are_read_back_and_others_refused() {
        for shifted in Shift::ALL.into_iter().flat_map(Shift::severities) {
            assert_eq!(shifted.to_string().parse(), Ok(shifted));
        }
        for wrong in ["rotation", "rotation@0", "rotation@6", "turn@3", "@3", "rotation@x"] {
            let error = wrong.parse::<Shifted>().unwrap_err();
            assert!(error.contains("rotation, noise") && error.contains("1 to 5"), "{error}");
        }
    }
}

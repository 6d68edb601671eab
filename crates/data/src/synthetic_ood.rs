//! Synthetic OOD images, made from the training images: a trainer shows them to a network as what belongs to no class,
//! without a second dataset and without the test groups.
//!
//! Each kind destroys the class of an image and keeps something else. Kinds are made in equal parts. A kind that lies on the
//! way from an image to a changed image of the same class costs accuracy there.

mod fields;

use crate::images::Images;
use crate::random::Random;
use std::fmt;
use std::str::FromStr;

/// Tiles per side.
const TILES: usize = 4;

/// The stream of random numbers.
const STREAM: u64 = 0x0066_6f72_6569_676e;

/// A kind of synthetic OOD images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An image in 4 x 4 tiles that have changed places: its strokes, without their order.
    Tiles,
    /// The negative of an image: its order, in the wrong ink.
    Negatives,
    /// Smooth random stains: neither.
    Stains,
    /// 4 x 4 tiles, each of another image and another place: strokes of several classes.
    Mixtures,
    /// Noise in octaves whose amplitudes fall with their frequency, as those of natural images do (Field 1987), with a random
    /// brightness and contrast.
    Textures,
    /// Large random shapes filled with such a texture, on the background of an image.
    Shapes,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Tiles, Self::Negatives, Self::Stains, Self::Mixtures, Self::Textures, Self::Shapes];

    /// Those of version 0.1, before kinds could be chosen.
    pub const OF_0_1: [Self; 3] = [Self::Tiles, Self::Negatives, Self::Stains];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiles => "tiles",
            Self::Negatives => "negatives",
            Self::Stains => "stains",
            Self::Mixtures => "mixtures",
            Self::Textures => "textures",
            Self::Shapes => "shapes",
        }
    }
}

/// `count` synthetic OOD images of some kinds, made from `images`, of their size; none where there are no images or no kinds.
/// The same seed gives the same bytes, and a smaller number of them is the beginning of a larger one. The order of the kinds
/// does not matter.
#[must_use]
pub fn from_images(images: &Images, count: usize, seed: u64, kinds: &[Kind]) -> Images {
    let mut kinds = kinds.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    let mut pixels = Vec::with_capacity(count * images.size());
    let mut random = Random::new(seed, STREAM);
    for _ in 0..count {
        let place = random.below(images.len() as u64) as usize;
        let Some(image) = images.get(place).filter(|_| !kinds.is_empty()) else { break };
        match kinds[random.below(kinds.len() as u64) as usize] {
            Kind::Tiles => pixels.extend(tiles(images, image, &mut random)),
            Kind::Negatives => pixels.extend(image.iter().map(|p| 255 - p)),
            Kind::Stains => pixels.extend(fields::stains(images, &mut random)),
            Kind::Mixtures => pixels.extend(mixture(images, image, &mut random)),
            Kind::Textures => pixels.extend(fields::texture(images, &mut random)),
            Kind::Shapes => pixels.extend(fields::shapes(images, image, &mut random)),
        }
    }
    Images { pixels, ..*images }
}

/// Height and width of a tile.
fn tile(like: &Images) -> (usize, usize) {
    ((like.height / TILES).max(1), (like.width / TILES).max(1))
}

/// The image with its tiles in another order.
fn tiles(like: &Images, image: &[u8], random: &mut Random) -> Vec<u8> {
    let (height, width) = tile(like);
    let (rows, columns) = (like.height / height, like.width / width);
    let mut order: Vec<usize> = (0..rows * columns).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    let mut out = image.to_vec();
    for (to, from) in order.into_iter().enumerate() {
        let corner = |tile: usize| (tile / columns * height * like.width + tile % columns * width) * like.channels;
        for row in 0..height {
            let (to, from) =
                (corner(to) + row * like.width * like.channels, corner(from) + row * like.width * like.channels);
            out[to..to + width * like.channels].copy_from_slice(&image[from..from + width * like.channels]);
        }
    }
    out
}

/// An image whose tiles are each those of another image, from another place.
fn mixture(like: &Images, image: &[u8], random: &mut Random) -> Vec<u8> {
    let (height, width) = tile(like);
    let (rows, columns) = (like.height / height, like.width / width);
    let mut out = image.to_vec();
    for to in 0..rows * columns {
        let Some(other) = like.get(random.below(like.len() as u64) as usize) else { break };
        let from = random.below((rows * columns) as u64) as usize;
        let corner = |tile: usize| (tile / columns * height * like.width + tile % columns * width) * like.channels;
        for row in 0..height {
            let line = row * like.width * like.channels;
            let (to, from) = (corner(to) + line, corner(from) + line);
            out[to..to + width * like.channels].copy_from_slice(&other[from..from + width * like.channels]);
        }
    }
    out
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            format!(
                "`{name}` is no kind of synthetic OOD images; wanted some of {}",
                Self::ALL.map(Self::name).join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: u64 = 0xe5f9_fe9f_eec0_dc4f;

    fn images(height: usize, width: usize, channels: usize) -> Images {
        let pixels = (0..5 * height * width * channels).map(|i| (i * 31 % 251) as u8).collect();
        Images { height, width, channels, pixels }
    }

    fn sorted(pixels: &[u8]) -> Vec<u8> {
        let mut pixels = pixels.to_vec();
        pixels.sort_unstable();
        pixels
    }

    #[test]
    fn they_are_of_one_size_repeat_and_grow_at_the_end() {
        for of in [images(28, 28, 1), images(9, 5, 3), images(1, 1, 1), images(2, 3, 1)] {
            let made = from_images(&of, 40, 7, &Kind::ALL);
            assert_eq!((made.len(), made.size()), (40, of.size()));
            assert_eq!(made, from_images(&of, 40, 7, &Kind::ALL));
            assert!(made.pixels.starts_with(&from_images(&of, 11, 7, &Kind::ALL).pixels));
        }
        let of = images(28, 28, 1);
        assert_ne!(from_images(&of, 40, 7, &Kind::ALL), from_images(&of, 40, 8, &Kind::ALL));
        assert!(from_images(&Images { pixels: Vec::new(), ..of.clone() }, 40, 7, &Kind::ALL).is_empty());
    }

    #[test]
    fn each_kind_keeps_what_it_says_and_none_is_an_image() {
        let of = images(28, 28, 1);
        let originals: Vec<&[u8]> = (0..of.len()).filter_map(|i| of.get(i)).collect();
        let made = from_images(&of, 300, 1, &Kind::OF_0_1);
        let mut kinds = [0; 3];
        for i in 0..made.len() {
            let image = made.get(i).unwrap_or_default();
            assert!(!originals.contains(&image), "image {i} is an image of its set");
            let negative: Vec<u8> = image.iter().map(|p| 255 - p).collect();
            let kind = if originals.contains(&&negative[..]) {
                1
            } else if originals.iter().any(|original| sorted(original) == sorted(image)) {
                0
            } else {
                2
            };
            kinds[kind] += 1;
        }
        assert!(kinds.iter().all(|&n| (70..130).contains(&n)), "tiles, negatives, stains: {kinds:?}");
    }

    #[test]
    fn kinds_of_0_1_have_the_bytes_of_0_1_and_their_order_does_not_matter() {
        // FNV-1a: what checkpoints of 0.1 were trained with.
        let of = images(28, 28, 1);
        let made = from_images(&of, 30, 5, &Kind::OF_0_1);
        let hash = made
            .pixels
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        assert_eq!(hash, KNOWN, "{hash:#x}");
        assert_eq!(made, from_images(&of, 30, 5, &[Kind::Stains, Kind::Tiles, Kind::Negatives, Kind::Tiles]));
        assert!(from_images(&of, 30, 5, &[]).is_empty());
    }

    #[test]
    fn kinds_are_known_by_name() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let error = "tile".parse::<Kind>().unwrap_err();
        assert!(error.contains("`tile` is no kind") && error.contains("tiles, negatives, stains"), "{error}");
    }

    #[test]
    fn a_mixture_takes_tiles_of_several_images() {
        // Image i has the value i everywhere.
        let pixels = (0..50 * 784).map(|i| (i / 784) as u8).collect();
        let of = Images { height: 28, width: 28, channels: 1, pixels };
        let made = from_images(&of, 20, 1, &[Kind::Mixtures]);
        for image in (0..20).filter_map(|i| made.get(i)) {
            let mut values = image.to_vec();
            values.sort_unstable();
            values.dedup();
            assert!((8..=16).contains(&values.len()), "{values:?}");
        }
    }
}

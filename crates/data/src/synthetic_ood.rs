//! Synthetic OOD images, made from the training images: a trainer shows them to a network as what belongs to no class,
//! without a second dataset and without the test groups.
//!
//! Three kinds, in equal parts, each keeping something of an image and destroying its class: the image in tiles that have
//! changed places (the strokes, without their order), its negative (the order, in the wrong ink), and smooth random
//! stains (neither).

use crate::images::Images;
use crate::random::Random;

/// Tiles per side.
const TILES: usize = 4;

/// The stream of random numbers.
const STREAM: u64 = 0x0066_6f72_6569_676e;

/// `count` synthetic OOD images made from `images`, of their size; none where there are none. The same seed gives the
/// same bytes, and a smaller number of them is the beginning of a larger one.
#[must_use]
pub fn from_images(images: &Images, count: usize, seed: u64) -> Images {
    let mut pixels = Vec::with_capacity(count * images.size());
    let mut random = Random::new(seed, STREAM);
    for _ in 0..count {
        let Some(image) = images.get(random.below(images.len() as u64) as usize) else { break };
        match random.below(3) {
            0 => pixels.extend(tiles(images, image, &mut random)),
            1 => pixels.extend(image.iter().map(|p| 255 - p)),
            _ => pixels.extend(stains(images, &mut random)),
        }
    }
    Images { pixels, ..*images }
}

/// The image with its tiles in another order.
fn tiles(like: &Images, image: &[u8], random: &mut Random) -> Vec<u8> {
    let (height, width) = ((like.height / TILES).max(1), (like.width / TILES).max(1));
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

/// Random values on a coarse grid of 2 to 8 points a side, bilinear between them, with more contrast than a mean has.
fn stains(like: &Images, random: &mut Random) -> Vec<u8> {
    let points = 2 + random.below(7) as usize;
    let contrast = random.range(1.0, 4.0);
    let grid: Vec<f64> = (0..points * points * like.channels).map(|_| random.unit()).collect();
    let value = |row: usize, column: usize, channel: usize| {
        let place = |at: usize, of: usize| {
            let x = at as f64 * (points - 1) as f64 / (of.max(2) - 1) as f64;
            let low = (x as usize).min(points - 2);
            (low, x - low as f64)
        };
        let ((top, down), (left, right)) = (place(row, like.height), place(column, like.width));
        let at = |r: usize, c: usize| grid[((top + r) * points + left + c) * like.channels + channel];
        let upper = at(0, 0) * (1.0 - right) + at(0, 1) * right;
        let lower = at(1, 0) * (1.0 - right) + at(1, 1) * right;
        let mean = upper * (1.0 - down) + lower * down;
        ((0.5 + (mean - 0.5) * contrast) * 255.0).round().clamp(0.0, 255.0) as u8
    };
    let places = (0..like.height).flat_map(|r| (0..like.width).map(move |c| (r, c)));
    places
        .flat_map(|(r, c)| (0..like.channels).map(move |channel| (r, c, channel)))
        .map(|(r, c, k)| value(r, c, k))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let made = from_images(&of, 40, 7);
            assert_eq!((made.len(), made.size()), (40, of.size()));
            assert_eq!(made, from_images(&of, 40, 7));
            assert!(made.pixels.starts_with(&from_images(&of, 11, 7).pixels));
        }
        let of = images(28, 28, 1);
        assert_ne!(from_images(&of, 40, 7), from_images(&of, 40, 8));
        assert!(from_images(&Images { pixels: Vec::new(), ..of }, 40, 7).is_empty());
    }

    #[test]
    fn each_kind_keeps_what_it_says_and_none_is_an_image() {
        let of = images(28, 28, 1);
        let originals: Vec<&[u8]> = (0..of.len()).filter_map(|i| of.get(i)).collect();
        let made = from_images(&of, 300, 1);
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
    fn stains_are_smooth() {
        let of = images(28, 28, 1);
        let stain = stains(&of, &mut Random::new(3, 4));
        // 7 cells at most over 27 steps, with a contrast of at most 4.
        let steepest = stain.chunks(28).flat_map(|row| row.windows(2)).map(|w| w[0].abs_diff(w[1])).max();
        assert!(steepest.is_some_and(|s| s > 0 && f64::from(s) <= 255.0 * 4.0 * 7.0 / 27.0 + 1.0), "{steepest:?}");
    }
}

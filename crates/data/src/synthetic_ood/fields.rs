//! Random fields over an image: stains, textures, shapes. Exact operations alone, so that they are the same everywhere.

use crate::images::Images;
use crate::random::Random;

/// Random values on a coarse grid of 2 to 8 points a side, bilinear between them, with more contrast than a mean has.
pub(super) fn stains(like: &Images, random: &mut Random) -> Vec<u8> {
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

/// Random values in 0..1 on a grid of so many points a side, bilinear between them: rows x columns.
fn field(like: &Images, points: usize, random: &mut Random) -> Vec<f64> {
    let grid: Vec<f64> = (0..points * points).map(|_| random.unit()).collect();
    let place = |at: usize, of: usize| {
        let x = at as f64 * (points - 1) as f64 / (of.max(2) - 1) as f64;
        let low = (x as usize).min(points - 2);
        (low, x - low as f64)
    };
    let mut out = Vec::with_capacity(like.height * like.width);
    for (top, down) in (0..like.height).map(|row| place(row, like.height)) {
        for (left, right) in (0..like.width).map(|column| place(column, like.width)) {
            let at = |r: usize, c: usize| grid[(top + r) * points + left + c];
            let upper = at(0, 0) * (1.0 - right) + at(0, 1) * right;
            let lower = at(1, 0) * (1.0 - right) + at(1, 1) * right;
            out.push(upper * (1.0 - down) + lower * down);
        }
    }
    out
}

/// Octaves of noise: each has twice the frequency of the one before and `fall` times its amplitude. Mean 0, standard
/// deviation 1.
fn octaves(like: &Images, fall: f64, random: &mut Random) -> Vec<f64> {
    let mut sum = vec![0.0; like.height * like.width];
    let mut amplitude = 1.0;
    for points in [3, 5, 9, 17] {
        let octave = field(like, points, random);
        sum.iter_mut().zip(octave).for_each(|(sum, value)| *sum += amplitude * value);
        amplitude *= fall;
    }
    let n = sum.len().max(1) as f64;
    let mean = sum.iter().sum::<f64>() / n;
    let deviation = (sum.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt();
    let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
    sum.iter().map(|v| (v - mean) * scale).collect()
}

/// A texture of each channel, rows x columns x channels, as shares of the full range: not yet within it.
fn values(like: &Images, random: &mut Random) -> Vec<f64> {
    let (fall, mean, contrast) = (random.range(0.4, 0.9), random.range(0.2, 0.8), random.range(0.1, 0.4));
    let channels: Vec<_> = (0..like.channels).map(|_| octaves(like, fall, random)).collect();
    (0..like.height * like.width).flat_map(|i| channels.iter().map(move |c| mean + contrast * c[i])).collect()
}

fn byte(share: f64) -> u8 {
    (share * 255.0).round().clamp(0.0, 255.0) as u8
}

/// Noise in octaves over the whole image.
pub(super) fn texture(like: &Images, random: &mut Random) -> Vec<u8> {
    values(like, random).into_iter().map(byte).collect()
}

/// Where a coarse random field is greatest, a texture; elsewhere the background of the image, which is the median of its
/// border. The shapes cover 15 to 70 % of it.
pub(super) fn shapes(like: &Images, image: &[u8], random: &mut Random) -> Vec<u8> {
    let points = 3 + random.below(3) as usize;
    let field = field(like, points, random);
    let mut sorted = field.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let share = random.range(0.3, 0.85);
    let threshold = sorted.get((share * sorted.len() as f64) as usize).copied().unwrap_or(0.0);
    let background: Vec<u8> = (0..like.channels).map(|channel| border(like, image, channel)).collect();
    let filled = values(like, random);
    let one = |(i, value): (usize, f64)| {
        if field[i / like.channels] >= threshold { byte(value) } else { background[i % like.channels] }
    };
    filled.into_iter().enumerate().map(one).collect()
}

/// The median of a channel on the border of an image.
fn border(like: &Images, image: &[u8], channel: usize) -> u8 {
    let is_border = |i: usize| {
        let (row, column) = (i / like.width, i % like.width);
        row == 0 || column == 0 || row + 1 == like.height || column + 1 == like.width
    };
    let places = (0..like.height * like.width).filter(|&i| is_border(i));
    let mut values: Vec<u8> = places.filter_map(|i| image.get(i * like.channels + channel).copied()).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(height: usize, width: usize, channels: usize) -> Images {
        let pixels = (0..5 * height * width * channels).map(|i| (i * 31 % 251) as u8).collect();
        Images { height, width, channels, pixels }
    }

    #[test]
    fn stains_are_smooth() {
        let of = images(28, 28, 1);
        let stain = stains(&of, &mut Random::new(3, 4));
        // 7 cells at most over 27 steps, with a contrast of at most 4.
        let steepest = stain.chunks(28).flat_map(|row| row.windows(2)).map(|w| w[0].abs_diff(w[1])).max();
        assert!(steepest.is_some_and(|s| s > 0 && f64::from(s) <= 255.0 * 4.0 * 7.0 / 27.0 + 1.0), "{steepest:?}");
    }

    #[test]
    fn textures_are_spread_over_all_frequencies_and_shapes_lie_on_the_background() {
        let of = Images { pixels: vec![7; 5 * 28 * 28 * 3], ..images(28, 28, 3) };
        for seed in 0..20 {
            let mut random = Random::new(seed, 4);
            let field = octaves(&of, 0.6, &mut random);
            let mean = field.iter().sum::<f64>() / 784.0;
            let variance = field.iter().map(|v| v * v).sum::<f64>() / 784.0;
            assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-9, "{mean} {variance}");
            // Neighbours are nearer to each other than places far apart, and not equal.
            let steps = |by: usize| {
                let pairs = field.iter().zip(&field[by..]).map(|(a, b)| (a - b) * (a - b));
                pairs.sum::<f64>() / (784 - by) as f64
            };
            assert!(steps(1) > 0.01 && steps(1) < steps(28 * 10), "{} {}", steps(1), steps(280));
            let made = shapes(&of, &of.pixels[..784 * 3], &mut random);
            let background = made.chunks(3).filter(|p| *p == [7, 7, 7]).count() as f64 / 784.0;
            assert!((0.25..=0.9).contains(&background), "{background}");
        }
    }
}

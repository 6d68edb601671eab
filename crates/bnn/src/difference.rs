//! How far two sets of logits are apart, and what of it is rounding.

/// Most that the logits of a pair may differ: as a share of their spread and, where they have none, as it is.
const TOLERANCE: f32 = 0.01;
const LEAST: f32 = 1e-4;

/// How far the logits of a model file are from those of its checkpoint, over pairs of a draw and an image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// Pairs.
    pub pairs: usize,
    /// Those whose logits differ by more than a hundredth of the spread.
    pub apart: usize,
    /// The median over the pairs of their largest difference.
    pub median: f32,
    /// The largest difference of a logit.
    pub largest: f32,
    /// Root mean square of the checkpoint's logits about their mean, image by image: what differences are measured by.
    pub spread: f32,
}

impl Difference {
    /// Of logits `[draw][image][class]`.
    pub(crate) fn of(found: &[f32], wanted: &[f32], classes: usize) -> Self {
        let variance = |row: &[f32]| {
            let mean = row.iter().sum::<f32>() / classes as f32;
            row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / classes as f32
        };
        let rows = found.chunks_exact(classes).zip(wanted.chunks_exact(classes));
        let spread = (rows.clone().map(|(_, row)| variance(row)).sum::<f32>() / rows.len().max(1) as f32).sqrt();
        let largest = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| (a - b).abs()).max_by(f32::total_cmp);
        // What is no number is sorted behind all others, and counts as apart.
        let mut each: Vec<f32> = rows.map(|pair| largest(pair).unwrap_or(0.0)).collect();
        each.sort_by(f32::total_cmp);
        Difference {
            pairs: each.len(),
            apart: each.len() - each.iter().filter(|&&d| d <= TOLERANCE * spread + LEAST).count(),
            median: each.get(each.len() / 2).copied().unwrap_or(0.0),
            largest: each.last().copied().unwrap_or(0.0),
            spread,
        }
    }

    /// Whether it is no more than rounding.
    pub fn is_rounding(&self) -> bool {
        self.median <= TOLERANCE * self.spread + LEAST
    }
}

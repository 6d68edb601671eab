//! Means over seeds with their 95 % intervals (Student 1908).

use qbnn_eval::t975;

/// A mean over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Half the width of its 95 % interval; `None` with a single seed.
    pub half: Option<f64>,
    /// Seeds.
    pub n: usize,
}

/// The mean of some values; `None` of none.
pub fn mean(values: &[f64]) -> Option<Mean> {
    let n = values.len();
    let value = values.iter().sum::<f64>() / n as f64;
    let half = (n > 1).then(|| {
        let variance = values.iter().map(|v| (v - value).powi(2)).sum::<f64>() / (n - 1) as f64;
        t975(n - 1) * (variance / n as f64).sqrt()
    });
    (n > 0).then_some(Mean { value, half, n })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_by_hand() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[2.0]), Some(Mean { value: 2.0, half: None, n: 1 }));
        // 1, 2, 3: mean 2, variance 1, 4.303 / sqrt(3).
        let m = mean(&[1.0, 2.0, 3.0]).unwrap();
        assert!((m.value - 2.0).abs() < 1e-12 && (m.half.unwrap() - 2.484).abs() < 1e-3, "{m:?}");
    }
}

//! Means over seeds with their 95 % intervals (Student 1908).

/// 97.5 % quantiles of Student's t by degrees of freedom, from 1.
const T975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The 97.5 % quantile of Student's t; beyond the table by Cornish and Fisher's expansion about the normal one.
fn t975(freedom: usize) -> f64 {
    match freedom.checked_sub(1).and_then(|i| T975.get(i)) {
        Some(&t) => t,
        None => {
            let (z, n) = (1.959_964f64, freedom as f64);
            z + (z.powi(3) + z) / (4.0 * n) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
        }
    }
}

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
        // 31 and 120 degrees of freedom in printed tables: 2.040, 1.980.
        assert!((t975(31) - 2.0395).abs() < 5e-4 && (t975(120) - 1.9799).abs() < 5e-4);
    }
}

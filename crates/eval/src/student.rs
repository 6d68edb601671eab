//! Quantiles of Student's t (Student 1908), for intervals of means over few seeds.

/// 97.5 % quantiles of Student's t by degrees of freedom, from 1.
const T975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The 97.5 % quantile of Student's t of so many degrees of freedom, at least 1; beyond the table by Cornish and Fisher's
/// expansion about the normal one.
pub fn t975(freedom: usize) -> f64 {
    match freedom.checked_sub(1).and_then(|i| T975.get(i)) {
        Some(&t) => t,
        None => {
            let (z, n) = (1.959_964f64, freedom as f64);
            z + (z.powi(3) + z) / (4.0 * n) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_printed_tables() {
        assert_eq!((t975(1), t975(4), t975(30)), (12.706, 2.776, 2.042));
        // 31 and 120 degrees of freedom in printed tables: 2.040, 1.980.
        assert!((t975(31) - 2.0395).abs() < 5e-4 && (t975(120) - 1.9799).abs() < 5e-4);
    }
}

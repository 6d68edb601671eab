//! Numbers as people read them: accuracy in percent, a sign before every difference, a real minus.

use crate::Headline;

/// A coordinate: one decimal, no trailing zero.
pub(crate) fn coordinate(v: f64) -> String {
    let text = format!("{v:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".into() } else { text.into() }
}

/// `digits` decimals with a true minus sign; `+` before a positive one where `signed`.
pub fn fixed(v: f64, digits: usize, signed: bool) -> String {
    let text = format!("{:.digits$}", v.abs());
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = match (zero, v < 0.0) {
        (true, _) if signed => "±",
        (false, true) => "−",
        (false, false) if signed => "+",
        _ => "",
    };
    format!("{sign}{text}")
}

/// A value of a headline metric: accuracy and coverage in percent, areas under curves of risk with six decimals, the rest with four.
pub fn metric(headline: Headline, v: f64, signed: bool) -> String {
    match headline {
        Headline::Accuracy | Headline::Coverage(_) => fixed(100.0 * v, 2, signed),
        Headline::Aurc(_) | Headline::Augrc(_) => fixed(v, 6, signed),
        _ => fixed(v, 4, signed),
    }
}

/// A value and its interval, `0.9917 [0.9909, 0.9924]`.
pub(crate) fn with_interval(headline: Headline, v: f64, interval: Option<[f64; 2]>, signed: bool) -> String {
    let value = metric(headline, v, signed);
    match interval {
        Some([low, high]) => format!("{value} [{}, {}]", metric(headline, low, signed), metric(headline, high, signed)),
        None => value,
    }
}

/// Least number that [`short`] writes out; what is smaller is said to be.
const LEAST: f64 = 1e-6;

/// Up to four significant digits without powers of ten, for tables of data behind a figure: `0.1235`, `0.000019`,
/// `1,234,567`, and `below 0.000001` where that is all that can be read.
pub fn short(v: f64) -> String {
    if v == 0.0 {
        return "0".into();
    }
    if !v.is_finite() {
        return "–".into();
    }
    if v.abs() < LEAST {
        return if v > 0.0 { "below 0.000001".into() } else { "above −0.000001".into() };
    }
    if v.abs() >= 1e15 {
        return format!("{v:.2e}");
    }
    if v.abs() >= 9_999.5 {
        let sign = if v < 0.0 { "−" } else { "" };
        return format!("{sign}{}", thousands(v.abs().round() as u64));
    }
    let magnitude = v.abs().log10().floor() as i32;
    let text = fixed(v, (3 - magnitude).clamp(0, 6) as usize, false);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// An uncertainty in nats: at most five decimals, `0.00002`; `below 0.00001` for what is smaller and not 0.
pub fn nats(v: f64) -> String {
    if v > 0.0 && v < 1e-5 { "below 0.00001".into() } else { short((v * 1e5).round() / 1e5) }
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Five or so round numbers in `low..=high`, and the decimals that tell them apart.
pub(crate) fn ticks(low: f64, high: f64, wanted: usize) -> (Vec<f64>, usize) {
    let span = high - low;
    if span <= 0.0 || !span.is_finite() {
        return (vec![low], 2);
    }
    let rough = span / wanted.max(1) as f64;
    let unit = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|s| s * unit).find(|s| *s >= rough * 0.999).unwrap_or(rough);
    let first = (low / step - 1e-9).ceil();
    let count = ((high / step + 1e-9).floor() - first).max(0.0) as usize;
    let values = (0..=count.min(50)).map(|i| (first + i as f64) * step).collect();
    let decimals = (0..9).find(|&d| (step * 10f64.powi(d) - (step * 10f64.powi(d)).round()).abs() < 1e-6).unwrap_or(9);
    (values, decimals as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0.25, -0.04, 12.0].map(coordinate), ["0.2", "0", "12"]);
        assert_eq!(
            (fixed(-0.5, 2, true), fixed(0.0001, 2, true), fixed(0.5, 1, true)),
            ("−0.50".into(), "±0.00".into(), "+0.5".into())
        );
        assert_eq!(metric(Headline::Accuracy, 0.9908, false), "99.08");
        assert_eq!(with_interval(Headline::Nll, 0.5, Some([0.25, 0.75]), false), "0.5000 [0.2500, 0.7500]");
        assert_eq!([0.0, 0.123456, 1234.0, 1e-9, 12.5].map(short), ["0", "0.1235", "1234", "below 0.000001", "12.5"]);
        assert_eq!(
            [-1e-9, 0.000_018_8, 1e6, -12_345.6].map(short),
            ["above −0.000001", "0.000019", "1,000,000", "−12,346"]
        );
        assert_eq!([0.0, 1.88e-5, 1e-20, 0.5123456].map(nats), ["0", "0.00002", "below 0.00001", "0.5123"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 1.0, 5), (vec![0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0], 1));
        assert_eq!(ticks(0.9, 0.93, 3).1, 2);
        let (values, _) = ticks(-3.2, 7.7, 5);
        assert!(values.iter().all(|v| (-3.2..=7.7).contains(v)) && values.contains(&0.0), "{values:?}");
        assert_eq!(ticks(1.0, 1.0, 5).0, [1.0]);
    }
}

//! The result in sentences, made of differences and their intervals alone.
//!
//! An interval that holds zero is "no difference seen", never "the same". What is said to be kept is bounded by the
//! end of the interval that lies farther out.

use crate::metrics::{Bits, Difference, DifferenceEntry, Metrics, ModelEntry, Strategy};
use crate::report::number::{fixed, metric};
use crate::{Aim, Headline, Interval, Measure, OfGroup, Score, is_shown};

/// A difference in accuracy that still counts as kept, as a fraction.
const ACCURACY_KEPT: f64 = 0.01;
/// A difference in AUROC that still counts as kept; seeds of the noise alone move it by as much.
const AUROC_KEPT: f64 = 0.02;

/// What a difference says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The interval holds zero.
    NotSeen,
    /// Better beyond the interval.
    Better,
    /// Worse beyond the interval.
    Worse,
    /// There is no interval, or better and worse mean nothing here.
    Open,
}

impl Verdict {
    /// For a table.
    pub fn text(self) -> &'static str {
        match self {
            Verdict::NotSeen => "no difference seen",
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Open => "",
        }
    }
}

/// Whether a difference is for the better, given the reference's value.
pub fn verdict(headline: Headline, difference: &Difference, reference: Option<f64>) -> Verdict {
    let Some([low, high]) = difference.ci95 else { return Verdict::Open };
    if low <= 0.0 && high >= 0.0 {
        return Verdict::NotSeen;
    }
    let more_is_better = match headline.about().aim {
        Aim::More => true,
        Aim::Less => false,
        Aim::Open => return Verdict::Open,
        // Farther from the neutral value is more entangled.
        Aim::Near(neutral) => match reference.map(|r| (r - neutral, r + difference.value - neutral)) {
            Some((before, after)) if before > 0.0 && after > 0.0 => false,
            Some((before, after)) if before < 0.0 && after < 0.0 => true,
            _ => return Verdict::Open,
        },
    };
    if (difference.value > 0.0) == more_is_better { Verdict::Better } else { Verdict::Worse }
}

/// `4-bit JQ`, or every width where they differ.
pub(crate) fn model_in_words(name: &str, strategy: Strategy, bits: Bits) -> String {
    let strategy = match strategy {
        Strategy::Float => return name.to_owned(),
        Strategy::Vpq => "VPQ",
        Strategy::Spq => "SPQ",
        Strategy::Jq => "JQ",
    };
    let Bits { mu, sigma, weight, activation } = bits;
    let parameters: Vec<u8> = [mu, sigma, weight].into_iter().filter(|&b| b < 32).collect();
    match parameters.split_first() {
        Some((first, rest)) if rest.iter().all(|b| b == first) && (activation == *first || activation == 32) => {
            format!("{first}-bit {strategy}")
        }
        Some((first, rest)) if rest.iter().all(|b| b == first) => {
            format!("{strategy} with {first}-bit parameters and {activation}-bit activations")
        }
        _ => format!("{strategy} (mu {mu}, sigma {sigma}, weight {weight}, activation {activation} bits)"),
    }
}

/// What the bytes of some models count.
pub(crate) fn size_in_words(models: &[ModelEntry]) -> &'static str {
    match models.iter().filter(|m| m.file_bytes.is_some()).count() {
        0 => "means and standard deviations, with scales",
        n if n == models.len() => "of the model file",
        _ => "of the model file, or of means, standard deviations and scales where there is none",
    }
}

/// The float model's bytes over this one's, as `1/7.73`.
pub(crate) fn ratio(model: &ModelEntry, reference: &ModelEntry) -> Option<String> {
    let (own, whole) = model.bytes_beside(reference);
    let (own, whole) = (own as f64, whole as f64);
    (own > 0.0 && whole > 0.0 && own != whole).then(|| {
        if own < whole {
            format!("1/{}", fixed(whole / own, 2, false))
        } else {
            format!("{} times", fixed(own / whole, 2, false))
        }
    })
}

fn farthest([low, high]: Interval) -> f64 {
    low.abs().max(high.abs())
}

/// "keeps accuracy within 0.15 points", "loses 3.20 points of accuracy [..]", or "accuracy is open: ...".
fn clause(what: &str, unit: &str, scale: f64, digits: usize, kept: f64, d: &Difference) -> String {
    let number = |v: f64, signed| fixed(scale * v, digits, signed);
    let Some(interval) = d.ci95 else {
        return format!("differs in {what} by {}{unit}", number(d.value, true));
    };
    let [low, high] = interval;
    if farthest(interval) <= kept {
        return format!("keeps {what} within {}{unit}", number(farthest(interval), false));
    }
    let range = format!("{} to {}", number(low, true), number(high, true));
    if high < 0.0 {
        format!("loses {}{unit} in {what} (95 % interval {range})", number(-d.value, false))
    } else if low > 0.0 {
        format!("gains {}{unit} in {what} (95 % interval {range})", number(d.value, false))
    } else {
        format!("leaves {what} open (difference {range}{unit})")
    }
}

/// What is said of one model: the result, then what else is measurable (may be empty).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// One sentence on accuracy, detection and memory.
    pub result: String,
    /// What is measurably worse or better.
    pub more: String,
}

/// What is said of each model that is compared with another, or of each model where none is.
pub fn sentences(metrics: &Metrics) -> Vec<Said> {
    let find = |name: &str| metrics.models.iter().find(|m| m.name == name);
    let mut out = Vec::new();
    for entry in &metrics.differences {
        let (Some(model), Some(reference)) = (find(&entry.name), find(&entry.against)) else { continue };
        out.push(one(entry, model, reference));
    }
    if out.is_empty() {
        out.extend(metrics.models.iter().map(alone));
    }
    out
}

/// Of many models: the smallest that keeps accuracy and the detection of OOD and of ambiguous images, in one
/// sentence.
pub(crate) fn smallest(metrics: &Metrics) -> String {
    let keeps = |d: &&DifferenceEntry| {
        let within =
            |h: Headline, kept| d.metrics.get(h).as_ref().and_then(|d| d.ci95).is_some_and(|i| farthest(i) <= kept);
        // Data without ambiguous images has no such AUROC to keep.
        let ood = Headline::ood(Score::Epistemic, |h| d.metrics.get(h).is_some());
        within(Headline::Accuracy, ACCURACY_KEPT)
            && within(ood, AUROC_KEPT)
            && (d.metrics.get(Headline::AMBIGUOUS).is_none() || within(Headline::AMBIGUOUS, AUROC_KEPT))
    };
    let find = |name: &str| metrics.models.iter().find(|m| m.name == name);
    let kept = metrics.differences.iter().filter(keeps).filter_map(|d| Some((find(&d.name)?, find(&d.against)?)));
    let n = metrics.differences.len();
    match kept.min_by_key(|(m, _)| m.bytes()) {
        Some((m, reference)) => {
            let memory = ratio(m, reference).map_or(String::new(), |r| format!(", at {r} of the memory"));
            format!(
                "Of {n} models the smallest that surely keeps accuracy within one point and each AUROC within 0.02 of {} is {} \
                 ({}){memory}.",
                reference.name,
                m.name,
                model_in_words(&m.name, m.strategy, m.bits)
            )
        }
        None => format!("None of {n} models surely keeps accuracy within one point and each AUROC within 0.02."),
    }
}

fn one(entry: &DifferenceEntry, model: &ModelEntry, reference: &ModelEntry) -> Said {
    let d = &entry.metrics;
    let mut clauses = Vec::new();
    if let Some(d) = d.get(Headline::Accuracy) {
        clauses.push(clause("accuracy", " percentage points", 100.0, 2, ACCURACY_KEPT, d));
    }
    let ood = Headline::ood(Score::Epistemic, |h| d.get(h).is_some());
    if let Some(d) = d.get(ood) {
        let what = format!("the detection of OOD images among {} (AUROC)", among(ood));
        clauses.push(clause(&what, "", 1.0, 3, AUROC_KEPT, d));
    }
    if let Some(d) = d.get(Headline::AMBIGUOUS) {
        clauses.push(clause("the detection of ambiguous ones among clean (AUROC)", "", 1.0, 3, AUROC_KEPT, d));
    }
    // "keeps A within a, keeps B within b" reads better with the verb once.
    let mut text = String::new();
    for (i, clause) in clauses.iter().enumerate() {
        let again = i > 0 && clause.starts_with("keeps ") && clauses[i - 1].starts_with("keeps ");
        let words = if again { clause.trim_start_matches("keeps ") } else { clause };
        let link = if i == 0 {
            ""
        } else if i + 1 == clauses.len() {
            " and "
        } else {
            ", "
        };
        text.push_str(link);
        text.push_str(words);
    }
    let memory = ratio(model, reference).map_or(String::new(), |r| format!(", at {r} of the memory"));
    let words = |m: &ModelEntry| model_in_words(&m.name, m.strategy, m.bits);
    let link = if clauses.iter().all(|c| c.starts_with("keeps")) { " of" } else { ", compared with" };
    let result = format!("{} {text}{link} {}{memory}.", capitalised(&words(model)), words(reference));
    let mut more = Vec::new();
    let group = |wanted: Verdict| {
        let shown = entry.groups.iter().filter(|g| is_shown(&g.name, g.shift.as_ref()));
        let further = shown.map(|g| g.name.as_str());
        let exists = |group: &str, h| OfGroup::find(&entry.groups, group, h).is_some();
        let names: Vec<String> = Measure::all(&Headline::FRONT, further, exists)
            .iter()
            .filter_map(|measure| {
                let (h, d) = (measure.headline, entry.measured(measure)?);
                let by = || format!("{} ({})", measure.title(), metric(h, d.value, true));
                (verdict(h, &d, reference.measured(measure)) == wanted).then(by)
            })
            .collect();
        names.join(", ")
    };
    for (words, verdict) in [("Measurably worse", Verdict::Worse), ("Measurably better", Verdict::Better)] {
        let names = group(verdict);
        if !names.is_empty() {
            more.push(format!("{words}: {names}."));
        }
    }
    if more.is_empty() {
        more.push("No other difference was seen.".to_owned());
    }
    Said { result, more: more.join(" ") }
}

fn alone(model: &ModelEntry) -> Said {
    let mut text = model.name.clone();
    if let Some(accuracy) = model.value(Headline::Accuracy) {
        text.push_str(&format!(": accuracy {} %", metric(Headline::Accuracy, accuracy, false)));
    }
    let ood = Headline::ood(Score::Epistemic, |h| model.value(h).is_some());
    for (headline, what) in [(ood, "OOD"), (Headline::AMBIGUOUS, "ambiguous")] {
        if let Some(v) = model.value(headline) {
            let among = among(headline);
            text.push_str(&format!(", {what} images found among {among} with an AUROC of {}", fixed(v, 3, false)));
        }
    }
    let draws = if model.samples == 1 { "draw" } else { "draws" };
    Said { result: format!("{text}, from {} {draws}.", model.samples), more: String::new() }
}

/// The negatives of an AUROC in words.
fn among(headline: Headline) -> String {
    let Headline::Auroc(_, contrast) = headline else { return String::new() };
    contrast.negatives().iter().map(|g| g.name()).collect::<Vec<_>>().join(" and ")
}

/// The first letter in capitals.
pub(crate) fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |c| c.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_follows_from_the_interval() {
        let d = |value, ci95| Difference { value, ci95 };
        let say = |d: &Difference| clause("accuracy", " points", 100.0, 2, ACCURACY_KEPT, d);
        assert_eq!(say(&d(-0.0001, Some([-0.0015, 0.0012]))), "keeps accuracy within 0.15 points");
        assert!(say(&d(-0.2, Some([-0.25, -0.15]))).starts_with("loses 20.00 points"));
        assert!(say(&d(0.2, Some([0.15, 0.25]))).starts_with("gains 20.00 points"));
        assert!(say(&d(0.01, Some([-0.02, 0.04]))).contains("open"));
        assert_eq!(say(&d(-0.01, None)), "differs in accuracy by −1.00 points");
    }

    const CROSS: Headline = Headline::Auroc(Score::Aleatoric, crate::Contrast::OodVsClean);

    #[test]
    fn better_and_worse_depend_on_the_metric() {
        let up = Difference { value: 0.1, ci95: Some([0.05, 0.15]) };
        assert_eq!(verdict(Headline::Accuracy, &up, None), Verdict::Better);
        assert_eq!(verdict(Headline::Nll, &up, None), Verdict::Worse);
        assert_eq!(verdict(CROSS, &up, Some(0.7)), Verdict::Worse);
        assert_eq!(verdict(CROSS, &up, Some(0.3)), Verdict::Better);
        assert_eq!(verdict(CROSS, &up, Some(0.45)), Verdict::Open);
        let around = Difference { value: 0.0, ci95: Some([-0.05, 0.15]) };
        assert_eq!(verdict(Headline::Nll, &around, None), Verdict::NotSeen);
    }
}

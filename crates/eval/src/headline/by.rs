//! One value per headline metric, and how files name them: a flat object with a field for each.
//!
//! Version 1 of `metrics.json`, and ledgers of its time, named an AUROC by score and group alone, and the negatives were
//! not the same for all. Such a name is read as the metric that it was.

use super::{Contrast, Headline, Score};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::marker::PhantomData;

/// One value per headline metric; as JSON an object with a field for each name. A field that is missing when it is
/// read has the default value; one that nobody knows is passed over.
#[derive(Debug, Clone, PartialEq)]
pub struct ByHeadline<T>([T; Headline::COUNT]);

impl<T> ByHeadline<T> {
    /// Builds every value from its metric.
    pub fn from_fn(make: impl FnMut(Headline) -> T) -> Self {
        Self(Headline::ALL.map(make))
    }

    /// The value of one metric.
    pub fn get(&self, headline: Headline) -> &T {
        &self.0[headline.index()]
    }

    /// The value of one metric, to be changed.
    pub fn get_mut(&mut self, headline: Headline) -> &mut T {
        &mut self.0[headline.index()]
    }

    /// Every metric with its value, in the order of the schema.
    pub fn iter(&self) -> impl Iterator<Item = (Headline, &T)> {
        Headline::ALL.into_iter().zip(&self.0)
    }
}

impl<T: PartialEq> ByHeadline<Option<T>> {
    /// Whether every metric that both know is the same: one of them may be of a version that knew fewer.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.iter().zip(&other.0).all(|((_, own), other)| own.is_none() || other.is_none() || own == other)
    }
}

impl<T: Default> Default for ByHeadline<T> {
    fn default() -> Self {
        Self::from_fn(|_| T::default())
    }
}

/// A name of version 1.
#[derive(Clone, Copy)]
enum Old {
    /// Of this metric.
    Is(Headline),
    /// Of ood against clean + ambiguous, or against clean in data without ambiguous inputs.
    Pooled(Score),
}

const OLD: [(&str, Old); 6] = [
    ("auroc_epistemic_ood", Old::Pooled(Score::Epistemic)),
    ("auroc_share_ood", Old::Pooled(Score::Share)),
    ("auroc_aleatoric_ood", Old::Is(Headline::Auroc(Score::Aleatoric, Contrast::OodVsClean))),
    ("auroc_aleatoric_ambiguous", Old::Is(Headline::Auroc(Score::Aleatoric, Contrast::AmbiguousVsClean))),
    ("auroc_epistemic_ambiguous", Old::Is(Headline::Auroc(Score::Epistemic, Contrast::AmbiguousVsClean))),
    ("auroc_share_ambiguous", Old::Is(Headline::Auroc(Score::Share, Contrast::AmbiguousVsClean))),
];

/// A value that may say that it is not there.
pub trait Absent {
    /// Whether it is not there.
    fn is_absent(&self) -> bool;
}

impl<T> Absent for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Serialize> Serialize for ByHeadline<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Headline::COUNT))?;
        for (headline, value) in self.iter() {
            map.serialize_entry(headline.name(), value)?;
        }
        map.end()
    }
}

/// Writes the fields that are there.
pub(crate) fn present<T: Serialize, S: Serializer>(
    values: &ByHeadline<Option<T>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().filter_map(|(h, value)| value.as_ref().map(|v| (h.name(), v))))
}

impl<'de, T: Deserialize<'de> + Default + Absent> Deserialize<'de> for ByHeadline<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default + Absent> Visitor<'de> for Fields<T> {
    type Value = ByHeadline<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with a field for each metric")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = ByHeadline::<T>::default();
        let mut pooled = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if let Some(headline) = Headline::ALL.into_iter().find(|h| h.name() == name) {
                *values.get_mut(headline) = map.next_value()?;
                continue;
            }
            match OLD.iter().find(|old| old.0 == name).map(|old| old.1) {
                Some(Old::Is(headline)) => *values.get_mut(headline) = map.next_value()?,
                Some(Old::Pooled(score)) => pooled.push((score, map.next_value()?)),
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        // The aleatoric AUROC of ambiguous inputs exists wherever there are any.
        let ambiguous = !values.get(Headline::AMBIGUOUS).is_absent();
        let contrast = if ambiguous { Contrast::OodVsCleanAmbiguous } else { Contrast::OodVsClean };
        for (score, value) in pooled {
            *values.get_mut(Headline::Auroc(score, contrast)) = value;
        }
        Ok(values)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(text: &str) -> ByHeadline<Option<f64>> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn names_of_version_1_are_read_as_what_they_were() {
        let with = read(
            r#"{"accuracy":0.5,"auroc_epistemic_ood":0.91,"auroc_aleatoric_ood":0.92,"auroc_share_ood":0.93,
                "auroc_aleatoric_ambiguous":0.94,"auroc_epistemic_ambiguous":0.95,"auroc_share_ambiguous":null,"of_tomorrow":[1]}"#,
        );
        let value = |v: &ByHeadline<Option<f64>>, s, c| *v.get(Headline::Auroc(s, c));
        use {Contrast::*, Score::*};
        assert_eq!(value(&with, Epistemic, OodVsCleanAmbiguous), Some(0.91));
        assert_eq!(value(&with, Epistemic, OodVsClean), None);
        assert_eq!(value(&with, Aleatoric, OodVsClean), Some(0.92));
        assert_eq!(value(&with, Aleatoric, OodVsCleanAmbiguous), None);
        assert_eq!(value(&with, Share, OodVsCleanAmbiguous), Some(0.93));
        assert_eq!(value(&with, Aleatoric, AmbiguousVsClean), Some(0.94));
        assert_eq!(value(&with, Epistemic, AmbiguousVsClean), Some(0.95));
        assert_eq!((value(&with, Share, AmbiguousVsClean), *with.get(Headline::Accuracy)), (None, Some(0.5)));
        // Without ambiguous inputs the negatives were the clean ones, whatever the order of the fields.
        let without = read(r#"{"auroc_epistemic_ood":0.91,"auroc_aleatoric_ambiguous":null}"#);
        assert_eq!(value(&without, Epistemic, OodVsClean), Some(0.91));
        assert_eq!(value(&without, Epistemic, OodVsCleanAmbiguous), None);
    }

    #[test]
    fn what_was_written_is_read_back() {
        let values = ByHeadline::from_fn(|h| (h.index() % 3 > 0).then_some(h.index() as f64));
        let text = serde_json::to_string(&values).unwrap();
        assert_eq!(read(&text), values);
        assert_eq!(text.matches(':').count(), Headline::COUNT);
    }
}

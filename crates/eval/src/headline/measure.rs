//! What a row of a table is: a headline metric, or the same metric of a further group.

use super::{ByHeadline, Headline, present};
use crate::Shift;
use serde::{Deserialize, Serialize};

/// Values of a further group, by the names of the headline metrics, with this group in the place of the first of its role:
/// `auroc_epistemic_ood_vs_clean` of a second OOD group is the AUROC of that group among clean inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct OfGroup<T> {
    /// The group's name.
    pub name: String,
    /// Of a group that was made by a shift: by which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    /// Its values; those that do not exist have no key.
    #[serde(serialize_with = "present")]
    pub metrics: ByHeadline<Option<T>>,
}

impl<T: PartialEq> OfGroup<T> {
    /// Whether both are of one group, and every metric that both know is the same.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.name == other.name && self.metrics.agrees(&other.metrics)
    }
}

impl<T> OfGroup<T> {
    /// The value of one metric of the group of this name.
    pub(crate) fn find<'a>(groups: &'a [Self], name: &str, headline: Headline) -> Option<&'a T> {
        groups.iter().find(|g| g.name == name)?.metrics.get(headline).as_ref()
    }
}

/// A metric of one of the groups: what tables have a row or a column for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Measure {
    /// A further group by its name; `None` for the first groups of their roles.
    pub group: Option<String>,
    /// The metric.
    pub headline: Headline,
}

impl From<Headline> for Measure {
    fn from(headline: Headline) -> Self {
        Measure { group: None, headline }
    }
}

impl Measure {
    /// The headline metrics of `headlines`, then those of each further group for which `exists` says so.
    pub fn all<'a>(
        headlines: &[Headline],
        further: impl IntoIterator<Item = &'a str>,
        exists: impl Fn(&str, Headline) -> bool,
    ) -> Vec<Self> {
        let mut all: Vec<Self> = headlines.iter().copied().map(Self::from).collect();
        let mut seen = Vec::new();
        for group in further {
            if seen.contains(&group) {
                continue;
            }
            seen.push(group);
            let own = headlines.iter().filter(|h| exists(group, **h));
            all.extend(own.map(|&headline| Measure { group: Some(group.to_owned()), headline }));
        }
        all
    }

    /// Its name in files: that of the headline metric, of a further group after its name and a colon.
    pub fn name(&self) -> String {
        match &self.group {
            None => self.headline.name().to_owned(),
            Some(group) => format!("{group}:{}", self.headline.name()),
        }
    }

    /// The metric of this name, as [`Measure::name`] gives it; `None` where no headline metric is called so.
    pub fn named(name: &str) -> Option<Self> {
        let (group, metric) = name.split_once(':').map_or((None, name), |(group, metric)| (Some(group), metric));
        let headline = Headline::ALL.into_iter().find(|h| h.name() == metric)?;
        Some(Measure { group: group.map(str::to_owned), headline })
    }

    /// Its name for people.
    pub fn title(&self) -> String {
        self.worded(&self.headline.about().title, ", ")
    }

    /// Its heading in a table of text, lines parted by `\n`.
    pub fn heading(&self) -> String {
        self.worded(&self.headline.about().heading, "\n")
    }

    /// Of a metric that asks whether a score finds a group: that group, and among which: `near vs clean`.
    pub fn found(&self) -> Option<String> {
        Some(self.worded(self.headline.contrast()?.title(), ""))
    }

    /// A text on the headline metric with the group's name in the place of the role's.
    fn worded(&self, text: &str, link: &str) -> String {
        match (&self.group, self.headline.contrast()) {
            (None, _) => text.to_owned(),
            (Some(group), Some(contrast)) => {
                let (own, others) = (contrast.title(), contrast.title().split_once(' ').map_or("", |t| t.1));
                text.replace(own, &format!("{group} {others}"))
            }
            (Some(group), None) => format!("{text}{link}{group}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{Contrast, Score};

    #[test]
    fn a_further_group_stands_where_the_first_of_its_role_does() {
        let headline = Headline::Auroc(Score::Aleatoric, Contrast::OodVsCleanAmbiguous);
        let near = Measure { group: Some("near".into()), headline };
        assert_eq!(near.title(), "cross: AUROC aleatoric, near vs clean + ambiguous");
        assert_eq!(near.heading(), "cross: AUROC\naleatoric\nnear vs clean + ambiguous");
        assert_eq!(near.name(), "near:auroc_aleatoric_ood_vs_clean_ambiguous");
        let noise = Measure { group: Some("noise".into()), headline: Headline::Accuracy };
        assert_eq!((noise.title(), noise.heading()), ("accuracy, noise".into(), "accuracy\n%\nnoise".into()));
        for measure in [&near, &noise, &Measure::from(headline)] {
            assert_eq!(Measure::named(&measure.name()).as_ref(), Some(measure));
        }
        assert_eq!((Measure::named("near:acuracy"), Measure::named("near")), (None, None));
        let first = Measure::from(headline);
        assert_eq!((first.title(), first.name()), (headline.about().title.clone(), headline.name().to_owned()));
    }

    #[test]
    fn every_group_is_listed_once_with_what_it_has() {
        let all = Measure::all(&[Headline::Accuracy, Headline::Nll], ["a", "b", "a"], |_, h| h == Headline::Nll);
        let names: Vec<_> = all.iter().map(Measure::name).collect();
        assert_eq!(names, ["accuracy", "nll", "a:nll", "b:nll"]);
    }
}

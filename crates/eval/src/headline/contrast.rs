//! The contrasts: which group is to be found, and among which others.

use crate::Role;

/// Which group is to be found (the positives), and among which others (the negatives). An AUROC is `None` where one of
/// these groups is absent: it is never taken against fewer negatives than its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contrast {
    /// ood among clean.
    OodVsClean,
    /// ood among clean and ambiguous: all that is of the training distribution.
    OodVsCleanAmbiguous,
    /// ambiguous among clean.
    AmbiguousVsClean,
}

/// What one contrast is called, and its groups.
struct ContrastWords {
    contrast: Contrast,
    name: &'static str,
    title: &'static str,
    positives: Role,
    negatives: &'static [Role],
}

const CONTRASTS: [ContrastWords; 3] = [
    ContrastWords {
        contrast: Contrast::OodVsClean,
        name: "ood_vs_clean",
        title: "ood vs clean",
        positives: Role::Ood,
        negatives: &[Role::Clean],
    },
    ContrastWords {
        contrast: Contrast::OodVsCleanAmbiguous,
        name: "ood_vs_clean_ambiguous",
        title: "ood vs clean + ambiguous",
        positives: Role::Ood,
        negatives: &[Role::Clean, Role::Ambiguous],
    },
    ContrastWords {
        contrast: Contrast::AmbiguousVsClean,
        name: "ambiguous_vs_clean",
        title: "ambiguous vs clean",
        positives: Role::Ambiguous,
        negatives: &[Role::Clean],
    },
];

impl Contrast {
    /// Every contrast, in the order of the schema.
    pub const ALL: [Contrast; CONTRASTS.len()] = {
        let mut all = [Contrast::OodVsClean; CONTRASTS.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = CONTRASTS[i].contrast;
            i += 1;
        }
        all
    };

    fn words(self) -> &'static ContrastWords {
        &CONTRASTS[self as usize]
    }

    /// Its name in files: `ood_vs_clean`, `ood_vs_clean_ambiguous`, `ambiguous_vs_clean`.
    pub fn name(self) -> &'static str {
        self.words().name
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        self.words().title
    }

    /// The group to be found.
    pub fn positives(self) -> Role {
        self.words().positives
    }

    /// The groups among which it is to be found.
    pub fn negatives(self) -> &'static [Role] {
        self.words().negatives
    }
}

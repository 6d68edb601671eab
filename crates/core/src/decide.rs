//! Decisions on one input, in integers: which classes may be right, whether to abstain, whether the input is unknown.
//!
//! `qbnn calibrate` measures the rule of a model and stores it in the model's file ([`crate::model::Section`]). All that it
//! compares are the mean probabilities, with 32 fraction bits, and the uncertainties, with 16, that
//! [`crate::uncertainty::uncertainty`] works out: a device decides without a float, and as the measurement did.
//! The temperature alone is for those who show probabilities. It changes no decision.

use crate::fixed::Log2;
use crate::noise::philox4x32_10;
use crate::uncertainty::Uncertainty;

/// A probability of 1.
pub const ONE: u64 = 1 << 32;

/// What doubt in a prediction is measured by. All grow with the doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// 1 - greatest mean probability, 32 fraction bits.
    Confidence,
    /// Total uncertainty, nats with 16 fraction bits.
    Total,
    /// Aleatoric uncertainty, nats with 16 fraction bits.
    Aleatoric,
    /// Epistemic uncertainty, nats with 16 fraction bits.
    Epistemic,
}

impl Doubt {
    /// All, in the order of their numbers in the file.
    pub const ALL: [Doubt; 4] = [Doubt::Confidence, Doubt::Total, Doubt::Aleatoric, Doubt::Epistemic];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Doubt::Confidence => "confidence",
            Doubt::Total => "total",
            Doubt::Aleatoric => "aleatoric",
            Doubt::Epistemic => "epistemic",
        }
    }

    /// Of a prediction with such mean probabilities (32 fraction bits) and uncertainties.
    pub fn of(self, mean: &[u64], uncertainty: &Uncertainty) -> u64 {
        match self {
            Doubt::Confidence => ONE.saturating_sub(mean.iter().copied().max().unwrap_or(0)),
            Doubt::Total => uncertainty.total.into(),
            Doubt::Aleatoric => uncertainty.aleatoric.into(),
            Doubt::Epistemic => uncertainty.epistemic.into(),
        }
    }

    /// Fraction bits of its values.
    pub const fn fraction_bits(self) -> u32 {
        match self {
            Doubt::Confidence => 32,
            _ => crate::uncertainty::FRACTION_BITS,
        }
    }
}

/// A threshold on a doubt: what is above it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is compared.
    pub doubt: Doubt,
    /// The largest doubt that is not refused, in its own units.
    pub threshold: u64,
    /// What the threshold was chosen for, 32 fraction bits.
    pub level: u32,
}

impl Limit {
    /// Whether a prediction is refused.
    pub fn refuses(&self, mean: &[u64], uncertainty: &Uncertainty) -> bool {
        self.doubt.of(mean, uncertainty) > self.threshold
    }
}

/// What an abstain threshold was chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// A fraction of known inputs that is answered.
    Coverage,
    /// A fraction of the answers that is wrong.
    Error,
}

/// How badly a class suits an input, 32 fraction bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetScore {
    /// 1 - its probability (Sadinle, Lei and Wasserman 2019).
    Lac,
    /// The sum of the probabilities of the classes up to it, in order of falling probability, equal ones by their number
    /// (Romano, Sesia and Candès 2020).
    Aps,
    /// The same, but of the class's own probability only a share that [`randomness`] gives: the randomised form of the same
    /// paper. The deterministic one leaves the surest inputs of an accurate model without a class.
    ApsRandomised,
}

/// The random number of an input, 32 fraction bits, below 1: a hash of its mean probabilities. Philox4x32-10 of the low and the
/// high half of each probability in turn, under the first two words of the one before (0 and 0 at first); the first word of the
/// last.
///
/// It is no draw, so that an input has the same set wherever and whenever it is predicted. A conformal rule asks of a score only
/// that it is fixed before the calibration images are looked at.
pub fn randomness(mean: &[u64]) -> u32 {
    mean.iter().fold([0; 2], |key, &p| {
        let [a, b, ..] = philox4x32_10([p as u32, (p >> 32) as u32, 0, 0], key);
        [a, b]
    })[0]
}

impl SetScore {
    /// All, in the order of their numbers in the file.
    pub const ALL: [SetScore; 3] = [SetScore::Lac, SetScore::Aps, SetScore::ApsRandomised];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            SetScore::Lac => "lac",
            SetScore::Aps => "aps",
            SetScore::ApsRandomised => "aps-randomised",
        }
    }

    /// Of a class, from the mean probabilities. A class that there is not has the largest score.
    pub fn of(self, mean: &[u64], class: usize) -> u64 {
        self.with(mean, class, self.share(mean))
    }

    /// The share of a class's own probability that counts, 32 fraction bits; `None` where all of it does.
    fn share(self, mean: &[u64]) -> Option<u32> {
        (self == SetScore::ApsRandomised).then(|| randomness(mean))
    }

    fn with(self, mean: &[u64], class: usize, share: Option<u32>) -> u64 {
        let Some(&own) = mean.get(class) else { return u64::MAX };
        match self {
            SetScore::Lac => ONE.saturating_sub(own),
            SetScore::Aps | SetScore::ApsRandomised => {
                let before = |(other, &p): (usize, &u64)| p > own || p == own && other < class;
                let all = mean.iter().enumerate().filter(|&all| before(all)).map(|(_, &p)| p);
                // At most 2^32 times less than 2^32.
                let counted = share.map_or(own, |share| own.saturating_mul(share.into()) >> 32);
                all.fold(counted, u64::saturating_add)
            }
        }
    }
}

/// Which classes belong to the conformal set of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetRule {
    /// The score.
    pub score: SetScore,
    /// The largest score of a class of the set, 32 fraction bits.
    pub quantile: u64,
    /// Chosen fraction of sets without the right class, 32 fraction bits.
    pub alpha: u32,
}

impl SetRule {
    /// Whether a class belongs to the set.
    pub fn has(&self, mean: &[u64], class: usize) -> bool {
        self.score.of(mean, class) <= self.quantile
    }

    /// The classes of the set, in rising order.
    pub fn classes<'a>(&self, mean: &'a [u64]) -> impl Iterator<Item = usize> + use<'a> {
        let (SetRule { score, quantile, .. }, share) = (*self, self.score.share(mean));
        (0..mean.len()).filter(move |&class| score.with(mean, class, share) <= quantile)
    }
}

/// The kind of prediction that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Draws.
    Draws,
    /// One analytic pass with the weights of the stored posterior.
    AnalyticStored,
    /// One analytic pass with the weights of its draws.
    AnalyticDrawn,
}

impl Pass {
    /// All, in the order of their numbers in the file.
    pub const ALL: [Pass; 3] = [Pass::Draws, Pass::AnalyticStored, Pass::AnalyticDrawn];
}

/// What a model decides, measured on inputs that it was not trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// The logarithm of the temperature: T = 2^(this / 2048).
    pub log2_temperature: Log2,
    /// The kind of prediction that was measured.
    pub pass: Pass,
    /// Its draws; 0 for an analytic pass.
    pub samples: u32,
    /// The seed of the draws; 0 for an analytic pass.
    pub seed: u64,
    /// Inputs that were measured.
    pub images: u32,
    /// Conformal sets.
    pub sets: SetRule,
    /// When to abstain.
    pub abstain: Limit,
    /// What the abstain threshold was chosen for.
    pub aim: Aim,
    /// When an input is unknown; its level is the rate of false alarms.
    pub ood: Limit,
}

/// Bytes of decisions in a file.
pub(crate) const LEN: usize = 64;

impl Decisions {
    /// From the bytes of a file, or the place of the first number that means nothing.
    pub(crate) fn read(bytes: &[u8; LEN]) -> Result<Self, usize> {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |at: usize| u32::from_le_bytes(words[at / 4]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        fn one<T: Copy>(all: &[T], bytes: &[u8; LEN], at: usize) -> Result<T, usize> {
            all.get(usize::from(bytes[at])).copied().ok_or(at)
        }
        Ok(Decisions {
            log2_temperature: i16::from_le_bytes([bytes[0], bytes[1]]),
            pass: one(&Pass::ALL, bytes, 2)?,
            sets: SetRule { score: one(&SetScore::ALL, bytes, 3)?, alpha: word(4), quantile: long(8) },
            abstain: Limit { doubt: one(&Doubt::ALL, bytes, 16)?, level: word(20), threshold: long(24) },
            aim: one(&[Aim::Coverage, Aim::Error], bytes, 17)?,
            ood: Limit { doubt: one(&Doubt::ALL, bytes, 18)?, threshold: long(32), level: word(40) },
            samples: word(44),
            seed: long(48),
            images: word(56),
        })
    }

    /// The bytes in a file.
    #[cfg(feature = "std")]
    pub(crate) fn bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &self.log2_temperature.to_le_bytes());
        put(2, &[self.pass as u8, self.sets.score as u8]);
        put(4, &self.sets.alpha.to_le_bytes());
        put(8, &self.sets.quantile.to_le_bytes());
        put(16, &[self.abstain.doubt as u8, self.aim as u8, self.ood.doubt as u8]);
        put(20, &self.abstain.level.to_le_bytes());
        put(24, &self.abstain.threshold.to_le_bytes());
        put(32, &self.ood.threshold.to_le_bytes());
        put(40, &self.ood.level.to_le_bytes());
        put(44, &self.samples.to_le_bytes());
        put(48, &self.seed.to_le_bytes());
        put(56, &self.images.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_are_spread_evenly_and_belong_to_the_input() {
        let mean = |i: u64| [ONE - 3 * i - 1, 2 * i + 1, i];
        assert_eq!(randomness(&mean(7)), randomness(&mean(7)));
        let mut bins = [0u32; 8];
        (0..8000).for_each(|i| bins[(randomness(&mean(i)) >> 29) as usize] += 1);
        // 1,000 each, with a standard deviation of 30.
        assert!(bins.iter().all(|n| (880..1120).contains(n)), "{bins:?}");
        // A sure input, all of whose probability is one class's, has one too.
        assert_ne!(randomness(&[ONE, 0, 0]), randomness(&[0, ONE, 0]));
        assert_eq!(randomness(&[]), 0);
    }

    #[test]
    fn scores_by_hand() {
        let mean = [ONE / 4, ONE / 2, ONE / 8, ONE / 8];
        let aps = [0, 1, 2, 3].map(|class| SetScore::Aps.of(&mean, class));
        assert_eq!(aps, [ONE / 4 * 3, ONE / 2, ONE / 8 * 7, ONE]);
        assert_eq!(SetScore::Lac.of(&mean, 0), ONE / 4 * 3);
        assert_eq!(SetScore::Lac.of(&mean, 4), u64::MAX);
        let randomised = [0, 1, 2, 3].map(|class| SetScore::ApsRandomised.of(&mean, class));
        let u = u64::from(randomness(&mean));
        assert_eq!(randomised, [ONE / 2 + u / 4, u / 2, ONE / 4 * 3 + u / 8, ONE / 8 * 7 + u / 8]);
        for score in SetScore::ALL {
            let rule = SetRule { score, quantile: ONE / 5 * 4, alpha: 0 };
            assert!(rule.classes(&mean).eq((0..4).filter(|&class| rule.has(&mean, class))), "{score:?}");
        }
        let rule = SetRule { score: SetScore::Lac, quantile: ONE / 4 * 3, alpha: 0 };
        assert_eq!([0, 1, 2, 3, 4].map(|class| rule.has(&mean, class)), [true, true, false, false, false]);
        let uncertainty = Uncertainty { total: 5, aleatoric: 3, epistemic: 2 };
        assert_eq!(Doubt::ALL.map(|doubt| doubt.of(&mean, &uncertainty)), [ONE / 2, 5, 3, 2]);
        let limit = Limit { doubt: Doubt::Total, threshold: 5, level: 0 };
        assert!(!limit.refuses(&mean, &uncertainty) && Limit { threshold: 4, ..limit }.refuses(&mean, &uncertainty));
    }
}

//! The metrics of some groups, prepared once and then taken of any resample of their inputs.

use crate::calibration::Terms;
use crate::calibrator::{CalibratedTerms, SetTerms};
use crate::{
    ByHeadline, Contrast, EvalError, Headline, PooledScores, Score, Uncertainty, WeightedEce, WeightedMean,
    WeightedRisk, WeightedSpearman,
};

/// Every metric of one view made ready for any resample. Inputs are pooled in the order clean, ambiguous, ood.
pub(crate) struct Statistics {
    means: Vec<(Headline, WeightedMean)>,
    eces: Vec<(Headline, WeightedEce)>,
    scores: Vec<(Score, PooledScores)>,
    risks: Vec<(Score, WeightedRisk)>,
    spearmans: Vec<(Headline, WeightedSpearman)>,
}

impl Statistics {
    /// Sorts what is to be sorted. `terms` are those of the first group where it is labelled, `calibrated` those of a calibrated
    /// model.
    ///
    /// # Errors
    ///
    /// [`EvalError::NanScore`], [`EvalError::TooManyInputs`].
    pub(crate) fn new(
        terms: Option<Terms>,
        calibrated: Option<CalibratedTerms>,
        groups: [Option<&Uncertainty>; 3],
        soft_label_entropy: Option<&[f64]>,
    ) -> Result<Self, EvalError> {
        let wrong: Option<Vec<bool>> = terms.as_ref().map(|t| t.correct.iter().map(|&right| right == 0.0).collect());
        let (mut scores, mut risks) = (Vec::new(), Vec::new());
        for score in Score::ALL {
            let found = groups.map(|u| u.and_then(|u| score.of(u)));
            // Without draws that could disagree no group has this score.
            let of = |i: usize| found[i].as_deref().unwrap_or_default();
            if found[0].is_some() && found[1..].iter().any(Option::is_some) {
                scores.push((score, PooledScores::new([of(0), of(1), of(2)])?));
            }
            if let (Some(values), Some(wrong)) = (&found[0], &wrong) {
                risks.push((score, WeightedRisk::new(values, wrong)?));
            }
        }
        let mut spearmans = Vec::new();
        let pooled = |score: Score| -> Option<Vec<f64>> {
            let parts: Option<Vec<_>> = groups[..2].iter().flatten().map(|u| score.of(u)).collect();
            parts.map(|parts| parts.concat())
        };
        if let (Some(a), Some(e)) = (pooled(Score::Aleatoric), pooled(Score::Epistemic)) {
            spearmans.push((Headline::SpearmanAleatoricEpistemic, WeightedSpearman::new(0, &a, &e)?));
        }
        if let (Some(clean), Some(u), Some(soft)) = (groups[0], groups[1], soft_label_entropy) {
            let spearman = WeightedSpearman::new(clean.total.len(), &u.aleatoric, soft)?;
            spearmans.push((Headline::SpearmanAleatoricSoftLabel, spearman));
        }
        let mean = |values| WeightedMean::new(values, 0);
        let (mut means, mut eces) = (Vec::new(), Vec::new());
        if let Some(Terms { correct, nll, brier, bin, gap, .. }) = terms {
            means =
                vec![(Headline::Accuracy, mean(correct)), (Headline::Nll, mean(nll)), (Headline::Brier, mean(brier))];
            eces.push((Headline::Ece, WeightedEce::new(bin, gap, 0)));
        }
        if let Some(CalibratedTerms { nll, bin, gap, sets }) = calibrated {
            means.push((Headline::NllAtTemperature, mean(nll)));
            eces.push((Headline::EceAtTemperature, WeightedEce::new(bin, gap, 0)));
            for (score, SetTerms { covered, size }) in sets {
                means.push((Headline::Coverage(score), mean(covered)));
                means.push((Headline::SetSize(score), mean(size)));
            }
        }
        Ok(Self { means, eces, scores, risks, spearmans })
    }

    /// Every metric of a resample.
    pub(crate) fn values(&self, counts: &[u8]) -> ByHeadline<Option<f64>> {
        let mut values = ByHeadline::default();
        for (headline, mean) in &self.means {
            *values.get_mut(*headline) = mean.value(counts);
        }
        for (headline, ece) in &self.eces {
            *values.get_mut(*headline) = ece.value(counts);
        }
        for (score, pooled) in &self.scores {
            for (contrast, found) in Contrast::ALL.into_iter().zip(pooled.value(counts)) {
                *values.get_mut(Headline::Auroc(*score, contrast)) = found.map(|f| f.auroc);
                *values.get_mut(Headline::Aupr(*score, contrast)) = found.map(|f| f.aupr);
                *values.get_mut(Headline::Fpr95(*score, contrast)) = found.map(|f| f.fpr95);
            }
        }
        for (score, risk) in &self.risks {
            let found = risk.value(counts);
            *values.get_mut(Headline::ErrorAuroc(*score)) = found.and_then(|f| f.error_auroc);
            *values.get_mut(Headline::Aurc(*score)) = found.map(|f| f.aurc);
            *values.get_mut(Headline::Augrc(*score)) = found.map(|f| f.augrc);
        }
        for (headline, spearman) in &self.spearmans {
            *values.get_mut(*headline) = spearman.value(counts);
        }
        values
    }

    /// The share of tied pairs of every AUROC.
    pub(crate) fn tied(&self) -> ByHeadline<Option<f64>> {
        let mut values = ByHeadline::default();
        for (score, pooled) in &self.scores {
            for (contrast, value) in Contrast::ALL.into_iter().zip(pooled.tied()) {
                *values.get_mut(Headline::Auroc(*score, contrast)) = value;
            }
        }
        values
    }

    /// Wrong and right predictions of the labelled group.
    pub(crate) fn wrong_and_right(&self) -> [usize; 2] {
        self.risks.first().map_or([0; 2], |(_, risk)| risk.sizes())
    }
}

//! The composed evaluation: every headline metric of one model on its groups, with its bootstrap interval, and the paired
//! comparison of two models.
//!
//! The pairs of kind and group follow Mukhoti et al. (DDU, arXiv 2102.11582) and Mucsanyi et al. (arXiv 2402.19460):
//! epistemic uncertainty should find ood inputs and aleatoric ambiguous ones; the cross terms and the rank
//! correlation tell how far the two kinds are one and the same. Every score is measured against the same stated
//! negatives ([`crate::Contrast`]): how well one finds a group means nothing beside how well another finds it among others.

use crate::calibration::Terms;
use crate::metrics::{Counts, Difference, GroupMeans, MeanUncertainty};
use crate::sum::Sum;
use crate::{
    ByHeadline, Calibration, Calibrator, EvalError, Groups, Headline, Interval, Predictions, Resampler, Role, Shift,
    Uncertainty, parallel, percentile_interval, uncertainty,
};
pub use compare::compare;
pub use seeds::over_draw_seeds;
use seeds::{reach, widened};
use shifts::MeanOfShifts;
use view::View;

mod compare;
mod seeds;
mod shifts;
mod view;

/// Settings of the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalOptions {
    /// Number of resamples; 0 leaves all intervals out.
    pub resamples: usize,
    /// Seed of the resampling (not of the model's draws).
    pub seed: u64,
}

impl Default for EvalOptions {
    /// 1,000 resamples, seed 0.
    fn default() -> Self {
        Self { resamples: 1000, seed: 0 }
    }
}

/// One model, measured.
#[derive(Debug, Clone)]
pub struct Evaluation {
    samples: usize,
    classes: usize,
    groups: Vec<EvaluatedGroup>,
    /// Of the first groups of their roles.
    headline: Measured,
    /// Of each further group: its place, and the metrics with it in the place of the first of its role.
    further: Vec<(usize, Measured)>,
    /// Means over the groups that were made by shifts.
    shifts: Vec<MeanOfShifts>,
    /// Seeds of draws over which the metrics are means.
    draw_seeds: usize,
    /// What validation inputs made of the model, where there were some.
    calibrator: Option<Calibrator>,
    options: EvalOptions,
}

/// One group of an evaluation.
#[derive(Debug, Clone)]
pub struct EvaluatedGroup {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Of a group that was made by a shift: by which.
    pub shift: Option<Shift>,
    /// Mean prediction and uncertainties of every input.
    pub uncertainty: Uncertainty,
    /// Their means.
    pub means: MeanUncertainty,
    /// The label of every input of a clean or shifted group; of others none.
    pub labels: Vec<usize>,
    /// Accuracy, NLL, Brier score and ECE of a clean or shifted group.
    pub calibration: Option<Calibration>,
}

impl EvaluatedGroup {
    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.uncertainty.total.len()
    }
}

/// Metrics of a group beside the first ones of their roles, or means over several such groups.
#[derive(Debug, Clone, Copy)]
pub struct Further<'a> {
    /// Its name; that of a mean ends in `@mean`.
    pub name: &'a str,
    /// Its role.
    pub role: Role,
    /// Of a group that was made by a shift: by which.
    pub shift: Option<&'a Shift>,
    /// Its inputs, of a mean those of all its groups.
    pub inputs: usize,
    /// Its mean uncertainties.
    pub means: MeanUncertainty,
    /// Its metrics: those of [`Headline::is_of`] its role.
    pub measured: &'a Measured,
}

/// Metrics of some groups.
#[derive(Debug, Clone)]
pub struct Measured {
    values: ByHeadline<Option<f64>>,
    tied: ByHeadline<Option<f64>>,
    intervals: ByHeadline<Option<Interval>>,
    /// One value per resample and metric; what [`compare`] pairs.
    replicates: ByHeadline<Vec<Option<f64>>>,
    /// One value per seed of draws and metric; none of a metric that some seed lacks.
    by_seed: ByHeadline<Vec<f64>>,
}

impl Measured {
    /// A metric; `None` where its group or the epistemic part is absent, or a rank correlation undefined.
    pub fn value(&self, headline: Headline) -> Option<f64> {
        *self.values.get(headline)
    }

    /// Of an AUROC: the share of pairs of a positive and a negative whose scores tie; `None` for other metrics.
    pub fn tied(&self, headline: Headline) -> Option<f64> {
        *self.tied.get(headline)
    }

    /// Its 95 % interval; `None` too without resamples, or if one of them left the metric undefined.
    pub fn interval(&self, headline: Headline) -> Option<Interval> {
        *self.intervals.get(headline)
    }

    /// Differences `self - reference`, paired resample by resample and seed by seed.
    fn less(&self, reference: &Self) -> ByHeadline<Option<Difference>> {
        ByHeadline::from_fn(|headline| {
            let value = self.value(headline)? - reference.value(headline)?;
            let pairs = self.replicates.get(headline).iter().zip(reference.replicates.get(headline));
            let replicates: Vec<_> = pairs.map(|(m, r)| Some((*m)? - (*r)?)).collect();
            let (own, other) = (self.by_seed.get(headline), reference.by_seed.get(headline));
            // What has no draws, and so one seed, is the same under each.
            let at = |values: &[f64], seed: usize| values.get(seed).or(values.first()).copied();
            let by_seed = (0..own.len().max(other.len())).map(|seed| Some(at(own, seed)? - at(other, seed)?));
            let reach = reach(&by_seed.collect::<Option<Vec<_>>>()?);
            let everything = (f64::NEG_INFINITY, f64::INFINITY);
            let ci95 = percentile_interval(&replicates).map(|ends| widened(value, ends, reach, everything));
            Some(Difference { value, ci95 })
        })
    }
}

impl Evaluation {
    /// S, the number of draws.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// C, the number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Seeds of draws over which the metrics are means: 1 unless [`over_draw_seeds`] made it.
    pub fn draw_seeds(&self) -> usize {
        self.draw_seeds
    }

    /// What was fitted on validation inputs, where some were given; over several seeds of draws the mean.
    pub fn calibrator(&self) -> Option<&Calibrator> {
        self.calibrator.as_ref()
    }

    /// All groups, in the order in which they were given.
    pub fn groups(&self) -> &[EvaluatedGroup] {
        &self.groups
    }

    /// Every group that is not the first of a headline role; then the means over those that were made by shifts, where they
    /// are several: over all ([`SHIFTS_MEAN`](crate::SHIFTS_MEAN)), and over the severities of each kind.
    pub fn further(&self) -> impl Iterator<Item = Further<'_>> {
        let groups = self.further.iter().map(|(place, measured)| {
            let group = &self.groups[*place];
            let (shift, inputs) = (group.shift.as_ref(), group.inputs());
            Further { name: &group.name, role: group.role, shift, inputs, means: group.means, measured }
        });
        groups.chain(self.shifts.iter().map(MeanOfShifts::further))
    }

    /// Inputs of the first groups of their roles.
    pub fn counts(&self) -> Counts {
        let n = |role| self.first(role).map_or(0, EvaluatedGroup::inputs) as u64;
        Counts { clean: n(Role::Clean), ambiguous: n(Role::Ambiguous), ood: n(Role::Ood) }
    }

    /// Accuracy, NLL, Brier score and ECE on the first clean group.
    pub fn calibration(&self) -> Option<Calibration> {
        self.first(Role::Clean)?.calibration
    }

    /// Mean uncertainties of the first groups of their roles, nats.
    pub fn mean_uncertainty(&self) -> GroupMeans {
        let of = |role| self.first(role).map(|g| g.means);
        GroupMeans { clean: of(Role::Clean), ambiguous: of(Role::Ambiguous), ood: of(Role::Ood) }
    }

    /// One headline metric; `None` where its group or the epistemic part is absent, or a rank correlation undefined.
    pub fn value(&self, headline: Headline) -> Option<f64> {
        self.headline.value(headline)
    }

    /// The metric of the group of this name, with it in the place of the first of its role; `None` for a metric that is
    /// not of its role.
    pub fn value_of(&self, group: &str, headline: Headline) -> Option<f64> {
        if let Some(mean) = self.shifts.iter().find(|mean| mean.name == group) {
            return mean.measured.value(headline);
        }
        let place = self.groups.iter().position(|g| g.name == group)?;
        let further = self.further.iter().find(|f| f.0 == place).map(|f| &f.1);
        let measured = further.unwrap_or(&self.headline);
        measured.value(headline).filter(|_| headline.is_of(self.groups[place].role))
    }

    /// Of an AUROC: the share of pairs of a positive and a negative whose scores tie; `None` for other metrics.
    pub fn tied(&self, headline: Headline) -> Option<f64> {
        self.headline.tied(headline)
    }

    /// The first group of a role; `None` where there is none.
    pub fn first(&self, role: Role) -> Option<&EvaluatedGroup> {
        self.groups.iter().find(|g| g.role == role)
    }

    /// The label of every input of the first clean group.
    pub fn labels(&self) -> &[usize] {
        self.first(Role::Clean).map_or(&[], |g| &g.labels)
    }

    /// Its 95 % interval; `None` too without resamples, or if one of them left the metric undefined.
    pub fn interval(&self, headline: Headline) -> Option<Interval> {
        self.headline.interval(headline)
    }
}

/// Measures one model on its groups.
///
/// Of the first groups of their roles: accuracy, NLL, Brier, ECE, and how every [`crate::Score`] ranks wrong predictions, are
/// taken on clean alone. The AUROC, AUPR and FPR95 of every score are taken over every [`crate::Contrast`]. The rank correlation of the
/// two kinds is taken in-distribution, over clean + ambiguous pooled; the one with the entropy of the soft labels over ambiguous.
/// Every further group has the metrics of its role, with itself in the place of the first; adding one changes no figure of the
/// others, intervals included. Resamples are shared out among the processor's threads; results do not depend on how many there
/// are.
///
/// # Errors
///
/// Those of [`Groups::check`].
pub fn evaluate(groups: &Groups, options: &EvalOptions) -> Result<Evaluation, EvalError> {
    measure(groups, None, options, usize::MAX)
}

/// The same, and what the model is worth once it is calibrated on validation inputs: the metrics of [`Headline::CALIBRATED`].
///
/// # Errors
///
/// Those of [`Groups::check`], of [`Calibrator::fit`], and [`EvalError::GroupsDisagree`] for validation inputs with other classes.
/// An analytic pass may be read out at other points on them; draws should be as many.
pub fn evaluate_calibrated(
    groups: &Groups,
    validation: &Predictions,
    labels: &[usize],
    options: &EvalOptions,
) -> Result<Evaluation, EvalError> {
    let (found, wanted) = (validation.classes(), groups.classes());
    if found != wanted {
        return Err(EvalError::GroupsDisagree { group: "validation".into(), dimension: "classes", found, wanted });
    }
    measure(groups, Some(Calibrator::fit(validation, labels)?), options, usize::MAX)
}

/// The same by at most so many threads.
fn measure(
    groups: &Groups,
    calibrator: Option<Calibrator>,
    options: &EvalOptions,
    threads: usize,
) -> Result<Evaluation, EvalError> {
    groups.check()?;
    let classes = groups.classes();
    let mut evaluated = Vec::with_capacity(groups.0.len());
    for group in groups.iter() {
        let uncertainty = uncertainty(&group.predictions);
        let labels = if group.role.is_labelled() { group.labels.clone() } else { Vec::new() };
        let terms = group
            .role
            .is_labelled()
            .then(|| Terms::new(&uncertainty.mean_probs, classes, &labels, uncertainty.precision));
        evaluated.push(EvaluatedGroup {
            name: group.name.clone(),
            role: group.role,
            shift: group.shift.clone(),
            means: means(&uncertainty),
            uncertainty,
            labels,
            calibration: terms.transpose()?.map(|terms| terms.calibration()),
        });
    }
    let firsts = Role::HEADLINE.map(|role| groups.iter().position(|g| g.role == role));
    let further: Vec<usize> = (0..evaluated.len()).filter(|place| !firsts.contains(&Some(*place))).collect();
    let view = |further| View::new(firsts, further, groups, &evaluated, calibrator.as_ref());
    let headline = view(None)?;
    let views = further.iter().map(|&place| view(Some(place)));
    let views = std::iter::once(Ok(headline)).chain(views).collect::<Result<Vec<_>, _>>()?;

    // Pooled in the order of the headline roles, then the further groups: these draw after the others in every resample,
    // and so change nothing there.
    let (mut ranges, mut sizes) = (vec![0..0; evaluated.len()], Vec::new());
    for place in firsts.into_iter().chain(further.iter().copied().map(Some)) {
        let begin = sizes.iter().sum();
        let size = place.map_or(0, |place: usize| evaluated[place].inputs());
        if let Some(place) = place {
            ranges[place] = begin..begin + size;
        }
        sizes.push(size);
    }
    let resampler = Resampler::new(options.seed, &sizes);
    let resamples = parallel::each(options.resamples, threads, |resample| {
        let mut counts = Vec::new();
        resampler.fill(resample as u64, &mut counts);
        views.iter().map(|view| view.values(&counts, &ranges)).collect::<Vec<_>>()
    });
    let once = vec![1; sizes.iter().sum()];
    let mut measured = Vec::with_capacity(views.len());
    // By view: the resamples of each.
    let mut by_view: Vec<Vec<_>> = views.iter().map(|_| Vec::with_capacity(resamples.len())).collect();
    for values in resamples {
        by_view.iter_mut().zip(values).for_each(|(all, values)| all.push(values));
    }
    for (view, resamples) in views.iter().zip(&by_view) {
        measured.push(view.measured(&evaluated, view.values(&once, &ranges), resamples));
    }
    let headline = measured.remove(0);
    let further: Vec<_> = further.into_iter().zip(measured).collect();
    Ok(Evaluation {
        samples: groups.samples(),
        classes,
        shifts: MeanOfShifts::all(&evaluated, &further),
        groups: evaluated,
        headline,
        further,
        draw_seeds: 1,
        calibrator,
        options: *options,
    })
}

/// Mean uncertainties of one group.
fn means(u: &Uncertainty) -> MeanUncertainty {
    let mean = |values: &[f64]| Sum::of(values.iter().copied()).over(values.len());
    MeanUncertainty {
        total: mean(&u.total),
        aleatoric: mean(&u.aleatoric),
        epistemic: u.epistemic.as_deref().map(mean),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::TestGroup;

    fn every(evaluation: &Evaluation) -> impl Iterator<Item = &Measured> {
        std::iter::once(&evaluation.headline).chain(evaluation.further().map(|f| f.measured))
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let some = |n: usize, salt: usize| {
            let p = |s: usize, i: usize| 0.5 + 0.49 * ((s * 7 + i * 13 + salt) as f64).sin();
            let probs = (0..3).flat_map(|s| (0..n).flat_map(move |i| [p(s, i), 1.0 - p(s, i)])).collect();
            Predictions::new(3, n, 2, probs).unwrap()
        };
        let groups = Groups(vec![
            TestGroup::clean(some(600, 0), (0..600).map(|i| i % 2).collect()),
            TestGroup::ambiguous(some(40, 1), None),
            TestGroup::ood(some(50, 2)),
            TestGroup::ood(some(30, 3)).named("near"),
        ]);
        let options = EvalOptions { resamples: 33, seed: 4 };
        let [one, two, many] = [1, 2, 5].map(|threads| measure(&groups, None, &options, threads).unwrap());
        for other in [&two, &many] {
            for (a, b) in every(&one).zip(every(other)) {
                assert_eq!((&a.replicates, &a.intervals), (&b.replicates, &b.intervals));
            }
        }
        assert_eq!(every(&one).count(), 2);
        assert_eq!(one.headline.replicates.get(Headline::AMBIGUOUS).len(), 33);
    }
}

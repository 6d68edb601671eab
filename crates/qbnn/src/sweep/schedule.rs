//! Who does what when: tasks side by side, each model after the float networks that it needs. A task that fails, even
//! one that panics, is a line with its reason; the rest goes on.

use super::estimate;
use super::ledger::{Ledger, Line, Outcome, Results};
use super::plan::{Id, Plan, Point, Run};
use super::progress::Progress;
use super::work::Runner;
use crate::error::{At, Error, Result};
use crate::observer::Event;
use crate::preprocess::Prepared;
use crate::{experiment, export, ood};
use qbnn_eval::{Headline, Score};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Whether independent runs go side by side, one thread each (`true`), or one after the other on all threads.
pub const SIDE_BY_SIDE: bool = true;

/// What is left to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// A float network.
    Float(Id),
    /// A model, by its place in the plan, at these numbers of draws.
    Run(usize, Vec<usize>),
}

/// What `results` leave to do of some runs (by place in the plan): each float network before the first run that needs
/// it. A run that failed is done, unless `retry`.
pub fn tasks(plan: &Plan, runs: &[usize], results: &Results, retry: bool, trained: impl Fn(&str) -> bool) -> Vec<Task> {
    let (mut tasks, mut seen) = (Vec::new(), HashSet::new());
    for &at in runs {
        let run = &plan.runs[at];
        let open = |samples: &&usize| {
            let line = results.get(&Point { run: run.id.clone(), samples: **samples });
            line.is_none_or(|l| retry && matches!(l.outcome, Outcome::Failed(_)))
        };
        let samples: Vec<usize> = run.samples.iter().filter(open).copied().collect();
        if samples.is_empty() {
            continue;
        }
        for id in &run.floats {
            if seen.insert(id.clone()) && !trained(id) {
                tasks.push(Task::Float(id.clone()));
            }
        }
        tasks.push(Task::Run(at, samples));
    }
    tasks
}

/// Reads the data of all tasks once, whatever their seeds, so that what is missing or wrong is told before the first of them
/// begins; and warns, once each, of what a training would be warned of.
///
/// # Errors
/// Those of [`crate::experiment::load`], at the first row that needs such data; [`Error::is_stopped`] of one that was stopped.
pub fn prepare(plan: &Plan, runner: &Runner<'_>, tasks: &[Task]) -> Result<()> {
    let (mut read, mut warned) = (HashSet::new(), HashSet::new());
    let mut warn = |line: String| {
        if warned.insert(line.clone()) {
            runner.observer.warn(&line);
        }
    };
    for task in tasks {
        let (config, is_training) = match task {
            Task::Float(id) => match plan.floats.get(id) {
                Some(float) => (&float.config, true),
                None => continue,
            },
            Task::Run(at, _) => (&plan.runs[*at].config, plan.runs[*at].floats.is_empty()),
        };
        if is_training {
            ood::warnings(&config.train).into_iter().for_each(&mut warn);
        }
        let made = (config.eval.shifts, config.eval.severities, config.eval.shift_images);
        // Networks on one set of data differ in what they can have.
        let network = is_training.then_some((&config.network, &config.train.posterior));
        if !read.insert(format!("{:?} {made:?} {network:?}", config.data)) {
            continue;
        }
        runner.check_stop()?;
        let dataset = runner.dataset(config).at(|| {
            format!("no run is begun: the data of {} seed {} cannot be read", config.network.title(), config.seed)
        })?;
        let data = Prepared::new(&dataset);
        if is_training && let Ok((spec, _)) = experiment::network(config, &data) {
            // A network that cannot be is a row with its reason.
            export::warning_of_float(&spec, &data, &config.train).into_iter().for_each(&mut warn);
        }
    }
    Ok(())
}

/// Estimated seconds of a task on one thread.
pub fn cost(plan: &Plan, task: &Task) -> f64 {
    match task {
        Task::Float(id) => plan.floats.get(id).map_or(0.0, estimate::float),
        Task::Run(at, _) => estimate::run(&plan.runs[*at]),
    }
}

/// The runs of shard `index` (from 1) of `of`: those that share a float network stay together, and the shards are
/// about equally long.
pub fn shard(plan: &Plan, index: usize, of: usize) -> Vec<usize> {
    // Runs joined through float networks that they share: each group by its least run.
    let mut group: Vec<usize> = (0..plan.runs.len()).collect();
    fn root(group: &[usize], mut at: usize) -> usize {
        while group[at] != at {
            at = group[at];
        }
        at
    }
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (at, run) in plan.runs.iter().enumerate() {
        for id in &run.floats {
            let other = *first.entry(id).or_insert(at);
            let (a, b) = (root(&group, at), root(&group, other));
            group[a.max(b)] = a.min(b);
        }
    }
    let mut costs: HashMap<usize, f64> = HashMap::new();
    let mut counted = HashSet::new();
    for (at, run) in plan.runs.iter().enumerate() {
        let new = run.floats.iter().filter(|id| counted.insert(id.as_str()));
        let floats: f64 = new.filter_map(|id| plan.floats.get(id)).map(estimate::float).sum();
        *costs.entry(root(&group, at)).or_default() += floats + estimate::run(run);
    }
    let mut groups: Vec<(usize, f64)> = costs.into_iter().collect();
    groups.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut loads = vec![0.0; of];
    let mut mine = HashSet::new();
    for (group, cost) in groups {
        let least = (0..of).min_by(|&a, &b| f64::total_cmp(&loads[a], &loads[b])).unwrap_or(0);
        loads[least] += cost;
        if least + 1 == index {
            mine.insert(group);
        }
    }
    (0..plan.runs.len()).filter(|&at| mine.contains(&root(&group, at))).collect()
}

#[derive(Default)]
struct State {
    /// With each task's number.
    pending: Vec<(usize, Task)>,
    /// Float networks that are still to be trained, and those that failed.
    floats: HashMap<Id, Option<String>>,
    /// What ends everything: a stop, or a ledger that cannot be written.
    end: Option<Error>,
}

/// Everything that the workers share.
struct WorkQueue<'a> {
    plan: &'a Plan,
    runner: &'a Runner<'a>,
    state: Mutex<State>,
    changed: Condvar,
    ledger: Mutex<(Ledger, &'a mut Results)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does the tasks, `jobs` at a time with `threads` each, and writes each result down.
///
/// # Errors
/// One for which [`Error::is_stopped`] holds, if the user asked to stop; [`Error::Io`] of a ledger that cannot be written;
/// [`Error::Threads`].
pub fn work(
    plan: &Plan,
    runner: &Runner<'_>,
    tasks: Vec<Task>,
    (jobs, threads): (usize, usize),
    ledger: Ledger,
    results: &mut Results,
) -> Result<()> {
    let total = tasks.iter().map(|t| cost(plan, t)).sum();
    let models = tasks.iter().filter(|t| matches!(t, Task::Run(..))).count();
    let floats = tasks.iter().filter_map(|t| if let Task::Float(id) = t { Some((id.clone(), None)) } else { None });
    let state = State { floats: floats.collect(), pending: tasks.into_iter().enumerate().collect(), end: None };
    let queue = WorkQueue {
        plan,
        runner,
        state: Mutex::new(state),
        changed: Condvar::new(),
        ledger: Mutex::new((ledger, results)),
    };
    let tell = |progress| runner.observer.event(Event::Sweep(progress));
    let mut pools = Vec::new();
    for _ in 0..jobs {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pools.push(pool.map_err(|e| Error::Threads(e.into()))?);
    }
    tell(Progress::Began { total, models, jobs });
    std::thread::scope(|scope| {
        for pool in &pools {
            let worker = std::thread::Builder::new().spawn_scoped(scope, || queue.serve(pool));
            if let Err(e) = worker {
                lock(&queue.state).end.get_or_insert(Error::Threads(e.into()));
                break;
            }
        }
    });
    tell(Progress::Closed);
    let end = lock(&queue.state).end.take();
    end.map_or(Ok(()), Err)
}

impl WorkQueue<'_> {
    fn tell(&self, progress: Progress<'_>) {
        self.runner.observer.event(Event::Sweep(progress));
    }

    /// One worker: takes the first task that can be done, until none is left.
    fn serve(&self, pool: &rayon::ThreadPool) {
        while let Some((number, task)) = self.take() {
            let cost = cost(self.plan, &task);
            let tell = |share| self.tell(Progress::Running { task: number, cost, share });
            tell(0.0);
            let outcome = match &task {
                Task::Float(id) => pool.install(|| self.float(id, &tell)).map(|line| (false, line)),
                Task::Run(at, samples) => pool.install(|| self.run(*at, samples, &tell)).map(|line| (true, line)),
            };
            match outcome {
                Ok((model, line)) => self.tell(Progress::Ended { task: number, cost, model, line: &line }),
                Err(end) => {
                    lock(&self.state).end.get_or_insert(end);
                }
            }
            self.changed.notify_all();
        }
        self.changed.notify_all();
    }

    fn take(&self) -> Option<(usize, Task)> {
        let mut state = lock(&self.state);
        loop {
            if state.end.is_some() || state.pending.is_empty() {
                return None;
            }
            let State { pending, floats, .. } = &*state;
            let ready = |task: &Task| match task {
                Task::Float(_) => true,
                Task::Run(at, _) => {
                    let needed = &self.plan.runs[*at].floats;
                    // A network that is neither waited for nor failed is there.
                    needed.iter().all(|id| !floats.contains_key(id))
                        || needed.iter().any(|id| matches!(floats.get(id), Some(Some(_))))
                }
            };
            if let Some(at) = pending.iter().position(|(_, t)| ready(t)) {
                return Some(state.pending.remove(at));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Trains a float network. An error ends the whole sweep.
    fn float(&self, id: &str, tell: super::work::Tell<'_>) -> Result<String> {
        let Some(float) = self.plan.floats.get(id) else { return Ok(format!("float {id}: no run needs it")) };
        let started = Instant::now();
        let outcome = caught(|| self.runner.float(id, float, tell));
        let what = format!("float {} {} seed {}", float.config.data.name, float.config.network.title(), float.seed);
        let reason = match outcome {
            Err(error) if error.is_stopped() => return Err(error),
            Err(error) => Some(error.one_line()),
            Ok(()) => None,
        };
        let mut state = lock(&self.state);
        match reason {
            None => {
                state.floats.remove(id);
                Ok(format!("{what}: trained in {}", estimate::shown(started.elapsed().as_secs_f64())))
            }
            Some(reason) => {
                let line = format!("{what}: failed: {reason}");
                state.floats.insert(id.to_owned(), Some(reason));
                Ok(line)
            }
        }
    }

    /// Makes and evaluates a model. An error ends the whole sweep.
    fn run(&self, at: usize, samples: &[usize], tell: super::work::Tell<'_>) -> Result<String> {
        let run = &self.plan.runs[at];
        let config = &run.config;
        let failed_float = {
            let state = lock(&self.state);
            run.floats.iter().find_map(|id| state.floats.get(id).cloned().flatten())
        };
        let (lines, said) = results(self.runner, run, samples, failed_float, tell)?;
        let mut guard = lock(&self.ledger);
        let (ledger, results) = &mut *guard;
        for line in lines {
            ledger.append(&line)?;
            results.take(line);
        }
        Ok(format!("{} {} {} seed {}: {said}", run.title(), config.data.name, config.network.title(), config.seed))
    }
}

/// Makes a model and evaluates it: a line for each number of draws, and what there is to say. What fails is a line with its
/// reason; `failed_float` is why a float network that it needs is not there.
///
/// # Errors
/// One for which [`Error::is_stopped`] holds.
pub fn results(
    runner: &Runner<'_>,
    run: &Run,
    samples: &[usize],
    failed_float: Option<String>,
    tell: super::work::Tell<'_>,
) -> Result<(Vec<Line>, String)> {
    let config = &run.config;
    let outcome = match failed_float {
        Some(reason) => Err(Error::FloatNetwork(reason)),
        None => caught(|| runner.run(run, samples, tell)),
    };
    let line = |samples: usize, outcome: Outcome| Line {
        run: run.id.clone(),
        samples,
        seed: config.seed,
        data: config.data.name.clone(),
        network: config.network.title().to_owned(),
        model: run.title(),
        outcome,
    };
    Ok(match outcome {
        Err(error) if error.is_stopped() => return Err(error),
        Err(error) => {
            let reason = error.one_line();
            let failed = |&s: &usize| line(s, Outcome::Failed(reason.clone()));
            (samples.iter().map(failed).collect::<Vec<_>>(), format!("failed: {reason}"))
        }
        Ok(done) => {
            let said = done.last().map_or(String::new(), |(_, d)| {
                let shown = |h, scale: f64| d.value(h).map_or("-".into(), |v| format!("{:.4}", v * scale));
                let seconds = estimate::shown(d.train_seconds + d.eval_seconds);
                format!(
                    "accuracy {:.2} %, AUROC ood {}, ambiguous {}; {seconds}",
                    d.value(Headline::Accuracy).unwrap_or(f64::NAN) * 100.0,
                    shown(Headline::ood(Score::Epistemic, |h| d.value(h).is_some()), 1.0),
                    shown(Headline::AMBIGUOUS, 1.0),
                )
            });
            (done.into_iter().map(|(s, d)| line(s, Outcome::Done(Box::new(d)))).collect(), said)
        }
    })
}

/// A panic as an error: one bad run must not end a night's work.
fn caught<R>(task: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Error::Panicked(text.to_owned()))
    })
}

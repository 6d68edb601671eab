//! `qbnn sweep`: a grid of experiments, planned, run, resumed and laid out as tables.

use crate::failure::usage;
use crate::layout::Medium;
use crate::session::Session;
use crate::sweep::args::{Shard, SweepArgs};
use crate::sweep::text::text;
use crate::table::PARAMETER_BYTES;
use anyhow::{Context, Result, bail};
use qbnn::lock::check_writable;
use qbnn::output::{self, write_whole};
use qbnn::shell;
use qbnn::sweep::estimate::{self, shown};
use qbnn::sweep::ledger::{self, Ledger, Outcome, Results};
use qbnn::sweep::plan::Plan;
use qbnn::sweep::schedule::{self, SIDE_BY_SIDE, Task};
use qbnn::sweep::spec::{COPY, Spec};
use qbnn::sweep::work::Runner;
use qbnn::sweep::{document, gather, tables};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Runs it.
pub fn sweep(session: &Session, args: &SweepArgs) -> Result<()> {
    if let Some(page) = &args.report {
        return report(session, args, page);
    }
    let [path] = &args.specs[..] else {
        return Err(usage("several specs are only read with --report; run them one after the other"));
    };
    let spec = Spec::read(path)?;
    let plan = Plan::new(&spec).with_context(|| path.display().to_string())?;
    let folder = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("runs/sweep-{}", plan.name)));
    let floats = args.floats.clone().unwrap_or_else(|| folder.join("float"));
    let (jobs, threads) = side_by_side(args.jobs);
    let runner = Runner::new(session, floats, jobs);
    if args.tables {
        return show(session, &plan, &ledger::read(&folder, &plan)?, &folder);
    }
    let runs = match args.shard {
        None => (0..plan.runs.len()).collect(),
        Some(Shard { index, of }) => schedule::shard(&plan, index, of),
    };
    let mut results = if args.adopt { Results::default() } else { ledger::read(&folder, &plan)? };
    if args.dry_run {
        // What would be adopted is known.
        let adopted = (args.adopt && ledger::is_begun(&folder)?).then_some(&folder);
        let known: Vec<PathBuf> = args.known.iter().chain(adopted).cloned().collect();
        ledger::known(&known, &plan, &results)?.into_iter().for_each(|line| results.take(line));
        let tasks = schedule::tasks(&plan, &runs, &results, args.retry, |id| runner.is_trained(id));
        return plan_only(session, &plan, &results, &tasks, jobs * threads);
    }
    for dir in [&folder, &runner.floats] {
        let cannot = || format!("cannot make {}; name another folder with --out", dir.display());
        std::fs::create_dir_all(dir).with_context(cannot)?;
    }
    let name = match args.shard {
        None => "ledger.jsonl".to_owned(),
        Some(Shard { index, of }) => format!("ledger-{index}-of-{of}.jsonl"),
    };
    let mut file = Ledger::open(&folder.join(name), &plan, args.adopt)?;
    // Another sweep may have written meanwhile.
    if !args.adopt {
        results = ledger::read(&folder, &plan)?;
    }
    // The folder tells what it answers, wherever it is taken.
    write_whole(&folder.join(COPY), spec.text.as_bytes())?;
    if args.adopt {
        results = ledger::read(&folder, &plan)?;
    }
    for line in ledger::known(&args.known, &plan, &results)? {
        if runs.iter().any(|&at| plan.runs[at].id == line.run) {
            file.append(&line)?;
            results.take(line);
        }
    }
    let tasks = schedule::tasks(&plan, &runs, &results, args.retry, |id| runner.is_trained(id));
    schedule::prepare(&plan, &runner, &tasks)?;
    let left: f64 = tasks.iter().map(|t| schedule::cost(&plan, t)).sum();
    let left = left * estimate::scale(&plan, &results) / (jobs * threads) as f64;
    let open = tasks.iter().filter(|t| matches!(t, Task::Run(..))).count();
    session.ui.say(&format!(
        "{}: {open} of {} to make, {} to train, {jobs} at a time on {} each; about {}",
        plan.name,
        counted(runs.len(), "model"),
        counted(tasks.len() - open, "float network"),
        counted(threads, "thread"),
        shown(left)
    ));
    let ended = schedule::work(&plan, &runner, tasks, (jobs, threads), file, &mut results);
    if let Err(error) = ended {
        if error.is_stopped() {
            bail!("stopped; finished runs are in {}, the same command goes on", folder.display());
        }
        return Err(error.into());
    }
    // Shards beside this one may have written meanwhile.
    let results = ledger::read(&folder, &plan)?;
    gather::write_answers(&plan, &results, &folder)?;
    show(session, &plan, &results, &folder)?;
    let mine = runs.iter().flat_map(|&at| {
        let run = &plan.runs[at];
        run.samples.iter().map(|&samples| qbnn::sweep::plan::Point { run: run.id.clone(), samples })
    });
    let failed = |p| results.get(&p).is_some_and(|l| matches!(l.outcome, Outcome::Failed(_)));
    match mine.filter(|p| failed(p.clone())).count() {
        0 => Ok(()),
        n => bail!("{n} results failed, their reasons stand under the tables; --retry makes them again"),
    }
}

/// `1 thread`, `2 threads`.
fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// How many tasks run side by side, and the threads of each.
fn side_by_side(asked: Option<u16>) -> (usize, usize) {
    let cores = rayon::current_num_threads();
    let jobs = asked.map_or(if SIDE_BY_SIDE { cores } else { 1 }, usize::from).max(1);
    (jobs, (cores / jobs).max(1))
}

/// Lists what would be done.
fn plan_only(session: &Session, plan: &Plan, results: &Results, tasks: &[Task], threads: usize) -> Result<()> {
    let scale = estimate::scale(plan, results);
    let line = |task: &Task| {
        let seconds = schedule::cost(plan, task) * scale;
        let (what, config, seed, samples) = match task {
            Task::Float(id) => {
                let float = plan.floats.get(id)?;
                ("train float".to_owned(), &float.config, float.seed, Vec::new())
            }
            Task::Run(at, samples) => {
                let run = &plan.runs[*at];
                (run.title(), &run.config, run.config.seed, samples.clone())
            }
        };
        Some((what, config, seed, samples, seconds))
    };
    let lines: Vec<_> = tasks.iter().filter_map(line).collect();
    let total: f64 = lines.iter().map(|l| l.4).sum();
    let done = results.lines().count();
    if session.ui.json {
        let tasks = lines.iter().map(|(what, config, seed, samples, seconds)| {
            json!({ "what": what, "data": config.data.name, "network": config.network.title(), "seed": seed,
                    "samples": samples, "thread_seconds": seconds })
        });
        let tasks: Vec<_> = tasks.collect();
        return session.ui.json_line(&json!({
            "sweep": plan.name, "plan": plan.hash, "results_there": done, "tasks": tasks, "thread_seconds": total,
            "seconds": total / threads as f64,
        }));
    }
    for (what, config, seed, samples, seconds) in &lines {
        let draws: Vec<_> = samples.iter().map(usize::to_string).collect();
        let draws = if draws.is_empty() { String::new() } else { format!(", S = {}", draws.join(" ")) };
        let (data, network) = (&config.data.name, config.network.title());
        session.ui.result(&format!("{what}, {data} {network}, seed {seed}{draws}: about {}", shown(*seconds)))?;
    }
    let floats = tasks.iter().filter(|t| matches!(t, Task::Float(_))).count();
    session.ui.result(&format!(
        "{}: {} and {} to do, {done} results there; about {} on {}",
        plan.name,
        counted(lines.len() - floats, "model"),
        counted(floats, "float network"),
        shown(total / threads as f64),
        counted(threads, "thread")
    ))
}

fn show(session: &Session, plan: &Plan, results: &Results, folder: &Path) -> Result<()> {
    let ui = session.ui;
    if ui.json {
        let rows = tables::rows(plan, results);
        return ui.json_line(&json!({ "sweep": plan.name, "folder": folder.display().to_string(), "rows": rows }));
    }
    for question in &plan.questions {
        ui.text(&format!("\n{}", question.title))?;
        if !question.ask.is_empty() {
            ui.text(&question.ask)?;
        }
        for table in tables::render(question, results) {
            let heading = if table.heading.is_empty() { String::new() } else { format!("{}\n", table.heading) };
            ui.result(&format!("{heading}{}", text(&table, ui.medium())))?;
        }
    }
    match ui.medium() {
        Medium::Terminal(_) => {
            ui.text("means over seeds ± half of the 95 % interval; below each, the paired difference from float")?
        }
        Medium::Lines => ui.result(
            "each line: mean over seeds and ± half of its 95 % interval, then the same of the paired difference from float",
        )?,
    }
    ui.text(PARAMETER_BYTES)?;
    ui.result(&format!("ledger, results.jsonl and tables.md: {}", folder.display()))
}

/// Writes the page of several sweeps' answers.
fn report(session: &Session, args: &SweepArgs, page: &Path) -> Result<()> {
    if let Some((_, twice)) = args.specs.iter().enumerate().find(|(i, spec)| args.specs[..*i].contains(spec)) {
        return Err(usage(format!("{} is named twice; its answers stand on the page once", twice.display())));
    }
    let ledgers = args.ledgers.iter().flat_map(|folder| output::inside(folder));
    let beside = args.specs.iter().flat_map(|p| output::inside(&p.with_file_name("ledgers")));
    output::refuse_inputs("--report", page, args.specs.iter().cloned().chain(ledgers).chain(beside))?;
    check_writable(page)?;
    let (mut sweeps, mut open, mut missing) = (Vec::new(), Vec::new(), None);
    for path in &args.specs {
        let plan = Plan::new(&Spec::read(path)?).with_context(|| path.display().to_string())?;
        let beside = path.parent().unwrap_or(Path::new("")).join("ledgers");
        let file = args.ledgers.as_ref().unwrap_or(&beside).join(format!("{}.jsonl", plan.name));
        if !file.is_file() {
            missing = Some(format!(
                "{} is missing; copy runs/sweep-{}/ledger.jsonl there, or name the folder with --ledgers",
                file.display(),
                plan.name
            ));
            open.push((path.as_path(), plan));
            continue;
        }
        let results = ledger::read(&file, &plan)?;
        sweeps.push((path.as_path(), plan, results));
    }
    match missing {
        Some(missing) if sweeps.is_empty() => bail!(missing),
        Some(_) => session.ui.warn(&format!("{} not run yet, which the page says", counted(open.len(), "sweep"))),
        None => {}
    }
    let specs: Vec<_> = args.specs.iter().map(shell::path).collect();
    let command = format!("qbnn sweep {} --report {}", specs.join(" "), shell::path(page));
    write_whole(page, document::page(&sweeps, &open, &command).as_bytes())?;
    let there: usize = sweeps.iter().map(|s| s.2.lines().count()).sum();
    if session.ui.json {
        return session.ui.json_line(&json!({ "report": page.display().to_string(), "results": there }));
    }
    let line = format!("{there} results of {} sweeps: {}", sweeps.len(), page.display());
    if output::is_stdout(page) {
        session.ui.say(&line);
        return Ok(());
    }
    session.ui.result(&line)
}

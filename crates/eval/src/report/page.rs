//! The page: words first, then the table, then figures, each with the numbers behind it.

use super::figure::{Figure, Table};
use super::input::RunReport;
use super::number::{thousands, with_interval};
use super::sweep::SweepReport;
use super::words::{Said, Verdict, ratio, sentences, size_in_words, smallest, verdict};
use super::{palette, sweep};
use crate::metrics::{Counts, Metrics, ModelEntry};
use crate::{Headline, Measure, SCHEMA_VERSION};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Layout of the page; colours and charts are in [`palette`].
const LAYOUT: &str = "\
*{box-sizing:border-box}\
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}\
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 var(--font)}\
main,header,footer{max-width:1200px;margin:0 auto;padding:0 20px}\
header{padding-top:36px}\
.brand{color:var(--muted);font-size:13px;letter-spacing:.04em;margin:0}\
h1{font-size:clamp(24px,4.4vw,36px);line-height:1.15;margin:.15em 0 .5em;overflow-wrap:anywhere}\
h2{font-size:21px;line-height:1.25;margin:0 0 .3em}h3{font-size:16px;margin:1.2em 0 .5em}\
.lead{font-size:clamp(17px,2.1vw,20px);line-height:1.45;max-width:60em;margin:0 0 .6em}\
.more{color:var(--muted);max-width:62em;margin:0 0 1em;font-size:15px}\
.facts{display:flex;flex-wrap:wrap;gap:6px 22px;list-style:none;padding:0;margin:18px 0 0;color:var(--muted);font-size:14px}\
.facts b{color:var(--ink);font-weight:600}\
nav ul{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;padding:14px 0;margin:22px 0 0;border-top:1px solid var(--line);border-bottom:1px solid var(--line);font-size:14px}\
a{color:var(--accent);text-decoration-thickness:1px;text-underline-offset:3px}\
nav a{text-decoration:none}nav a:hover{text-decoration:underline}\
section{margin:36px 0 0;scroll-margin-top:12px}\
.how{color:var(--muted);max-width:62em;margin:0 0 14px}\
.note{border-left:3px solid var(--accent);padding:2px 0 2px 14px;margin:14px 0;max-width:62em}\
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));gap:14px}\
.card{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:14px 14px 10px;margin:0}\
.scroll{overflow-x:auto;background:var(--paper);border:1px solid var(--line);border-radius:10px;scrollbar-color:var(--muted) var(--grid)}\
.scroll::-webkit-scrollbar{height:11px;width:11px}.scroll::-webkit-scrollbar-thumb{background:var(--muted);border-radius:6px;border:2px solid var(--paper)}\
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}\
th,td{padding:8px 14px;text-align:right;vertical-align:top;border-top:1px solid var(--line)}\
thead th{border-top:0;color:var(--muted);font-weight:600;vertical-align:bottom}.sub{white-space:nowrap}th .sub{white-space:normal}\
th:first-child,td:first-child{text-align:left}\
tbody th{font-weight:600;min-width:13em;position:sticky;left:0;background:var(--paper)}\
.sub{display:block;color:var(--muted);font-weight:400;font-size:12.5px;line-height:1.4}\
.val{font-weight:600;font-size:15px}\
.long{width:auto;min-width:min(100%,46em)}.long td,.long th{padding-top:4px;padding-bottom:4px;vertical-align:baseline}.long tbody{border-top:2px solid var(--line)}.long td .val+.sub,.long .delta .sub{display:inline;margin-left:8px}.long .badge{margin:0 0 0 8px}.long th.asks{min-width:0;white-space:normal}.long th.of{font-weight:400;padding-left:28px;min-width:0;overflow-wrap:anywhere}\
.both{display:flex;flex-direction:row-reverse;justify-content:flex-start;gap:4px 26px}.delta{min-width:14em}.both .sub{white-space:nowrap}.delta i{font-style:normal}\
.badge{display:inline-block;font-size:12px;line-height:1.5;padding:0 7px;border-radius:9px;border:1px solid currentColor;white-space:nowrap;margin-top:3px}\
.better{color:var(--k1)}.worse{color:var(--g1)}.none{color:var(--muted)}\
details{margin:10px 0 0;font-size:14px}\
summary{cursor:pointer;color:var(--accent);padding:4px 0}\
details .scroll{margin-top:6px;max-height:420px;overflow:auto}\
details td,details th{padding:4px 12px;white-space:nowrap}\
dl{display:grid;grid-template-columns:minmax(7em,max-content) minmax(0,1fr);gap:4px 18px;margin:0;font-size:14px}\
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}\
pre{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:14px;overflow-x:auto;margin:6px 0 0}\
code{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}\
footer{color:var(--muted);font-size:13px;padding:36px 20px 48px}\
@media(max-width:560px){main,header,footer{padding-left:14px;padding-right:14px}header{padding-top:22px}\
th,td{padding:7px 6px}table{font-size:13px}.val{font-size:14px}.sub{font-size:11px}tbody th{min-width:6.5em}\
.panels{grid-template-columns:minmax(0,1fr)}.card{padding:12px 8px 8px}.both{flex-direction:column-reverse;align-items:flex-end}.long td .val+.sub,.long .delta .sub{display:block;margin:0;white-space:nowrap}.long th.of{padding-left:6px}.delta{min-width:0}.delta i{display:block}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}}\
@media print{body{background:#fff;font-size:10.5pt}nav,details{display:none}main,header,footer{max-width:none;padding:0}\
.card,tr,h2,.how{break-inside:avoid}h2,.how{break-after:avoid}section{margin-top:20px}.panels{grid-template-columns:1fr 1fr}\
.scroll{overflow:visible}a{color:inherit;text-decoration:none}}";

fn document(title: &str, body: Markup) -> String {
    let style = format!("{}{LAYOUT}", palette::page_style());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="generator" content=(concat!("qbnn ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(style)) }
            }
            body { (body) }
        }
    }
    .into_string()
}

fn in_sentences(all: &[Said]) -> Markup {
    html! {
        @for said in all {
            p.lead { (said.result) }
            @if !said.more.is_empty() { p.more { (said.more) } }
        }
    }
}

fn nav(figures: &[Figure], more: &[(&str, &str)]) -> Markup {
    html! {
        nav aria-label="Sections" {
            ul {
                li { a href="#summary" { "Summary" } }
                @for f in figures { li { a href={ "#" (f.id) } { (f.title) } } }
                @for (id, text) in more { li { a href={ "#" (id) } { (text) } } }
            }
        }
    }
}

fn figure(f: &Figure) -> Markup {
    html! {
        section id=(f.id) aria-labelledby={ (f.id) "-h" } {
            h2 id={ (f.id) "-h" } { (f.title) }
            p.how { (f.caption) }
            @if !f.panels.is_empty() { div.panels {
                @for (i, panel) in f.panels.iter().enumerate() {
                    figure.card { (PreEscaped(panel.inline(&format!("{}-{i}", f.id)))) }
                }
            } }
            @if !f.table.rows.is_empty() {
                details { summary { "The numbers behind it" } (table(&f.table)) }
            }
        }
    }
}

fn table(t: &Table) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table {
                thead { tr { @for head in &t.head { th scope="col" { (head) } } } }
                tbody { @for row in &t.rows { tr { @for cell in row { td { (stacked(cell)) } } } } }
            }
        }
    }
}

/// A value above its interval, so that columns stay narrow.
fn stacked(cell: &str) -> Markup {
    match cell.split_once(" [") {
        Some((value, interval)) => html! { (value) span.sub { "[" (interval) } },
        None => html! { (cell) },
    }
}

/// So many sentences are no summary: the page begins with the smallest model instead.
const MANY: usize = 4;

/// The note that every page of one run owes its reader.
const ONE_SEED: &str = "One run of one seed: the intervals are over test images, not over seeds of training. Another seed can \
                        move an AUROC by 0.01 to 0.02.";

pub(crate) fn run(report: &RunReport, figures: &[Figure], left_out: &[String]) -> String {
    let m = &report.metrics;
    let mut more = Vec::new();
    if !left_out.is_empty() {
        more.push(("left-out", "Left out"));
    }
    more.push(("origin", "Where this comes from"));
    let body = html! {
        header {
            p.brand { "qbnn report" }
            h1 { (report.title) }
            @let said = sentences(m);
            @let many = said.len() >= MANY;
            @if many {
                p.lead { (smallest(m)) }
                details { summary { "Each model in a sentence" } (in_sentences(&said)) }
            } @else { (in_sentences(&said)) }
            (facts(m, report.external))
            (nav(figures, &more))
        }
        main {
            section #summary aria-labelledby="summary-h" {
                h2 #summary-h { "Summary" }
                p.how {
                    "In brackets 95 % bootstrap intervals over test images. Accuracy, NLL, Brier score and ECE on clean images. An AUROC \
                     says how well a score tells one group from the others that are named: only those against the same group can be compared."
                    @if !m.differences.is_empty() { " Differences (Δ) are paired: both models meet the same images and resamples." }
                }
                (headline(m))
                @if let Some(note) = &report.note { p.note { "Note: " (note) "." } }
                @for note in m.models.iter().flat_map(ModelEntry::notes) { p.note { "Note: " (note) } }
                @if !report.external { p.note { (ONE_SEED) } }
                @if report.shown().len() < m.models.len() {
                    @let names: Vec<&str> = report.shown().into_iter().map(|i| m.models[i].name.as_str()).collect();
                    p.note { "Figures show " (names.join(", ")) "; the table has all. Choose others with --show." }
                }
            }
            @for f in figures { (figure(f)) }
            (left_out_section(left_out))
            (origin(report))
        }
        (footer())
    };
    document(&report.title, body)
}

pub(crate) fn sweep(report: &SweepReport, figures: &[Figure], left_out: &[String]) -> String {
    let mut more = Vec::new();
    if !left_out.is_empty() {
        more.push(("left-out", "Left out"));
    }
    if !report.provenance.is_empty() {
        more.push(("origin", "Where this comes from"));
    }
    let body = html! {
        header {
            p.brand { "qbnn report" }
            h1 { (report.title) }
            @for sentence in sweep::sentences(report) { p.lead { (sentence) } }
            (nav(figures, &more))
        }
        main {
            section #summary aria-labelledby="summary-h" {
                h2 #summary-h { "All configurations" }
                p.how { (sweep::HOW) }
                @for (experiment, t) in sweep::overview(report) { h3 { (experiment) } (table(&t)) }
                @if let Some(note) = &report.note { p.note { "Note: " (note) "." } }
            }
            @for f in figures { (figure(f)) }
            (left_out_section(left_out))
            @if !report.provenance.is_empty() {
                section #origin { h2 { "Where this comes from" } (pairs(&report.provenance)) }
            }
        }
        (footer())
    };
    document(&report.title, body)
}

fn left_out_section(left_out: &[String]) -> Markup {
    html! {
        @if !left_out.is_empty() {
            section #left-out aria-labelledby="left-out-h" {
                h2 #left-out-h { "Left out" }
                ul { @for why in left_out { li { (why) } } }
            }
        }
    }
}

fn pairs(pairs: &[(String, String)]) -> Markup {
    html! { dl { @for (what, value) in pairs { dt { (what) } dd { (value) } } } }
}

fn origin(report: &RunReport) -> Markup {
    let RunReport { metrics: m, provenance, config, external, .. } = report;
    html! {
        section #origin aria-labelledby="origin-h" {
            h2 #origin-h { "Where this comes from" }
            dl {
                @if !external {
                    dt { "dataset" } dd { (m.dataset) }
                    dt { "seed" } dd { (m.seed) }
                }
                @for (what, value) in provenance { dt { (what) } dd { (value) } }
                dt { "metrics" } dd { "schema version " (SCHEMA_VERSION) }
            }
            @if let Some(config) = config {
                details { summary { "The settings that repeat it (config.toml)" } pre { code { (config) } } }
            }
        }
    }
}

fn footer() -> Markup {
    html! {
        footer {
            "Uncertainties in nats: total is the entropy of the mean prediction, aleatoric the mean entropy of the draws, epistemic \
             their difference. Made by qbnn " (env!("CARGO_PKG_VERSION")) "; a view of metrics.json and the stored predictions."
        }
    }
}

fn facts(m: &Metrics, external: bool) -> Markup {
    let counts = m.models.first().map_or(Counts::default(), |m| m.counts);
    let samples: std::collections::BTreeSet<u64> = m.models.iter().map(|m| m.samples).collect();
    let samples: Vec<String> = samples.iter().map(u64::to_string).collect();
    html! {
        ul.facts {
            @if !external { li { "dataset " b { (m.dataset) } } }
            li { "clean " b { (thousands(counts.clean)) } }
            li { "ambiguous " b { (thousands(counts.ambiguous)) } }
            li { "ood " b { (thousands(counts.ood)) } }
            @for group in m.models.first().into_iter().flat_map(|m| &m.groups) {
                li { (group.name) " (" (group.role.name()) ") " b { (thousands(group.inputs)) } }
            }
            li { "draws " b { (samples.join(", ")) } }
            @if !external { li { "seed " b { (m.seed) } } }
            @if let Some(seeds) = m.models.iter().filter_map(|m| m.draw_seeds).max() {
                li { "seeds of draws " b { (seeds) } }
            }
        }
    }
}

/// More models than this side by side do not fit on a page: they are listed below each other.
const SIDE_BY_SIDE: usize = 3;

/// The headline table: every model of the page, side by side or, where there are many, below each other, so that none is
/// out of sight.
fn headline(m: &Metrics) -> Markup {
    let mut shown = m.measures(&Headline::FRONT);
    shown.retain(|measure| m.models.iter().any(|model| model.measured(measure).is_some()));
    let sizes = m.models.iter().any(|m| m.bytes() > 0);
    if m.models.len() > SIDE_BY_SIDE {
        return below_each_other(m, &shown, sizes);
    }
    html! {
        div.scroll tabindex="0" {
            table.headline {
                thead {
                    tr {
                        th scope="col" { "metric" }
                        @for model in &m.models { th scope="col" { (model.name) } }
                    }
                }
                tbody {
                    @if m.models.iter().any(|m| m.backend.is_some()) { tr {
                        th scope="row" { (BACKEND) }
                        @for model in &m.models { td { (backend(model)) } }
                    } }
                    @for h in &shown {
                        tr {
                            th scope="row" { (asked(h)) }
                            @for model in &m.models { td { (cell(m, model, h)) } }
                        }
                    }
                    @if sizes { tr {
                        th scope="row" { "bytes" span.sub { (size_in_words(&m.models)) } }
                        @for model in &m.models {
                            td {
                                div.both {
                                    @if m.differences.iter().any(|d| d.name == model.name) { div.delta {} }
                                    (size(m, model))
                                }
                            }
                        }
                    } }
                }
            }
        }
    }
}

/// One group of rows for each metric, one row in it for each model.
fn below_each_other(m: &Metrics, shown: &[Measure], sizes: bool) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table.long {
                @if m.models.iter().any(|m| m.backend.is_some()) {
                    tbody {
                        tr { th.asks scope="rowgroup" colspan="3" { (BACKEND) } }
                        @for model in &m.models {
                            tr { th.of scope="row" { (model.name) } td { (backend(model)) } td {} }
                        }
                    }
                }
                @for h in shown {
                    tbody {
                        tr { th.asks scope="rowgroup" colspan="3" { (asked(h)) } }
                        @for model in &m.models {
                            tr { th.of scope="row" { (model.name) } td { (value(model, h)) } td { (difference(m, model, h)) } }
                        }
                    }
                }
                @if sizes {
                    tbody {
                        tr { th.asks scope="rowgroup" colspan="3" { "bytes" span.sub { (size_in_words(&m.models)) } } }
                        @for model in &m.models {
                            tr { th.of scope="row" { (model.name) } td { (size(m, model)) } td {} }
                        }
                    }
                }
            }
        }
    }
}

/// The heading of what [`backend`] says.
const BACKEND: maud::PreEscaped<&str> =
    maud::PreEscaped("backend<span class=\"sub\">what computed the predictions</span>");

/// What computed a model's predictions; a simulation stands out.
fn backend(model: &ModelEntry) -> Markup {
    html! {
        @match &model.backend {
            Some(backend) if backend.is_simulated() => { b { (backend.to_string()) } }
            Some(backend) => { (backend.to_string()) }
            None => { "–" }
        }
    }
}

/// A metric's name and what it asks.
fn asked(measure: &Measure) -> Markup {
    let about = measure.headline.about();
    html! {
        (measure.title()) @if !about.unit.is_empty() { " " (about.unit) }
        span.sub { (about.asks) }
    }
}

fn size(m: &Metrics, model: &ModelEntry) -> Markup {
    html! {
        div {
            span.val { (thousands(model.bytes())) }
            @if let Some(first) = m.models.first() && let Some(r) = ratio(model, first) {
                span.sub { (r) " of " (first.name) }
            }
        }
    }
}

/// A value with its interval, and beside it the difference from the reference and what it says.
fn cell(m: &Metrics, model: &ModelEntry, h: &Measure) -> Markup {
    html! { div.both { (difference(m, model, h)) (value(model, h)) } }
}

/// A value above its interval.
fn value(model: &ModelEntry, measure: &Measure) -> Markup {
    let Some(value) = model.measured(measure) else { return html! { div { "–" } } };
    let text = with_interval(measure.headline, value, model.measured_interval(measure), false);
    let (value, interval) = text.split_once(' ').unwrap_or((&text, ""));
    html! {
        div {
            span.val { (value) }
            @if !interval.is_empty() { span.sub { (interval) } }
        }
    }
}

/// The difference of a model from its reference, where it has one, and what it says.
fn difference(m: &Metrics, model: &ModelEntry, measure: &Measure) -> Markup {
    let h = measure.headline;
    let entry = m.differences.iter().find(|d| d.name == model.name);
    let reference = entry.and_then(|e| m.models.iter().find(|m| m.name == e.against)).and_then(|r| r.measured(measure));
    let Some(d) = &entry.and_then(|e| e.measured(measure)) else { return html! {} };
    let text = with_interval(h, d.value, d.ci95, true);
    let (value, interval) = text.split_once(' ').unwrap_or((&text, ""));
    let verdict = verdict(h, d, reference);
    html! {
        div.delta {
            span.sub { i { "Δ " (value) } " " i { (interval) } }
            @if verdict != Verdict::Open {
                span class={ "badge " (match verdict { Verdict::Better => "better", Verdict::Worse => "worse", _ => "none" }) } {
                    (verdict.text())
                }
            }
        }
    }
}

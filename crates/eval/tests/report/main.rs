//! The page as its reader meets it: its structure, what it leaves out and says so, and what a page must never hold.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

mod made;

use made::{groups, more_groups, run_report, shifted, sweep_report};
use qbnn_eval::report::*;
use qbnn_eval::*;

/// Headings, panels and heads of tables, in order: what a reader could name.
fn structure(html: &str) -> String {
    let mut out = Vec::new();
    for (open, close, indent) in [
        ("<h1", "</h1>", ""),
        ("<h2", "</h2>", ""),
        ("<title id=", "</title>", "  panel: "),
        ("<th scope=\"col\"", "</th>", "    column: "),
        ("<th scope=\"row\"", "<span", "    row: "),
        ("<dt", "</dt>", "  origin: "),
        ("<summary", "</summary>", "  closed: "),
    ] {
        for (at, _) in html.match_indices(open) {
            let rest = &html[at..];
            let text = &rest[rest.find('>').unwrap() + 1..];
            let text = &text[..text.find(close).unwrap_or(0)];
            let text: String = text.split('<').map(|t| t.split_once('>').map_or(t, |t| t.1)).collect();
            out.push((at, format!("{indent}{}", text.trim())));
        }
    }
    out.sort();
    out.into_iter().map(|o| o.1).collect::<Vec<_>>().join("\n")
}

/// What no page may hold, and what each must.
fn is_sound(html: &str) {
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("<html lang=\"en\">"));
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    for bad in ["<script", "http://", "https://", "src=", "@import", "url(", "NaN", "inf,", "\"inf", "onload"] {
        assert!(!html.contains(bad), "{bad}");
    }
    let mut ids: Vec<&str> = html.split(" id=\"").skip(1).map(|t| t.split('"').next().unwrap()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an id appears twice");
    // Every drawing says in words what it shows, every reference leads somewhere.
    assert_eq!(html.matches("<svg").count(), html.matches("role=\"img\"").count());
    assert_eq!(html.matches("<svg").count(), html.matches("<desc id=").count());
    for (at, _) in html.match_indices("href=\"#") {
        let target = html[at + 7..].split('"').next().unwrap();
        assert!(ids.contains(&target), "#{target}");
    }
    for tag in ["section", "figure", "table", "svg", "details", "main", "tr", "td"] {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn the_page_of_a_run_has_this_structure() {
    let page = run_page(&run_report(&groups(8, 0), &groups(8, 3)));
    is_sound(&page.html);
    assert_eq!(page.left_out, Vec::<String>::new());
    insta::assert_snapshot!("run", structure(&page.html));
    for figure in &page.figures {
        assert!(!figure.table.rows.is_empty(), "{}", figure.id);
        assert!(figure.table.rows.iter().all(|r| r.len() == figure.table.head.len()), "{}", figure.id);
        for panel in &figure.panels {
            let svg = panel.standalone();
            assert!(svg.starts_with("<svg xmlns=") && !svg.contains("var("), "{}", panel.title);
        }
    }
}

#[test]
fn the_page_of_a_sweep_has_this_structure() {
    let page = sweep_page(&sweep_report());
    is_sound(&page.html);
    insta::assert_snapshot!("sweep", structure(&page.html));
    assert!(page.html.contains("The smallest that surely keeps"), "{}", page.html);
    assert!(page.figures.iter().any(|f| f.id == "techniques" && f.table.rows[0][0] == "mc-dropout"));
}

#[test]
fn the_card_holds_the_numbers() {
    let report = run_report(&groups(8, 0), &groups(8, 3));
    let text =
        CardText { purpose: "Reads images.".into(), data: vec!["digits".into()], commands: vec!["qbnn eval".into()] };
    let card = card(&report, &text);
    for part in
        ["# A run", "Reads images.", "- digits", "| accuracy % |", "| bytes (means and", "## Limits", "qbnn eval"]
    {
        assert!(card.contains(part), "{part}\n{card}");
    }
}

#[test]
fn a_single_draw_has_no_epistemic_and_the_page_says_so() {
    let page = run_page(&run_report(&groups(1, 0), &groups(1, 3)));
    is_sound(&page.html);
    let said = page.left_out.join(" ");
    assert!(said.contains("single draw"), "{said}");
    assert!(page.html.contains("with a single draw there is nothing to disagree"));
    assert!(!page.html.contains("Epistemic by group"));
}

#[test]
fn absent_groups_leave_their_figures_out() {
    let clean = |salt| Groups(groups(8, salt).0[..1].to_vec());
    let page = run_page(&run_report(&clean(0), &clean(3)));
    is_sound(&page.html);
    assert!(page.left_out.iter().any(|l| l.contains("ROC")), "{:?}", page.left_out);
    let ids: Vec<_> = page.figures.iter().map(|f| f.id).collect();
    assert!(ids.contains(&"reliability") && ids.contains(&"uncertainty") && !ids.contains(&"roc"), "{ids:?}");
    let no_ood = |salt| Groups(groups(8, salt).0[..2].to_vec());
    let page = run_page(&run_report(&no_ood(0), &no_ood(3)));
    is_sound(&page.html);
    assert!(page.html.contains("Aleatoric finds ambiguous") && !page.html.contains("Epistemic finds ood"));
}

#[test]
fn metrics_alone_make_a_page_that_says_what_is_missing() {
    let mut report = run_report(&groups(8, 0), &groups(8, 3));
    report.predictions.clear();
    report.gallery.clear();
    report.epochs.clear();
    report.tensors.clear();
    let page = run_page(&report);
    is_sound(&page.html);
    assert!(page.left_out.len() >= 7 && page.html.contains("no predictions are stored"), "{:?}", page.left_out);
    assert_eq!(page.figures.iter().map(|f| f.id).collect::<Vec<_>>(), ["aurocs", "errors", "calibrated", "draws"]);
}

#[test]
fn quality_is_shown_against_the_severity_of_shifts() {
    let made = |severities: &[(&str, u8)]| {
        let with = |salt| {
            let mut all = groups(8, salt);
            all.0.extend(severities.iter().map(|&(kind, severity)| shifted(8, salt, kind, severity)));
            all
        };
        run_page(&run_report(&with(0), &with(3)))
    };
    let every: Vec<_> = ["rotation", "noise"].into_iter().flat_map(|k| [1, 2, 3].map(|s| (k, s))).collect();
    let page = made(&every);
    is_sound(&page.html);
    assert_eq!(page.left_out, Vec::<String>::new());
    let figure = page.figures.iter().find(|f| f.id == "severity").unwrap();
    assert_eq!((figure.panels.len(), figure.table.rows.len()), (4, 2 * 3 * 2));
    assert!(figure.caption.contains("mean over 2 kinds (rotation, noise)"), "{}", figure.caption);
    // The first row is what the metrics say of that group.
    assert_eq!(figure.table.rows[0][..3], ["rotation", "1", "float"]);
    // A kind that lacks a severity is no part of the means.
    let page = made(&[&every[..], &[("blur", 2), ("blur", 3), ("contrast", 1)]].concat());
    let figure = page.figures.iter().find(|f| f.id == "severity").unwrap();
    assert!(figure.caption.contains("in the table alone: blur."), "{}", figure.caption);
    assert_eq!(figure.table.rows.len(), 12 + 4);
    let page = made(&[("rotation", 1), ("noise", 2)]);
    assert!(page.left_out.iter().any(|l| l.contains("severity of a shift is left out")), "{:?}", page.left_out);
}

#[test]
fn a_class_never_seen_is_named() {
    let mut one = groups(8, 0);
    one.0[0].labels.iter_mut().for_each(|l| *l = (*l).min(2));
    let mut other = groups(8, 3);
    other.0[0].labels.clone_from(&one.0[0].labels);
    let page = run_page(&run_report(&one, &other));
    is_sound(&page.html);
    assert!(page.html.contains("No clean image is of class 3."));
}

#[test]
fn text_of_others_cannot_break_the_page() {
    let mut report = run_report(&groups(8, 0), &groups(8, 3));
    report.title = "<b>\"&'".into();
    report.note = Some("<script>".into());
    report.config = Some("</code><script>".into());
    report.provenance = vec![("a<".into(), "b>".into())];
    is_sound(&run_page(&report).html);
}

/// A second OOD group and a shifted one have rows, curves and counts of their own; the others' stay as they were.
#[test]
fn further_groups_are_on_the_page_and_on_the_card() {
    let report = run_report(&more_groups(8, 0), &more_groups(8, 3));
    let page = run_page(&report);
    for said in [
        "near (ood)",
        "noise (shifted)",
        "AUROC epistemic, near vs clean",
        "cross: AUROC aleatoric, near vs clean + ambiguous",
        "accuracy, noise",
        "Epistemic finds near among clean",
    ] {
        assert!(page.html.contains(said), "{said}");
    }
    assert!(!page.html.contains("noise vs clean"));
    let card = card(&report, &CardText::default());
    assert!(card.contains("30 ood images, 35 of near (ood), 45 of noise (shifted), seed 1"), "{card}");
    assert!(card.contains("| NLL, noise nats |") && card.contains("| AUROC epistemic, near vs clean |"), "{card}");
    let fewer = run_report(&groups(8, 0), &groups(8, 3));
    for (more, fewer) in report.metrics.models.iter().zip(&fewer.metrics.models) {
        assert_eq!((&more.values, &more.ci95, more.counts), (&fewer.values, &fewer.ci95, fewer.counts));
    }
}

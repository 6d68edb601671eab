//! The images themselves, with what each model predicts for them.

use crate::Role;
use crate::report::chart::{Key, Mark, Panel, WIDTH, draw_legend, escape, panel};
use crate::report::figure::{Drawn, Figure, Table};
use crate::report::input::{Chosen, GalleryImage, GroupPredictions, Kind, ModelPredictions, RunReport, Shelf};
use crate::report::number::{coordinate as n, fixed, nats};
use crate::report::palette;

/// Images on each shelf.
pub const PER_SHELF: usize = 8;

const COLUMNS: usize = 4;
const CELL: f64 = WIDTH / COLUMNS as f64;
const IMAGE: f64 = 66.0;
const BARS: f64 = 34.0;

/// Chooses the images of the gallery from one model's predictions.
pub fn choose(model: &ModelPredictions, labels: &[usize]) -> Vec<Chosen> {
    let mut chosen = Vec::new();
    for shelf in Shelf::ALL {
        let mut all: Vec<(f64, usize, usize, usize)> = Vec::new();
        // The labels are those of the first clean group.
        let clean = model.groups.iter().position(|g| g.role == Role::Clean);
        for (group, p) in model.groups.iter().enumerate() {
            if shelf == Shelf::Mistaken && Some(group) != clean {
                continue;
            }
            let kind = match shelf {
                Shelf::Certain | Shelf::Mistaken => Kind::Total,
                Shelf::Ambiguous => Kind::Aleatoric,
                Shelf::Ood => Kind::Epistemic,
            };
            let Some(values) = p.kind(kind) else { continue };
            let sign = if matches!(shelf, Shelf::Certain | Shelf::Mistaken) { 1.0 } else { -1.0 };
            for (input, (&value, (class, _))) in values.iter().zip(p.decisions()).enumerate() {
                if shelf != Shelf::Mistaken || labels.get(input).is_some_and(|&l| l != class) {
                    all.push((sign * value, class, group, input));
                }
            }
        }
        // Ties in the order of the data.
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        if shelf == Shelf::Certain {
            // The least uncertain of all are mostly of one class.
            let mut seen = std::collections::BTreeSet::new();
            all.retain(|c| seen.insert(c.1));
        }
        chosen.extend(all.into_iter().take(PER_SHELF).map(|(_, _, group, input)| Chosen { shelf, group, input }));
    }
    chosen
}

/// An image as strokes, one path for each of sixteen shades: no file inside a file, and sharp at any size.
fn pixels(image: &GalleryImage, x: f64, y: f64) -> String {
    let &GalleryImage { height, width, channels, pixels: ref values, .. } = image;
    let scale = IMAGE / height.max(width).max(1) as f64;
    let shade = |row: usize, column: usize| -> [u8; 3] {
        let at = (row * width + column) * channels;
        let level = |c: usize| values.get(at + c.min(channels - 1)).map_or(0, |v| v / 17);
        if channels == 1 { [15 - level(0); 3] } else { [level(0), level(1), level(2)] }
    };
    let mut runs: std::collections::BTreeMap<[u8; 3], String> = std::collections::BTreeMap::new();
    for row in 0..height {
        let mut column = 0;
        while column < width {
            let colour = shade(row, column);
            let start = column;
            while column < width && shade(row, column) == colour {
                column += 1;
            }
            if colour != [15; 3] {
                let d = format!("M{start} {row}.5h{}", column - start);
                runs.entry(colour).or_default().push_str(&d);
            }
        }
    }
    let paths: String =
        runs.iter().map(|([r, g, b], d)| format!("<path stroke=\"#{r:x}{g:x}{b:x}\" d=\"{d}\"/>")).collect();
    let size = n(IMAGE);
    format!(
        "<rect fill=\"#fff\" x=\"{0}\" y=\"{1}\" width=\"{size}\" height=\"{size}\"/>\
         <g class=\"px\" transform=\"translate({0} {1}) scale({scale:.4})\">{paths}</g>",
        n(x),
        n(y)
    )
}

/// Bars of each model's mean prediction, side by side for every class.
fn bars(models: &[(usize, &ModelPredictions)], chosen: Chosen, x: f64, y: f64, width: f64) -> String {
    let mut out = String::new();
    let predictions: Vec<_> =
        models.iter().filter_map(|(i, m)| m.groups.get(chosen.group).map(|g| (*i, g.probs(chosen.input)))).collect();
    let classes = predictions.iter().map(|p| p.1.len()).max().unwrap_or(0).max(1);
    let step = width / classes as f64;
    let bar = (step * 0.84) / predictions.len().max(1) as f64;
    for (k, (i, probs)) in predictions.iter().enumerate() {
        let mut d = String::new();
        for (c, &p) in probs.iter().enumerate().filter(|p| *p.1 >= 0.005) {
            let left = x + c as f64 * step + step * 0.08 + k as f64 * bar;
            d.push_str(&format!("M{left:.1} {}v-{:.1}h{bar:.1}V{}z", n(y), p * BARS, n(y)));
        }
        out.push_str(&format!("<path class=\"f {}\" d=\"{d}\"/>", palette::model(*i)));
    }
    out.push_str(&format!("<path class=\"ax\" d=\"M{} {}h{}\"/>", n(x), n(y), n(width)));
    if classes <= 10 {
        for c in 0..classes {
            let at = x + (c as f64 + 0.5) * step;
            out.push_str(&format!("<text class=\"tk mid\" x=\"{}\" y=\"{}\">{c}</text>", n(at), n(y + 9.0)));
        }
    }
    out
}

/// The label of an image of the first clean group, to which the report's labels belong.
fn label(report: &RunReport, group: Option<&GroupPredictions>, input: usize) -> Option<usize> {
    let group = group.filter(|g| g.role == Role::Clean && g.total.len() == report.labels.len())?;
    report.labels.get(input).copied().filter(|_| input < group.total.len())
}

fn shelf_panel(
    report: &RunReport,
    models: &[(usize, &ModelPredictions)],
    shelf: Shelf,
    images: &[&GalleryImage],
) -> Panel {
    let (title, kind) = match shelf {
        Shelf::Certain => ("Most certain, one of each decision", Kind::Total),
        Shelf::Ambiguous => ("Most ambiguous: highest aleatoric", Kind::Aleatoric),
        Shelf::Ood => ("Most OOD: highest epistemic", Kind::Epistemic),
        Shelf::Mistaken => ("Sure and wrong: clean errors, least total", Kind::Total),
    };
    let keys: Vec<Key> = models.iter().map(|(i, m)| (Mark::Fill, palette::model(*i), m.name.clone())).collect();
    let (legend, line) = draw_legend(&keys);
    let mut body = format!("<text class=\"tl\" x=\"2\" y=\"14\">{}</text>{legend}", escape(title));
    let top = line + 12.0;
    let row_height = IMAGE + BARS + 50.0;
    for (place, image) in images.iter().enumerate() {
        let (column, row) = (place % COLUMNS, place / COLUMNS);
        let (x, y) = (column as f64 * CELL + (CELL - IMAGE) / 2.0, top + row as f64 * row_height);
        let GalleryImage { chosen, .. } = image;
        body.push_str(&pixels(image, x, y));
        let own = models.last().and_then(|m| m.1.groups.get(chosen.group));
        let (name, role) = own.map_or(("", Role::Clean), |g| (&g.name, g.role));
        let label =
            label(report, own, chosen.input).map_or(name.to_owned(), |l| format!("{name}: {}", report.short_class(l)));
        // Of the last model: it is what would be put to use, and what chose the images.
        let value = own.and_then(|g| g.kind(kind)?.get(chosen.input).copied());
        let middle = n(x + IMAGE / 2.0);
        body.push_str(&format!(
            "<text class=\"tg mid {}\" x=\"{middle}\" y=\"{}\">{}</text><text class=\"tk mid\" x=\"{middle}\" y=\"{}\">{}</text>",
            palette::group(role),
            n(y + IMAGE + 12.0),
            escape(&label),
            n(y + IMAGE + 24.0),
            value.map_or(String::new(), |v| format!("{} nats", nats(v))),
        ));
        let left = column as f64 * CELL + 5.0;
        body.push_str(&bars(models, *chosen, left, y + IMAGE + 30.0 + BARS, CELL - 10.0));
    }
    let height = top + images.len().div_ceil(COLUMNS) as f64 * row_height;
    let description =
        format!("{title}: {} images with the class probabilities that each model gives them.", images.len());
    panel(title.into(), description, height, body)
}

pub(crate) fn figure(report: &RunReport) -> Drawn {
    let models = report.drawn();
    if report.gallery.is_empty() || models.is_empty() {
        return Err("The gallery is left out: no images are stored with these predictions.".into());
    }
    let mut table = Table::new([
        "shelf",
        "group",
        "image",
        "label",
        "model",
        "decision",
        "probability %",
        "aleatoric nats",
        "epistemic nats",
    ]);
    let mut panels = Vec::new();
    for shelf in Shelf::ALL {
        let images: Vec<_> = report.gallery.iter().filter(|g| g.chosen.shelf == shelf).collect();
        if images.is_empty() {
            continue;
        }
        let panel = shelf_panel(report, &models, shelf, &images);
        for image in images {
            let Chosen { group, input, .. } = image.chosen;
            for (_, model) in &models {
                let Some(p) = model.groups.get(group) else { continue };
                let (class, most) = p.decisions().nth(input).unwrap_or((0, 0.0));
                let text = |kind| p.kind(kind).and_then(|v| v.get(input)).map_or("–".to_owned(), |&v| nats(v));
                let label = label(report, Some(p), input).map(|l| report.class(l));
                table.row([
                    panel.title.clone(),
                    p.name.clone(),
                    input.to_string(),
                    label.unwrap_or_else(|| "–".into()),
                    model.name.clone(),
                    report.class(class),
                    fixed(100.0 * most, 1, false),
                    text(Kind::Aleatoric),
                    text(Kind::Epistemic),
                ]);
            }
        }
        panels.push(panel);
    }
    let chooser = models.last().map_or("", |m| m.1.name.as_str());
    let caption = format!(
        "Chosen by {chooser} from all test images of all groups. Under each image its true group, the uncertainty that put it there, \
         and the mean prediction of every model over the classes."
    );
    Ok(Figure { id: "gallery", title: "The images themselves".into(), caption, panels, table })
}

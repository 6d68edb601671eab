//! A small chart: axes, ticks, a legend, and marks in the data's own coordinates, written as SVG.
//!
//! Every chart is one panel of 360 units' width: at that width its text is as large on a phone as on a desktop, where
//! panels stand side by side. Colours are classes (see [`super::palette`]), so that one drawing serves light, dark and
//! print; a chart that leaves the page brings its own style sheet. A chart needs no script and refers to nothing.

use super::number::{coordinate as n, fixed, thousands, ticks};
use super::palette;

/// Width of a panel in its own units.
pub(crate) const WIDTH: f64 = 360.0;
/// Room that one character of 12 units' height takes, generously.
const CHARACTER: f64 = 6.9;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 19.0;
const LINE: f64 = 16.0;

/// One drawing with its title and its description in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What it shows, in a few words.
    pub title: String,
    /// What is to be seen, for who cannot see it.
    pub description: String,
    width: f64,
    height: f64,
    body: String,
}

impl Panel {
    fn size(&self) -> (String, String) {
        (n(self.width), n(self.height))
    }

    /// The SVG as it stands in the page.
    pub(crate) fn inline(&self, id: &str) -> String {
        let (w, h) = self.size();
        format!(
            "<svg class=\"panel\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>{}</svg>",
            escape(&self.title),
            escape(&self.description),
            self.body
        )
    }

    /// The SVG as a file of its own: light colours, its own style sheet, a white ground.
    pub fn standalone(&self) -> String {
        let (w, h) = self.size();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\">\
             <title>{}</title><desc>{}</desc><style>{}</style><rect width=\"{w}\" height=\"{h}\" fill=\"{}\"/>{}</svg>\n",
            escape(&self.title),
            escape(&self.description),
            palette::standalone_style(),
            palette::LIGHT.paper,
            self.body
        )
    }
}

/// Text that may stand in SVG or HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// How an axis maps its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Log,
}

/// One axis: what it measures, its range, its ticks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    label: String,
    low: f64,
    high: f64,
    scale: Scale,
    ticks: Vec<(f64, String)>,
    grid: bool,
}

impl Axis {
    /// Equal steps; ticks at round numbers.
    pub(crate) fn linear(label: &str, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let (values, digits) = ticks(low, high, 5);
        let ticks = values.into_iter().map(|v| (v, fixed(v, digits, false))).collect();
        Self { label: label.into(), low, high, scale: Scale::Linear, ticks, grid: true }
    }

    /// As linear, around these values with some air, within `limits`.
    pub(crate) fn around(label: &str, values: impl IntoIterator<Item = f64>, limits: (f64, f64)) -> Self {
        let (low, high) = values
            .into_iter()
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return Self::linear(label, 0.0, 1.0);
        }
        let air = ((high - low) * 0.08).max(high.abs() * 1e-3).max(1e-6);
        Self::linear(label, (low - air).max(limits.0), (high + air).min(limits.1))
    }

    /// Equal ratios; ticks at powers of ten, and 2 and 5 where the range is short.
    pub(crate) fn log10(label: &str, low: f64, high: f64) -> Self {
        let mut ticks = Vec::new();
        let decades = (high / low).log10();
        for power in low.log10().floor() as i32..=high.log10().ceil() as i32 {
            for digit in if decades < 1.6 { &[1.0, 2.0, 5.0][..] } else { &[1.0][..] } {
                let v = digit * 10f64.powi(power);
                if v >= low * 0.999 && v <= high * 1.001 {
                    let digits = (-v.log10().floor()).max(0.0) as usize;
                    let text = match power {
                        ..-3 | 7.. if *digit == 1.0 => format!("10{}", superscript(power)),
                        ..-3 | 7.. => format!("{digit}·10{}", superscript(power)),
                        3.. => thousands(v.round() as u64),
                        _ => fixed(v, digits, false),
                    };
                    ticks.push((v, text));
                }
            }
        }
        let stride = ticks.len().div_ceil(7).max(1);
        let ticks = ticks.into_iter().step_by(stride).collect();
        Self { label: label.into(), low, high, scale: Scale::Log, ticks, grid: true }
    }

    /// Equal ratios; ticks where they are named.
    pub(crate) fn log_at(label: &str, low: f64, high: f64, ticks: Vec<(f64, String)>) -> Self {
        Self { label: label.into(), low, high, scale: Scale::Log, ticks, grid: true }
    }

    /// Places 0, 1, 2, ... with names, each in the middle of its stretch.
    pub(crate) fn names(label: &str, names: &[String]) -> Self {
        let stride = names.len().div_ceil(12).max(1);
        let ticks = names.iter().enumerate().step_by(stride).map(|(i, s)| (i as f64, s.clone())).collect();
        let high = names.len() as f64 - 0.5;
        Self { label: label.into(), low: -0.5, high, scale: Scale::Linear, ticks, grid: false }
    }

    /// Without ticks.
    pub(crate) fn bare(label: &str, low: f64, high: f64) -> Self {
        Self { ticks: Vec::new(), ..Self::linear(label, low, high) }
    }

    /// The same numbers with percent signs (values are fractions).
    pub(crate) fn percent(mut self) -> Self {
        let (values, digits) = ticks(100.0 * self.low, 100.0 * self.high, 5);
        self.ticks = values.into_iter().map(|v| (v / 100.0, format!("{}%", fixed(v, digits, false)))).collect();
        self
    }

    /// With room below the lowest value, as a share of the range; ticks stay where they are.
    pub(crate) fn extended_below(mut self, share: f64) -> Self {
        self.low -= share * (self.high - self.low);
        self
    }

    /// Where a value lies between the ends, 0 to 1; what is beyond an end lies on it.
    fn place(&self, v: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (v - self.low) / (self.high - self.low),
            Scale::Log => (v.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln(),
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }
}

fn superscript(power: i32) -> String {
    let digit = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        c => c.to_digit(10).and_then(|d| char::from_u32(0x2070 + d)).unwrap_or(c),
    };
    power.to_string().chars().map(digit).collect()
}

/// How a legend shows a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A stroke, dashed as its class says.
    Line,
    /// A filled square.
    Fill,
    /// A dot.
    Dot,
}

/// An entry of a legend: how, which class, what.
pub(crate) type Key = (Mark, String, String);

/// A legend below a title, on as many lines as it needs, and the foot of its last line.
pub(crate) fn draw_legend(legend: &[Key]) -> (String, f64) {
    let mut out = String::new();
    let (mut at, mut line) = (2.0, 32.0);
    for (mark, class, text) in legend {
        let width = 22.0 + text.chars().count() as f64 * CHARACTER;
        if at > 2.0 && at + width > WIDTH - 4.0 {
            at = 2.0;
            line += LINE;
        }
        let (x, y) = (n(at), line - 4.0);
        out.push_str(&match mark {
            Mark::Line => format!("<path class=\"s {class}\" d=\"M{x} {}h16\"/>", n(y)),
            Mark::Fill => format!(
                "<rect class=\"f {class}\" x=\"{}\" y=\"{}\" width=\"10\" height=\"10\"/>",
                n(at + 3.0),
                n(y - 5.0)
            ),
            Mark::Dot => {
                format!("<circle class=\"f {class}\" cx=\"{}\" cy=\"{}\" r=\"4\"/>", n(at + 8.0), n(y))
            }
        });
        out.push_str(&format!("<text class=\"tx\" x=\"{}\" y=\"{}\">{}</text>", n(at + 20.0), n(line), escape(text)));
        at += width + 6.0;
    }
    (out, line)
}

/// A chart being drawn.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    title: String,
    description: String,
    x: Axis,
    y: Axis,
    top: f64,
    plot_height: f64,
    head: String,
    marks: String,
    over: String,
    /// Names already drawn: left end, foot, right end.
    names: Vec<(f64, f64, f64)>,
}

impl Chart {
    /// An empty chart; `plot_height` is that of the area between the axes.
    pub(crate) fn new(title: &str, description: &str, x: Axis, y: Axis, legend: &[Key], plot_height: f64) -> Self {
        let (keys, line) = draw_legend(legend);
        let mut head = format!("<text class=\"tl\" x=\"2\" y=\"14\">{}</text>{keys}", escape(title));
        let mut top = if legend.is_empty() { 24.0 } else { line + 8.0 };
        if !y.label.is_empty() {
            top += LINE + 4.0;
            head.push_str(&format!("<text class=\"mt\" x=\"2\" y=\"{}\">{}</text>", n(top - 10.0), escape(&y.label)));
        }
        let (title, description) = (title.to_owned(), description.to_owned());
        Self {
            title,
            description,
            x,
            y,
            top,
            plot_height,
            head,
            marks: String::new(),
            over: String::new(),
            names: Vec::new(),
        }
    }

    fn px(&self, x: f64) -> f64 {
        LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT)
    }

    fn py(&self, y: f64) -> f64 {
        self.top + (1.0 - self.y.place(y)) * self.plot_height
    }

    fn path(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let mut d = String::new();
        for (x, y) in points {
            d.push(if d.is_empty() { 'M' } else { 'L' });
            d.push_str(&format!("{} {}", n(self.px(x)), n(self.py(y))));
        }
        d
    }

    /// A line through points.
    pub(crate) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let d = self.path(points.iter().copied());
        self.marks.push_str(&format!("<path class=\"s {class}\" d=\"{d}\"/>"));
    }

    /// The outline of a histogram: `edges` has one more than `heights`; lowest level `base`.
    pub(crate) fn steps(&mut self, class: &str, edges: &[f64], heights: &[f64], base: f64, filled: bool) {
        let mut points = vec![];
        for (edge, &h) in edges.windows(2).zip(heights) {
            points.extend([(edge[0], base + h), (edge[1], base + h)]);
        }
        let (Some(&first), Some(&last)) = (edges.first(), edges.last()) else { return };
        points.insert(0, (first, base));
        points.push((last, base));
        let d = self.path(points);
        let kind = if filled { "a" } else { "s" };
        self.marks.push_str(&format!("<path class=\"{kind} {class}\" d=\"{d}\"/>"));
    }

    /// The area between two lines of the same x: (x, low, high).
    pub(crate) fn band(&mut self, class: &str, points: &[(f64, f64, f64)]) {
        let there = points.iter().map(|p| (p.0, p.2));
        let back = points.iter().rev().map(|p| (p.0, p.1));
        let d = self.path(there.chain(back));
        self.marks.push_str(&format!("<path class=\"b {class}\" d=\"{d}Z\"/>"));
    }

    /// Dots of one size; drawn as one path of points with round ends, which is the shortest that SVG has.
    pub(crate) fn dots(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let d: String = points.into_iter().map(|(x, y)| format!("M{} {}h0", n(self.px(x)), n(self.py(y)))).collect();
        self.marks.push_str(&format!("<path class=\"p {class}\" d=\"{d}\"/>"));
    }

    /// One large marked point.
    pub(crate) fn point(&mut self, class: &str, x: f64, y: f64) {
        let (x, y) = (n(self.px(x)), n(self.py(y)));
        self.over.push_str(&format!("<circle class=\"f ring {class}\" cx=\"{x}\" cy=\"{y}\" r=\"4.5\"/>"));
    }

    /// A vertical stroke from `low` to `high` with small feet: an interval.
    pub(crate) fn whisker(&mut self, class: &str, x: f64, low: f64, high: f64) {
        let (x, low, high) = (self.px(x), n(self.py(low)), n(self.py(high)));
        let (a, b) = (n(x - 2.5), n(x));
        let d = format!("M{a} {low}h5M{b} {low}V{high}M{a} {high}h5");
        self.marks.push_str(&format!("<path class=\"w {class}\" d=\"{d}\"/>"));
    }

    /// A filled rectangle in data coordinates; `strength` is its opacity.
    pub(crate) fn cell(&mut self, class: &str, x: [f64; 2], y: [f64; 2], strength: f64) {
        let (x0, x1, y0, y1) = (self.px(x[0]), self.px(x[1]), self.py(y[0]), self.py(y[1]));
        let (x, y, w, h) = (n(x0.min(x1)), n(y0.min(y1)), n((x1 - x0).abs()), n((y1 - y0).abs()));
        let opacity = if strength < 1.0 { format!(" opacity=\"{strength:.2}\"") } else { String::new() };
        self.marks.push_str(&format!(
            "<rect class=\"f {class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"{opacity}/>"
        ));
    }

    /// A short stroke at the foot of the plot: a level of a grid.
    pub(crate) fn level(&mut self, x: f64) {
        let (x, y) = (n(self.px(x)), n(self.top + self.plot_height));
        self.over.push_str(&format!("<path class=\"lv\" d=\"M{x} {y}v-9\"/>"));
    }

    /// A thin line from one side to the other at x or between two points.
    pub(crate) fn rule(&mut self, from: (f64, f64), to: (f64, f64)) {
        let d = self.path([from, to]);
        self.marks.push_str(&format!("<path class=\"ru\" d=\"{d}\"/>"));
    }

    /// Text at a point; `class` may hold `mid` or `end` for its anchor.
    pub(crate) fn text(&mut self, class: &str, x: f64, y: f64, shift: (f64, f64), text: &str) {
        let (x, y) = (n(self.px(x) + shift.0), n(self.py(y) + shift.1));
        self.over.push_str(&format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escape(text)));
    }

    /// Names a point where there is room: names that would run into an earlier one are left to the table.
    pub(crate) fn name(&mut self, x: f64, y: f64, text: &str) {
        let (px, py) = (self.px(x), self.py(y));
        let width = text.chars().count() as f64 * CHARACTER;
        let left = px + 8.0 + width > WIDTH - 4.0;
        let (start, foot) = (if left { px - 8.0 - width } else { px + 8.0 }, py - 7.0);
        let apart =
            |other: &(f64, f64, f64)| (other.1 - foot).abs() > 12.0 || start > other.2 || start + width < other.0;
        if start > 0.0 && foot > self.top && self.names.iter().all(apart) {
            self.names.push((start, foot, start + width));
            let (anchor, x) = if left { ("tk end", start + width) } else { ("tk", start) };
            let text = escape(text);
            self.over.push_str(&format!("<text class=\"{anchor}\" x=\"{}\" y=\"{}\">{text}</text>", n(x), n(foot)));
        }
    }

    /// Frame, ticks and marks together.
    pub(crate) fn finish(self) -> Panel {
        let (bottom, right) = (self.top + self.plot_height, WIDTH - RIGHT);
        let mut body = self.head.clone();
        let mut grid = String::new();
        for (v, text) in &self.y.ticks {
            let y = self.py(*v);
            if self.y.grid {
                grid.push_str(&format!("M{} {}H{}", n(LEFT), n(y), n(right)));
            }
            body.push_str(&format!(
                "<text class=\"tk end\" x=\"{}\" y=\"{}\">{}</text>",
                n(LEFT - 5.0),
                n(y + 3.8),
                escape(text)
            ));
        }
        for (v, text) in &self.x.ticks {
            let x = self.px(*v);
            if self.x.grid {
                grid.push_str(&format!("M{} {}V{}", n(x), n(self.top), n(bottom)));
            }
            body.push_str(&format!(
                "<text class=\"tk mid\" x=\"{}\" y=\"{}\">{}</text>",
                n(x),
                n(bottom + 14.0),
                escape(text)
            ));
        }
        body.push_str(&format!("<path class=\"gr\" d=\"{grid}\"/>"));
        body.push_str(&self.marks);
        body.push_str(&format!("<path class=\"ax\" d=\"M{} {}V{}H{}\"/>", n(LEFT), n(self.top), n(bottom), n(right)));
        body.push_str(&self.over);
        let middle = (LEFT + right) / 2.0;
        let mut height = bottom + 20.0;
        if !self.x.label.is_empty() {
            height += LINE - 4.0;
            body.push_str(&format!(
                "<text class=\"mt mid\" x=\"{}\" y=\"{}\">{}</text>",
                n(middle),
                n(height - 4.0),
                escape(&self.x.label)
            ));
        }
        panel(self.title, self.description, height, body)
    }
}

/// A panel from what is drawn in it.
pub(crate) fn panel(title: String, description: String, height: f64, body: String) -> Panel {
    Panel { title, description, width: WIDTH, height, body }
}

/// Fewer points of a long monotone line: those that lie at least `least` (of the unit square, in both directions
/// together) from the last one kept, and the ends.
pub(crate) fn thin(points: &[(f64, f64)], least: f64) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (i, &p) in points.iter().enumerate() {
        let far = kept.last().is_none_or(|k| (p.0 - k.0).abs() + (p.1 - k.1).abs() >= least);
        if far || i + 1 == points.len() {
            kept.push(p);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_within_the_plot_and_text_is_escaped() {
        let (x, y) = (Axis::log10("x < 1", 1e-4, 2.0), Axis::linear("y", 0.0, 1.0));
        let mut chart = Chart::new("a & b", "d", x, y, &[(Mark::Line, "k0".into(), "<float>".into())], 100.0);
        chart.line("k0", &[(0.0, -5.0), (1e9, f64::NAN)]);
        let panel = chart.finish();
        let svg = panel.standalone();
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;float&gt;") && svg.contains("x &lt; 1"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(svg.contains(&format!("M{} ", n(LEFT))), "{svg}");
    }

    #[test]
    fn thinning_keeps_the_ends() {
        let points: Vec<_> = (0..=1000).map(|i| (f64::from(i) / 1000.0, 1.0)).collect();
        let few = thin(&points, 0.01);
        assert!(few.len() < 110 && few.first() == points.first() && few.last() == points.last());
    }

    #[test]
    fn logarithmic_ticks_are_powers() {
        let axis = Axis::log10("x", 1e-5, 1.0);
        let texts: Vec<_> = axis.ticks.iter().map(|t| t.1.as_str()).collect();
        assert_eq!(texts, ["10⁻⁵", "10⁻⁴", "0.001", "0.01", "0.1", "1"]);
    }
}

//! Colours, and the style sheets made of them.
//!
//! Groups and models each have a small set that people with any of the three common colour deficiencies tell apart (a
//! test simulates them); models differ in their dashes too. Text and the marks of groups and models stand out from the
//! ground by at least 4.5:1 in both schemes (WCAG 2.2, level AA for text).

use crate::Role;

/// The colours of one scheme.
pub(crate) struct Scheme {
    /// The ground of the page.
    pub ground: &'static str,
    /// The ground of cards and charts.
    pub paper: &'static str,
    /// Text.
    pub ink: &'static str,
    /// Text that stands back.
    pub muted: &'static str,
    /// Lines of frames and tables.
    pub line: &'static str,
    /// Lines of a chart's grid.
    pub grid: &'static str,
    /// Links, and the cells of heat maps at full strength.
    pub accent: &'static str,
    /// Clean, ambiguous, ood.
    pub groups: [&'static str; 3],
    /// Models in the order of the metrics; further ones begin again.
    pub models: [&'static str; 4],
}

/// Light, and print.
pub(crate) const LIGHT: Scheme = Scheme {
    ground: "#f6f7f9",
    paper: "#ffffff",
    ink: "#1a1f26",
    muted: "#59626e",
    line: "#d5dae1",
    grid: "#e8ebef",
    accent: "#0b5c94",
    groups: ["#0072b2", "#b94a00", "#5c1350"],
    models: ["#30363d", "#00796b", "#b3367e", "#8a6100"],
};

/// Dark.
pub(crate) const DARK: Scheme = Scheme {
    ground: "#0f1115",
    paper: "#171a20",
    ink: "#e7eaef",
    muted: "#a3acb9",
    line: "#343b46",
    grid: "#262c35",
    accent: "#7cc4f5",
    groups: ["#4aa8e8", "#f0a030", "#ffd3ea"],
    models: ["#d5d9e0", "#2fbfa9", "#f284bf", "#d8b13c"],
};

/// Opacities of the cells of a heat map: up to [`WEAK`] text on them is ink, above paper. The step between is what
/// keeps both readable.
pub(crate) const WEAK: f64 = 0.42;
/// The least opacity above.
pub(crate) const STRONG: f64 = 0.86;

/// A share between 0 and 1 as the opacity of a heat map's cell, and the class of the text on it.
pub(crate) fn heat(share: f64) -> (f64, &'static str) {
    let share = share.clamp(0.0, 1.0);
    if share < 0.7 {
        (0.04 + (WEAK - 0.04) * share / 0.7, "tk mid on-weak")
    } else {
        (STRONG + (1.0 - STRONG) * (share - 0.7) / 0.3, "tk mid on-strong")
    }
}

/// The class of a group of this role.
pub(crate) fn group(role: Role) -> &'static str {
    match role {
        Role::Clean => "g0",
        Role::Ambiguous => "g1",
        Role::Ood => "g2",
        Role::Shifted => "k3",
    }
}

/// The class of the model at this place of the metrics.
pub(crate) fn model(place: usize) -> String {
    format!("k{}", if place == 0 { 0 } else { 1 + (place - 1) % 7 })
}

/// The dashes of the model at this place, for lines that have another colour.
pub(crate) fn dashes(place: usize) -> String {
    model(place).replace('k', "d")
}

/// Rules for everything in a chart; colours are variables.
const CHART: &str = "\
.panel{display:block;width:100%;height:auto}\
text{font:12px var(--font);fill:var(--ink)}\
.tl{font-weight:600}\
.mt,.tk{fill:var(--muted)}\
.tk{font-variant-numeric:tabular-nums}\
.mid{text-anchor:middle}.end{text-anchor:end}\
.ax{fill:none;stroke:var(--muted);stroke-width:1}\
.gr{fill:none;stroke:var(--grid);stroke-width:1}\
.ru{fill:none;stroke:var(--muted);stroke-width:1;stroke-dasharray:2 3}\
.lv{stroke:var(--ink);stroke-width:1.4}\
.s{fill:none;stroke:currentColor;stroke-width:1.8;stroke-linejoin:round}\
.w{fill:none;stroke:currentColor;stroke-width:1.1}\
.f{fill:currentColor}\
.a{fill:currentColor;fill-opacity:.32}\
.b{fill:currentColor;fill-opacity:.18}\
.p{fill:none;stroke:currentColor;stroke-width:3;stroke-linecap:round;stroke-opacity:.45}\
.ring{stroke:var(--paper);stroke-width:1.6}\
.heat{color:var(--accent)}.on-weak{fill:var(--ink)}.on-strong{fill:var(--paper)}\
.tg{fill:currentColor;font-weight:600}\
.px{shape-rendering:crispEdges;fill:none;stroke-width:1.04}\
.g0{color:var(--g0)}.g1{color:var(--g1)}.g2{color:var(--g2)}\
.k0{color:var(--k0)}.k1,.k5{color:var(--k1)}.k2,.k6{color:var(--k2)}.k3,.k7{color:var(--k3)}.k4{color:var(--g0)}\
.s.k0{stroke-dasharray:5 3}.s.k2,.s.d2{stroke-dasharray:1.5 2.5}.s.k3,.s.d3{stroke-dasharray:8 2 2 2}\
.s.k4,.s.d4{stroke-dasharray:4 1.5}.s.k5,.s.d5{stroke-dasharray:3 2}.s.k6,.s.d6{stroke-dasharray:10 3}.s.k7,.s.d7{stroke-dasharray:2 4}\
.s.solid{stroke-dasharray:none}.s.thin{stroke-width:1.1}.s.fine{stroke-dasharray:1.5 2.5;stroke-width:1.5}\
.ghost{color:var(--muted)}.ink{color:var(--ink)}";

fn variables(scheme: &Scheme) -> Vec<(String, &'static str)> {
    let Scheme { ground, paper, ink, muted, line, grid, accent, groups, models } = *scheme;
    let named = [
        ("ground", ground),
        ("paper", paper),
        ("ink", ink),
        ("muted", muted),
        ("line", line),
        ("grid", grid),
        ("accent", accent),
    ];
    let mut all: Vec<_> = named.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    all.extend(groups.into_iter().enumerate().map(|(i, v)| (format!("g{i}"), v)));
    all.extend(models.into_iter().enumerate().map(|(i, v)| (format!("k{i}"), v)));
    all
}

fn declared(scheme: &Scheme) -> String {
    variables(scheme).iter().map(|(name, value)| format!("--{name}:{value};")).collect()
}

/// The style sheet of a page, before its own layout: variables of both schemes and the rules of charts.
pub(crate) fn page_style() -> String {
    let font = "--font:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif;";
    let (light, dark) = (declared(&LIGHT), declared(&DARK));
    format!(
        ":root{{color-scheme:light dark;{font}{light}}}\
         @media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{CHART}"
    )
}

/// The style sheet of a chart that stands alone: no variables, which drawing programs do not know.
pub(crate) fn standalone_style() -> String {
    let mut style = CHART.replace("var(--font)", "Helvetica,Arial,'DejaVu Sans',sans-serif");
    for (name, value) in variables(&LIGHT) {
        style = style.replace(&format!("var(--{name})"), value);
    }
    style
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(hex: &str) -> [f64; 3] {
        let channel = |i: usize| f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0;
        [1, 3, 5].map(channel).map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) })
    }

    fn luminance(c: [f64; 3]) -> f64 {
        0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]
    }

    /// WCAG 2.2, contrast ratio.
    fn contrast(a: f64, b: f64) -> f64 {
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Full protanopia, deuteranopia and tritanopia (Machado et al. 2009, table 1), and none.
    const SIGHT: [[[f64; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];

    /// OKLab (Ottosson 2020) of a colour as seen.
    fn seen(sight: &[[f64; 3]; 3], hex: &str) -> [f64; 3] {
        let c = linear(hex);
        let [r, g, b] = sight.map(|row| (row[0] * c[0] + row[1] * c[1] + row[2] * c[2]).max(0.0));
        let l = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b).cbrt();
        let m = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b).cbrt();
        let s = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b).cbrt();
        [
            0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
            1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
            0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s,
        ]
    }

    #[test]
    fn text_and_marks_stand_out() {
        for scheme in [&LIGHT, &DARK] {
            let texts = [scheme.ink, scheme.muted, scheme.accent];
            for colour in texts.iter().chain(&scheme.groups).chain(&scheme.models) {
                for ground in [scheme.paper, scheme.ground] {
                    let ratio = contrast(luminance(linear(colour)), luminance(linear(ground)));
                    assert!(ratio >= 4.5, "{colour} on {ground}: {ratio:.2}");
                }
            }
        }
    }

    #[test]
    fn numbers_on_a_heat_map_can_be_read() {
        for scheme in [&LIGHT, &DARK] {
            for step in 0..=100 {
                let (opacity, class) = heat(f64::from(step) / 100.0);
                let text = if class.contains("strong") { scheme.paper } else { scheme.ink };
                // Opacity mixes the encoded values, not the light.
                let channel = |hex: &str, i: usize| f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap());
                let mix =
                    |i| (opacity * channel(scheme.accent, i) + (1.0 - opacity) * channel(scheme.paper, i)).round();
                let cell = format!("#{:02x}{:02x}{:02x}", mix(1) as u8, mix(3) as u8, mix(5) as u8);
                let ratio = contrast(luminance(linear(text)), luminance(linear(&cell)));
                assert!(ratio >= 4.5, "{text} on {cell} ({opacity:.2}): {ratio:.2}");
            }
        }
    }

    #[test]
    fn colours_differ_whatever_the_sight() {
        for scheme in [&LIGHT, &DARK] {
            // Models beyond the second differ by their dashes.
            for set in [&scheme.groups[..], &scheme.models[..2]] {
                for (i, a) in set.iter().enumerate() {
                    for b in &set[i + 1..] {
                        for sight in &SIGHT {
                            let (p, q) = (seen(sight, a), seen(sight, b));
                            let far = p.iter().zip(q).map(|(p, q)| (p - q).powi(2)).sum::<f64>().sqrt();
                            assert!(far > 0.1, "{a} and {b}: {far:.3}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_chart_alone_has_no_variables() {
        assert!(!standalone_style().contains("var("), "{}", standalone_style());
    }
}

//! The pen: from the points of a shape to the pixels of an image.
//!
//! Only `+ - * / sqrt` on `f64` are used, which IEEE 754 fixes to the last bit, so that every machine draws the same
//! bytes. Rotations come from the rational points of the circle, not from sine and cosine.

use super::glyphs::{Glyph, Point};
use crate::random::Random;

/// Height and width of an image.
pub const SIDE: usize = 28;

/// A place, x and y.
pub(super) type Place = (f64, f64);

/// Straight pieces per span between two points of a smooth line.
const PIECES: usize = 5;
/// Points of a line laid out evenly for a morph.
const EVEN: usize = 32;
/// Standard deviation of a point's jitter, in units of the box.
const JITTER: f64 = 0.022;
/// Size of the box, in pixels.
const BOX: f64 = 24.0;

/// Moves every point of a line a little; a closed line stays closed.
pub(super) fn jitter(line: &[Point], random: &mut Random) -> Vec<Point> {
    let closed = is_closed(line);
    let mut moved: Vec<Point> = line
        .iter()
        .map(|p| Point { x: p.x + JITTER * random.normal(), y: p.y + JITTER * random.normal(), ..*p })
        .collect();
    if closed && let [first, .., last] = &mut moved[..] {
        (last.x, last.y) = (first.x, first.y);
    }
    moved
}

fn is_closed(line: &[Point]) -> bool {
    matches!(line, [a, _, .., b] if a.x == b.x && a.y == b.y)
}

/// The line as many short straight pieces: a Catmull-Rom curve through the points, broken at corners and open ends.
pub(super) fn flatten(line: &[Point]) -> Vec<Place> {
    let n = line.len();
    let wraps = is_closed(line);
    let Some(first) = line.first() else { return Vec::new() };
    let mut out = vec![(first.x, first.y)];
    for i in 0..n - 1 {
        let (b, c) = (line[i], line[i + 1]);
        if b.corner && c.corner {
            out.push((c.x, c.y));
            continue;
        }
        let before = match i {
            _ if b.corner => None,
            0 if wraps => Some(line[n - 2]),
            0 => None,
            _ => Some(line[i - 1]),
        };
        let after = match i + 2 {
            _ if c.corner => None,
            k if k < n => Some(line[k]),
            _ if wraps => Some(line[1]),
            _ => None,
        };
        let a = before.map_or((2.0 * b.x - c.x, 2.0 * b.y - c.y), |p| (p.x, p.y));
        let d = after.map_or((2.0 * c.x - b.x, 2.0 * c.y - b.y), |p| (p.x, p.y));
        for k in 1..=PIECES {
            let t = k as f64 / PIECES as f64;
            out.push((spline(a.0, b.x, c.x, d.0, t), spline(a.1, b.y, c.y, d.1, t)));
        }
    }
    out
}

fn spline(a: f64, b: f64, c: f64, d: f64, t: f64) -> f64 {
    0.5 * (2.0 * b + t * ((c - a) + t * ((2.0 * a - 5.0 * b + 4.0 * c - d) + t * (3.0 * (b - c) + d - a))))
}

/// [`EVEN`] places at equal distances along a line.
pub(super) fn even(line: &[Place]) -> Vec<Place> {
    let Some(&last) = line.last() else { return Vec::new() };
    let lengths: Vec<f64> = line.windows(2).map(|w| length(w[0], w[1])).collect();
    let step = lengths.iter().sum::<f64>() / (EVEN - 1) as f64;
    let (mut out, mut passed, mut i) = (Vec::with_capacity(EVEN), 0.0, 0);
    for k in 0..EVEN - 1 {
        let wanted = step * k as f64;
        while i + 1 < lengths.len() && passed + lengths[i] <= wanted {
            passed += lengths[i];
            i += 1;
        }
        let t = if lengths[i] > 0.0 { (wanted - passed) / lengths[i] } else { 0.0 };
        out.push(between(line[i], line[i + 1], if t < 1.0 { t } else { 1.0 }));
    }
    out.push(last);
    out
}

/// The place a share `t` of the way from `a` to `b`.
pub(super) fn between(a: Place, b: Place, t: f64) -> Place {
    (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1))
}

fn length(a: Place, b: Place) -> f64 {
    let (x, y) = (b.0 - a.0, b.1 - a.1);
    (x * x + y * y).sqrt()
}

/// The lines of a shape, each point jittered.
pub(super) fn lines(glyph: Glyph, random: &mut Random) -> Vec<Vec<Place>> {
    glyph.iter().map(|line| flatten(&jitter(line, random))).collect()
}

/// (cosine, sine) of an angle whose half has the tangent `t`.
pub(super) fn turn(t: f64) -> (f64, f64) {
    let d = 1.0 + t * t;
    ((1.0 - t * t) / d, 2.0 * t / d)
}

/// One way of writing: how everything written in one image is bent, slanted, turned, stretched, moved, and how thick.
pub(super) struct Hand {
    bend: [f64; 6],
    slant: f64,
    turn: (f64, f64),
    scale: (f64, f64),
    shift: (f64, f64),
    /// Half of the pen's width, in pixels.
    radius: f64,
    /// Brightness of full ink, at most 1.
    ink: f64,
}

impl Hand {
    /// A hand at random.
    pub(super) fn draw(random: &mut Random) -> Self {
        Self {
            bend: std::array::from_fn(|_| 0.12 * random.normal()),
            slant: random.range(-0.15, 0.45),
            turn: turn(random.range(-0.13, 0.13)),
            scale: (random.range(0.62, 1.05), random.range(0.72, 1.05)),
            shift: (random.range(-2.2, 2.2), random.range(-2.2, 2.2)),
            radius: random.range(0.75, 1.75),
            ink: random.range(0.85, 1.0),
        }
    }

    fn place(&self, (x, y): Place) -> Place {
        let (x, y) = (x - 0.5, y - 0.5);
        let [a, b, c, d, e, f] = self.bend;
        let (x, y) = (x + a * x * x + b * x * y + c * y * y, y + d * x * x + e * x * y + f * y * y);
        // y goes down, and a hand that leans to the right leans there at the top.
        let (x, y) = ((x - self.slant * y) * self.scale.0, y * self.scale.1);
        let (cos, sin) = self.turn;
        let half = SIDE as f64 / 2.0;
        (half + self.shift.0 + BOX * (cos * x - sin * y), half + self.shift.1 + BOX * (sin * x + cos * y))
    }

    /// Draws lines in coordinates of the unit box, and appends the image to `pixels`.
    pub(super) fn render(&self, lines: &[Vec<Place>], pixels: &mut Vec<u8>) {
        // Squared distance of each pixel's middle to the nearest line, where it is near enough to matter.
        let mut near = [f64::MAX; SIDE * SIDE];
        let reach = self.radius + 0.5;
        for line in lines {
            let placed: Vec<Place> = line.iter().map(|&p| self.place(p)).collect();
            placed.windows(2).for_each(|w| mark(&mut near, w[0], w[1], reach));
        }
        pixels.extend(near.iter().map(|&square| {
            if square >= reach * reach {
                return 0;
            }
            let cover = reach - square.sqrt();
            (self.ink * 255.0 * if cover < 1.0 { cover } else { 1.0 } + 0.5) as u8
        }));
    }
}

fn mark(near: &mut [f64; SIDE * SIDE], a: Place, b: Place, reach: f64) {
    let columns = pixel_range(a.0, b.0, reach);
    let (x, y) = (b.0 - a.0, b.1 - a.1);
    let square = x * x + y * y;
    for row in pixel_range(a.1, b.1, reach) {
        for column in columns.clone() {
            let (px, py) = (column as f64 + 0.5 - a.0, row as f64 + 0.5 - a.1);
            let along = px * x + py * y;
            let t = if along <= 0.0 || square <= 0.0 {
                0.0
            } else if along >= square {
                1.0
            } else {
                along / square
            };
            let (dx, dy) = (px - t * x, py - t * y);
            let distance = dx * dx + dy * dy;
            let pixel = &mut near[row * SIDE + column];
            if distance < *pixel {
                *pixel = distance;
            }
        }
    }
}

/// The pixels along one axis that a piece from `a` to `b` can reach.
fn pixel_range(a: f64, b: f64, reach: f64) -> std::ops::Range<usize> {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    // Casts from float saturate: what lies left of the image starts at 0.
    let end = (high + reach + 0.5) as usize;
    ((low - reach - 0.5) as usize).min(SIDE)..end.min(SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_laid_places_are_at_equal_distances() {
        let line = even(&[(0.0, 0.0), (1.0, 0.0), (1.0, 0.0), (1.0, 3.0)]);
        assert_eq!((line.len(), line[0], line[EVEN - 1]), (EVEN, (0.0, 0.0), (1.0, 3.0)));
        let step = 4.0 / (EVEN - 1) as f64;
        assert!(line.windows(2).all(|w| length(w[0], w[1]) < step + 1e-9));
        assert_eq!(even(&[(1.0, 1.0), (1.0, 1.0)]), [(1.0, 1.0); EVEN]);
    }

    #[test]
    fn a_turn_is_on_the_circle() {
        let (cos, sin) = turn(0.4142135623730951);
        assert!((cos - sin).abs() < 1e-9 && (cos * cos + sin * sin - 1.0).abs() < 1e-12);
    }
}

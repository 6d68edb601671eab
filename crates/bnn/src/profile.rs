//! Where the time of training steps goes, part by part.

use std::time::Instant;

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Images gathered, normalised, with their noise.
    Data,
    /// Noise, the draw, and the quantizers that it goes through.
    Draw,
    /// Forward passes.
    Forward,
    /// Loss and backward passes, with the weight gradients of convolutions.
    Backward,
    /// Sums over the blocks, and the weight gradients of dense layers.
    Weights,
    /// KL and the gradients through the quantizers, where they are not one pass with the update.
    Guide,
    /// Adam (in float with one weight draw: with KL and the gradients of mu and sigma).
    Update,
}

impl Part {
    /// All parts, in the order of a step, each with its name.
    pub const ALL: [(Part, &'static str); 7] = [
        (Part::Data, "data"),
        (Part::Draw, "noise and draw"),
        (Part::Forward, "forward"),
        (Part::Backward, "backward"),
        (Part::Weights, "dense weights"),
        (Part::Guide, "KL and quantizers"),
        (Part::Update, "optimizer"),
    ];
}

/// Seconds of each part; of parts that several threads share, the sum over the threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Profile {
    seconds: [f64; Part::ALL.len()],
}

impl Profile {
    /// Seconds of a part.
    pub fn seconds(&self, part: Part) -> f64 {
        self.seconds[part as usize]
    }

    /// Starts to measure.
    pub fn clock(&mut self) -> Clock<'_> {
        Clock { profile: self, since: Instant::now() }
    }

    /// Adds another profile.
    pub fn add(&mut self, other: &Profile) {
        self.seconds.iter_mut().zip(other.seconds).for_each(|(a, b)| *a += b);
    }
}

/// Measures one part after the other.
pub struct Clock<'a> {
    profile: &'a mut Profile,
    since: Instant,
}

impl Clock<'_> {
    /// The time since the start or the last stop went into `part`.
    pub fn stop(&mut self, part: Part) {
        let now = Instant::now();
        self.profile.seconds[part as usize] += (now - self.since).as_secs_f64();
        self.since = now;
    }
}

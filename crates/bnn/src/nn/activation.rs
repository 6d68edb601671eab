//! The ReLU family and hardtanh, each with its slope; and what each means for the sign of its codes.

use crate::math::vectorized;

/// An activation function, applied number by number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// x, or slope * x below zero
    LeakyRelu {
        /// Slope below zero.
        slope: f32,
    },
    /// min(max(x, 0), max)
    ClippedRelu {
        /// Where it clips.
        max: f32,
    },
    /// min(max(x, -1), 1)
    Hardtanh,
}

impl Activation {
    /// Whether it can give negative values, so that its codes need a sign.
    pub fn signed(self) -> bool {
        matches!(self, Activation::LeakyRelu { .. } | Activation::Hardtanh)
    }

    /// The largest value that it can give, where there is one.
    pub fn ceiling(self) -> Option<f32> {
        match self {
            Activation::ClippedRelu { max } => Some(max),
            Activation::Hardtanh => Some(1.0),
            Activation::Relu | Activation::LeakyRelu { .. } => None,
        }
    }

    /// Its value.
    #[inline(always)]
    pub fn value(self, x: f32) -> f32 {
        match self {
            Activation::Relu => x.max(0.0),
            Activation::LeakyRelu { slope } => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Activation::ClippedRelu { max } => x.max(0.0).min(max),
            Activation::Hardtanh => x.clamp(-1.0, 1.0),
        }
    }

    /// Its derivative; at a corner the one from the left.
    #[inline(always)]
    pub fn slope(self, x: f32) -> f32 {
        let one_if = |inside| if inside { 1.0 } else { 0.0 };
        match self {
            Activation::Relu => one_if(x > 0.0),
            Activation::LeakyRelu { slope } => {
                if x > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Activation::ClippedRelu { max } => one_if(x > 0.0 && x <= max),
            Activation::Hardtanh => one_if(x > -1.0 && x <= 1.0),
        }
    }

    /// `y = f(x)`.
    pub fn forward(self, x: &[f32], y: &mut [f32]) {
        self.specialised(
            #[inline(always)]
            |f| y.iter_mut().zip(x).for_each(|(y, &x)| *y = f.value(x)),
        );
    }

    /// `dx = f'(x) dy`.
    pub fn backward(self, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        self.specialised(
            #[inline(always)]
            |f| {
                for ((dx, &dy), &x) in dx.iter_mut().zip(dy).zip(x) {
                    *dx = f.slope(x) * dy;
                }
            },
        );
    }

    /// Runs a loop with the choice of function made outside it: in each arm the compiler sees one function only.
    #[inline(always)]
    pub fn specialised<R>(self, body: impl FnOnce(Activation) -> R) -> R {
        vectorized(
            #[inline(always)]
            || match self {
                Activation::Relu => body(Activation::Relu),
                Activation::LeakyRelu { slope } => body(Activation::LeakyRelu { slope }),
                Activation::ClippedRelu { max } => body(Activation::ClippedRelu { max }),
                Activation::Hardtanh => body(Activation::Hardtanh),
            },
        )
    }
}

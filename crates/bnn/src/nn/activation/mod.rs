//! Activation functions, each in its own file with its slope, and what each means for the sign of its codes.
//!
//! A new one is a file with the items that [`activations!`](self) asks for, a line in the list below, and its name in
//! the description of networks (`nn/spec.rs`).

use crate::math::vectorized;

/// Builds [`Activation`] of a list of modules. A module has `SIGNED`, `CEILING` (a constant or, with a parameter, a
/// function of it), and `value` and `slope`, inlined, of `x` and the parameter where there is one.
macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident in $module:ident $({ $(#[$field_doc:meta])* $field:ident })?),+ $(,)?) => {
        $(mod $module;)+

        /// An activation function, applied number by number.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Activation {
            $($(#[$doc])* $name $({ $(#[$field_doc])* $field: f32 })?),+
        }

        impl Activation {
            /// Whether it can give negative values, so that its codes need a sign.
            pub fn signed(self) -> bool {
                match self {
                    $(Activation::$name { .. } => $module::SIGNED),+
                }
            }

            /// The largest value that it can give, where there is one.
            pub fn ceiling(self) -> Option<f32> {
                match self {
                    $(Activation::$name $({ $field })? => $module::ceiling($($field)?)),+
                }
            }

            /// Its value.
            #[inline(always)]
            pub fn value(self, x: f32) -> f32 {
                match self {
                    $(Activation::$name $({ $field })? => $module::value(x $(, $field)?)),+
                }
            }

            /// Its derivative; at a corner the one from the left.
            #[inline(always)]
            pub fn slope(self, x: f32) -> f32 {
                match self {
                    $(Activation::$name $({ $field })? => $module::slope(x $(, $field)?)),+
                }
            }

            /// Runs a loop with the choice of function made outside it: in each arm the compiler sees one function
            /// only.
            #[inline(always)]
            pub fn specialised<R>(self, body: impl FnOnce(Activation) -> R) -> R {
                vectorized(
                    #[inline(always)]
                    || match self {
                        $(Activation::$name $({ $field })? => body(Activation::$name $({ $field })?)),+
                    },
                )
            }
        }
    };
}

activations! {
    /// max(x, 0)
    Relu in relu,
    /// x, or slope * x below zero
    LeakyRelu in leaky_relu {
        /// Slope below zero.
        slope
    },
    /// min(max(x, 0), max)
    ClippedRelu in clipped_relu {
        /// Where it clips.
        max
    },
    /// min(max(x, -1), 1)
    Hardtanh in hardtanh,
    /// tanh(x)
    Tanh in tanh,
    /// 1 / (1 + e^-x)
    Sigmoid in sigmoid,
}

/// 1 where something holds, 0 elsewhere, without a branch.
#[inline(always)]
fn one_if(holds: bool) -> f32 {
    if holds { 1.0 } else { 0.0 }
}

impl Activation {
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
}

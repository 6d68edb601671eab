//! Activation functions, each in its own file with its slope, and what each means for the sign of its codes.
//!
//! A new one is a file with the items that [`activations!`](self) asks for, and its line in the list below: networks are
//! described, configs written, and tables labelled by the name that the file gives it.

use crate::math::vectorized;
use serde::{Deserialize, Serialize};

/// Builds [`Activation`] of a list of modules. A module has its `NAME` (the variant's in kebab-case), `SIGNED`, `ceiling`,
/// and `value` and `slope`, inlined, of `x`. One with a parameter takes that in each of them, and has its usual value as
/// `usual` and its range as `check`.
macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident in $module:ident $({ $(#[$field_doc:meta])* $field:ident })?),+ $(,)?) => {
        $(mod $module;)+

        /// An activation function, applied number by number.
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
        pub enum Activation {
            $($(#[$doc])* $name $({ $(#[$field_doc])* $field: f32 })?),+
        }

        impl Activation {
            /// Every name, as networks are described with them.
            pub const NAMES: &'static [&'static str] = &[$($module::NAME),+];

            /// The function of a name, with its usual parameter.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($module::NAME => Some(Activation::$name $({ $field: $module::usual() })?),)+
                    _ => None,
                }
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Activation::$name { .. } => $module::NAME),+
                }
            }

            /// Checks its parameter, where it has one.
            ///
            /// # Errors
            /// What was found and what is accepted.
            pub fn check(self) -> Result<(), String> {
                match self {
                    $(Activation::$name $({ $field })? => {
                        $($module::check($field)?;)?
                        Ok(())
                    }),+
                }
            }

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
            pub(crate) fn specialised<R>(self, body: impl FnOnce(Activation) -> R) -> R {
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
        #[serde(default = "leaky_relu::usual")]
        slope
    },
    /// min(max(x, 0), max)
    ClippedRelu in clipped_relu {
        /// Where it clips.
        #[serde(default = "clipped_relu::usual")]
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

//! The number formats of a quantized Bayesian network and the integer runtime that runs it: what a code means, how codes are
//! packed, where noise comes from, how a weight is drawn, how a file holds a network, and how it runs.
//!
//! Without the feature `std` there is not a float, and without the feature `alloc` nothing allocates: the same definitions
//! serve the trainer on a server and the runtime on a microcontroller, and a format that is defined once cannot drift
//! between the two. With a heap, begin with `Session`; without, with [`run`].
//!
//! A model file in the program's own bytes, and what it says of one image under 32 draws:
//!
//! ```
//! # #[cfg(feature = "alloc")]
//! # fn main() -> Result<(), qbnn_core::SessionError> {
//! use qbnn_core::Session;
//! use qbnn_core::uncertainty::FRACTION_BITS;
//!
//! static MODEL: &[u8] = include_bytes!("../../../examples/tiny.qbnn");
//!
//! let mut session = Session::new(MODEL)?;
//! let image = vec![128; session.input().len()];
//! let prediction = session.classify(&image, 32, 1)?;
//! // Entropies are in 2^-FRACTION_BITS nats: total = aleatoric + epistemic.
//! let nats = |value: u32| f64::from(value) / f64::from(1 << FRACTION_BITS);
//! println!("class {}, epistemic {:.3} nats", prediction.class, nats(prediction.epistemic));
//! assert!(prediction.epistemic <= prediction.total);
//! // The same seed draws the same weights, on every processor.
//! assert_eq!(session.classify(&image, 32, 1)?, prediction);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "alloc"))]
//! # fn main() {}
//! ```
#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::float_arithmetic))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod code;
pub mod decide;
pub mod draw;
pub mod fixed;
mod images;
#[allow(unsafe_code, reason = "vector instructions; each block has its proof")]
pub mod kernel;
pub mod model;
pub mod noise;
pub mod pack;
pub mod run;
pub mod single;
pub mod uncertainty;

pub use code::{Bits, BitsError, LogCode, UniformCode};
pub use images::ImagesView;
pub use model::Shape;
#[cfg(feature = "alloc")]
pub use run::{Prediction, Session, SessionError};

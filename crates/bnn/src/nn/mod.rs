//! The closed set of layers, forward and backward, and the networks built from them.
//!
//! No framework: every layer also needs an integer twin and an analytic (PFP) twin, so the set is closed anyway, and a
//! plain backward is faster than any framework on networks this small (`docs/decisions.md`).

pub mod activation;
pub mod batch;
pub mod buffer;
pub mod kernel;
pub mod limit;
pub mod linear;
pub mod network;
pub mod pass;
pub mod pool;
mod sizes;
pub mod spec;

pub use activation::Activation;
pub use network::Network;
pub use qbnn_core::Shape;
pub use spec::{LayerSpec, NetworkSpec, OpSpec};

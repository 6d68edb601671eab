//! The extension module `qbnn._native`: the library `qbnn` for Python.
//!
//! It passes bytes and plain values. What is Python's own (numpy arrays, tensors, keyword arguments, progress bars) is in
//! `python/qbnn/`; what another front end would want is in the crate `qbnn`. Every call that computes runs without the
//! global interpreter lock.
#![forbid(unsafe_code)]

mod errors;
mod model;
mod watch;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<model::Model>()
}

//! The extension module `qbnn._native`: the library `qbnn` for Python.
//!
//! It passes bytes and plain values. What is Python's own (numpy arrays, tensors, keyword arguments, progress bars) is in
//! `python/qbnn/`; what another front end would want is in the crate `qbnn`. Every call that computes runs without the
//! global interpreter lock.
#![forbid(unsafe_code)]

mod asked;
mod errors;
mod model;
mod steps;
mod sweep;
mod watch;
mod work;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<model::Model>()?;
    module.add_class::<sweep::Sweep>()?;
    for function in [
        wrap_pyfunction!(steps::train, module)?,
        wrap_pyfunction!(steps::resume, module)?,
        wrap_pyfunction!(steps::quantize, module)?,
        wrap_pyfunction!(steps::evaluate, module)?,
        wrap_pyfunction!(steps::report, module)?,
        wrap_pyfunction!(steps::measure, module)?,
        wrap_pyfunction!(steps::import_posterior, module)?,
        wrap_pyfunction!(steps::export_posterior, module)?,
        wrap_pyfunction!(steps::calibrate, module)?,
        wrap_pyfunction!(sweep::sweep_float, module)?,
        wrap_pyfunction!(sweep::sweep_run, module)?,
        wrap_pyfunction!(steps::models, module)?,
        wrap_pyfunction!(steps::config, module)?,
    ] {
        module.add_function(function)?;
    }
    Ok(())
}

//! Errors of the library as exceptions of Python: one line of text each, in a class that says what kind of mistake it is.

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::io::ErrorKind;

/// The module that defines the classes.
const MODULE: &str = "qbnn._errors";

/// An exception of a class of `qbnn._errors`.
pub fn exception(py: Python<'_>, class: &str, text: String) -> PyErr {
    static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = CLASSES.get_or_try_init(py, || py.import(MODULE).map(Bound::unbind));
    match module.and_then(|module| module.bind(py).getattr(class)).and_then(|class| class.call1((text.clone(),))) {
        Ok(error) => PyErr::from_value(error),
        // Without its module the package is not whole; the text is not lost.
        Err(_) => PyRuntimeError::new_err(text),
    }
}

/// The exception of an error.
pub fn raised(py: Python<'_>, error: &qbnn::Error) -> PyErr {
    let text = error.one_line();
    if error.is_stopped() {
        return PyKeyboardInterrupt::new_err(text);
    }
    let class = match error.refused_file() {
        Some(ErrorKind::NotFound) => "MissingFileError",
        Some(_) => "FileError",
        None if error.is_usage() => "ArgumentError",
        None => "Error",
    };
    exception(py, class, text)
}

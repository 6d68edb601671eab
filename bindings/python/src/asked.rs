//! Settings as Python gives them: the layers that the command line makes of its flags.

use crate::errors::exception;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use qbnn::config::{Layers, Widths};
use std::path::{Path, PathBuf};
use toml::Value;

/// What is asked for besides paths.
#[derive(Default)]
pub struct Asked {
    config: Option<PathBuf>,
    data: Option<String>,
    tests: Vec<String>,
    network: Option<String>,
    layers: Option<Vec<Value>>,
    bits: Option<Widths>,
    settings: Vec<(String, Value)>,
}

impl Asked {
    /// Of a dictionary with the keys `config`, `data`, `tests`, `network`, `layers`, `bits` and `settings` (a dictionary by keys of the config
    /// file); all may be missing.
    pub fn of(dict: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut asked = Self::default();
        for (key, value) in dict.iter() {
            match key.extract::<String>()?.as_str() {
                "config" => asked.config = value.extract()?,
                "data" => asked.data = value.extract()?,
                "tests" => asked.tests = value.extract()?,
                "network" => asked.network = value.extract()?,
                "layers" => {
                    let layers = value.try_iter()?.map(|layer| toml_of(&layer?)).collect::<PyResult<_>>()?;
                    asked.layers = Some(layers);
                }
                "bits" => {
                    let text: Option<String> = value.extract()?;
                    let parsed = text.map(|text| text.parse::<Widths>().map_err(|e| (text, e))).transpose();
                    let wrong = |(text, e)| exception(dict.py(), "ArgumentError", format!("bits is `{text}`: {e}"));
                    asked.bits = parsed.map_err(wrong)?;
                }
                "settings" => {
                    for (key, value) in value.cast::<PyDict>()?.iter() {
                        asked.settings.push((key.extract()?, toml_of(&value)?));
                    }
                }
                other => return Err(PyTypeError::new_err(format!("{other} is no key of what may be asked"))),
            }
        }
        Ok(asked)
    }

    /// The layers, on top of the settings of a run folder or none.
    pub fn layers(&self, run: Option<&Path>) -> qbnn::Result<Layers> {
        let mut layers = Layers::default();
        run.map_or(Ok(()), |file| layers.file(file))?;
        self.config.as_deref().map_or(Ok(()), |file| layers.asked_file(file))?;
        self.data.iter().for_each(|data| layers.data(data));
        self.tests.iter().try_for_each(|test| layers.test(test))?;
        self.network.iter().for_each(|network| layers.network(network));
        self.layers.iter().try_for_each(|own| layers.described_network("network", own.clone()))?;
        self.bits.into_iter().for_each(|bits| layers.widths(bits));
        for (key, value) in &self.settings {
            layers.put(key, value.clone()).map_err(|problem| qbnn::Error::Asked(format!("{key}: {problem}")))?;
        }
        if run.is_some() && self.config.is_none() {
            layers.other_widths();
        }
        Ok(layers)
    }
}

/// A value of Python as one of a config file.
fn toml_of(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Boolean(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Value::Integer(value.extract()?));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Value::Float(value.extract()?));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(Value::String(value.extract()?));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let pairs = dict.iter().map(|(key, value)| Ok((key.extract::<String>()?, toml_of(&value)?)));
        return Ok(Value::Table(pairs.collect::<PyResult<_>>()?));
    }
    // Numbers of numpy.
    if let Ok(item) = value.call_method0("item")
        && !item.is(value)
    {
        return toml_of(&item);
    }
    // Paths.
    if let Ok(path) = value.call_method0("__fspath__") {
        return toml_of(&path);
    }
    let items = value.try_iter().map_err(|_| {
        let shown = value.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        exception(
            value.py(),
            "ArgumentError",
            format!("a setting is a {shown}, wanted a number, a text, or a list of these"),
        )
    })?;
    Ok(Value::Array(items.map(|item| toml_of(&item?)).collect::<PyResult<_>>()?))
}

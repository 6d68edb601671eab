"""Small, fast Bayesian neural networks whose uncertainty survives quantization.

Arrays of numpy go in and come out; the Rust library of the same name computes, in the very numbers of the command line.
"""

from ._errors import ArgumentError, Error, FileError, MissingFileError, QbnnWarning
from ._model import Model, Prediction
from ._native import __version__
from ._progress import Event

__all__ = [
    "ArgumentError",
    "Error",
    "Event",
    "FileError",
    "MissingFileError",
    "Model",
    "Prediction",
    "QbnnWarning",
    "__version__",
]

"""Small, fast Bayesian neural networks whose uncertainty survives quantization.

Arrays of numpy go in and come out; the Rust library of the same name computes, in the very numbers of the command line.

``Model.load(path).predict(images)`` predicts with both uncertainties. ``train``, ``quantize``, ``evaluate``, ``report``,
``calibrate`` and ``import_posterior`` are the commands of these names, ``run`` the whole way. ``BayesianClassifier`` is shaped as
estimators of scikit-learn are.
"""

from ._data import Data
from ._errors import ArgumentError, Error, FileError, MissingFileError, QbnnWarning
from ._model import Model, Prediction
from ._native import __version__
from ._posterior import export_posterior, import_posterior
from ._progress import Event
from ._steps import Run, calibrate, evaluate, quantize, report, resume, run, train

__all__ = [
    "ArgumentError",
    "BayesianClassifier",
    "Data",
    "Error",
    "Event",
    "FileError",
    "MissingFileError",
    "Model",
    "Prediction",
    "QbnnWarning",
    "Run",
    "__version__",
    "calibrate",
    "evaluate",
    "export_posterior",
    "import_posterior",
    "quantize",
    "report",
    "resume",
    "run",
    "train",
]


def __getattr__(name: str) -> object:
    # Its base class is scikit-learn's where that is there, which takes a second to import.
    if name == "BayesianClassifier":
        from ._classifier import BayesianClassifier

        return BayesianClassifier
    raise AttributeError(f"module 'qbnn' has no attribute {name!r}")

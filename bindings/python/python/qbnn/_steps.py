"""The steps of an experiment: train, quantize, evaluate, report, calibrate. Each is the command of that name."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Union

import numpy as np

from . import _native
from ._arrays import as_array
from ._data import AnyData, PathLike, given
from ._errors import ArgumentError, Error, FileError
from ._model import MOST_SAMPLES, Model, Prediction, count_of
from ._progress import Event, Progress, Teller

Network = Union[str, "os.PathLike[str]", Sequence[Mapping[str, Any]]]
Bits = Union[int, str]


class Run:
    """A run folder: the networks, settings and figures of an experiment."""

    def __init__(self, path: PathLike | Run):
        self.path: Path = path.path if isinstance(path, Run) else Path(path)
        # Refused here, and not at the first use.
        self.models  # noqa: B018

    @property
    def models(self) -> list[str]:
        """Names of the models that have a checkpoint: ``float`` first, then by name."""
        return _native.models(str(self.path))

    @property
    def config(self) -> dict[str, Any]:
        """All settings of the experiment, by their keys."""
        config: dict[str, Any] = json.loads(_native.config(str(self.path), {}))
        return config

    @property
    def metrics(self) -> dict[str, Any]:
        """The figures of the last evaluation, as ``metrics.json`` holds them."""
        file = self.path / "metrics.json"
        try:
            metrics: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise Error(f"{self.path} holds no metrics.json yet; evaluate() makes it") from None
        except ValueError as error:
            raise Error(f"{file} is damaged ({error}); evaluate() makes it again") from None
        return metrics

    def model(self, name: str | None = None) -> Model:
        """Opens a model of the folder by its name; without one the only model, or the only one that is quantized."""
        if name is None:
            quantized = [model for model in self.models if model != "float"]
            name = quantized[0] if len(quantized) == 1 else ("float" if not quantized else None)
        return Model.load(self.path, name)

    def resume(self, *, progress: Progress = None) -> Run:
        """Finishes whatever training was stopped in this folder."""
        return resume(self, progress=progress)

    def quantize(self, bits: Bits | None = None, **more: Any) -> Model:
        """As :func:`qbnn.quantize` of this run."""
        return quantize(self, bits=bits, **more)

    def evaluate(self, **more: Any) -> dict[str, Any]:
        """As :func:`qbnn.evaluate` of all models of this run."""
        return evaluate(self, **more)

    def report(self, **more: Any) -> Path:
        """As :func:`qbnn.report` of this run."""
        return report(self, **more)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {', '.join(self.models) or 'no model yet'})"


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    """The call in one line, for the provenance of a run folder."""

    def shown(value: Any) -> str:
        if isinstance(value, (str, int, float, bool, os.PathLike)):
            return repr(os.fspath(value)) if isinstance(value, os.PathLike) else repr(value)
        if isinstance(value, (dict, list)) and len(repr(value)) < 200:
            return repr(value)
        return f"<{type(value).__name__}>"

    return f"qbnn.{name}({', '.join(f'{key}={shown(value)}' for key, value in arguments.items())})"


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that say something, without comparing arrays."""
    return {key: value for key, value in arguments.items() if value is not None and value is not False}


@contextmanager
def _telling(progress: Progress) -> Iterator[Callable[[dict[str, Any]], None]]:
    with Teller(progress) as teller:
        yield lambda event: teller.tell(Event(**event))


def _put_network(asked: dict[str, Any], network: Network | None) -> None:
    if network is None:
        return
    if isinstance(network, (str, os.PathLike)):
        asked["network"] = os.fspath(network)
        return
    layers = [dict(layer) for layer in network if isinstance(layer, Mapping)] if isinstance(network, Sequence) else []
    if not layers or len(layers) != len(network):
        raise ArgumentError("network wants mlp, lenet5, a TOML file of layers, or a list of layers such as {'type': 'dense', 'out': 10}")
    asked["layers"] = layers


def _asked(
    of_data: Mapping[str, Any],
    keys: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    *,
    network: Network | None = None,
    bits: Bits | None = None,
    config: PathLike | None = None,
) -> dict[str, Any]:
    """What the library is asked: settings by their keys, those of ``settings`` over everything else."""
    asked = dict(of_data)
    all_settings = dict(asked.get("settings", {}))
    _put_network(asked, network)
    all_settings.update({key: value for key, value in keys.items() if value is not None})
    all_settings.update(settings or {})
    asked["settings"] = all_settings
    if bits is not None:
        asked["bits"] = str(bits)
    if config is not None:
        asked["config"] = os.fspath(config)
    return asked


def _parent(out: PathLike | None) -> Path:
    return Path("runs") if out is None else Path(out).absolute().parent


def _path(path: PathLike | None) -> str | None:
    return None if path is None else os.fspath(path)


def _trained(
    whole: bool,
    name: str,
    data: Any,
    test: Sequence[str],
    out: PathLike | None,
    overwrite: bool,
    progress: Progress,
    keys: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    network: Network | None,
    bits: Bits | None,
    config: PathLike | None,
) -> dict[str, Any]:
    shown = {"data": data, "network": network, "bits": bits, **keys, "settings": settings, "config": config, "out": out}
    call = _call(name, _given(shown))
    with given(data, test, _parent(out)) as (of_data, staged), _telling(progress) as tell:
        asked = _asked(of_data, keys, settings, network=network, bits=bits, config=config)
        found: dict[str, Any] = json.loads(_native.train(asked, _path(out), overwrite, staged, whole, tell, call))
    return found


def train(
    data: AnyData | None = None,
    *,
    network: Network | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
    overwrite: bool = False,
    activation: str | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    kl_weight: float | None = None,
    prior_sigma: float | None = None,
    estimator: str | None = None,
    posterior: Literal["gaussian", "point", "dropout"] | None = None,
    train_limit: int | None = None,
    name: str | None = None,
    test: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    config: PathLike | None = None,
    progress: Progress = None,
) -> Run:
    """Trains a Bayesian network in float: ``qbnn train``. What is not said comes from the recipe of data and network.

    ``data`` is a built-in set (``"strokes"``, ``"mnist"``, ...), a path (a folder of pictures per class, ``.npz``, IDX, CSV), a pair of
    images and labels, or :class:`qbnn.Data`. Arrays become files of the run folder, so that whoever goes on with it finds them.
    ``network`` is ``"mlp"``, ``"lenet5"``, a TOML file, or a list of layers. ``test`` adds test groups, ``"ROLE:NAME=PATH"``.
    ``settings`` are any keys of the config file, such as ``{"train.ood_weight": 1}``, over everything else.

    The run folder is ``out``, or ``runs/DATE-NAME``. Ctrl-C stops within about a second, and :func:`resume` goes on with the last
    finished epoch.
    """
    keys = {
        "name": name,
        "seed": seed,
        "data.train_limit": train_limit,
        "network.activation": activation,
        "train.epochs": epochs,
        "train.batch": batch,
        "train.learning_rate": learning_rate,
        "train.kl_weight": kl_weight,
        "train.prior_sigma": prior_sigma,
        "train.estimator": estimator,
        "train.posterior": posterior,
    }
    found = _trained(False, "train", data, test, out, overwrite, progress, keys, settings, network, None, config)
    return Run(found["folder"])


def run(
    data: AnyData | None = None,
    *,
    network: Network | None = None,
    bits: Bits | None = None,
    strategy: Literal["jq", "vpq", "spq"] | None = None,
    epochs: int | None = None,
    qat_epochs: int | None = None,
    samples: int | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
    overwrite: bool = False,
    train_limit: int | None = None,
    name: str | None = None,
    test: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    config: PathLike | None = None,
    progress: Progress = None,
) -> Run:
    """Trains, quantizes, evaluates and reports: ``qbnn run``.

    Arguments are those of :func:`train`, :func:`quantize` and :func:`evaluate`.
    """
    keys = {
        "name": name,
        "seed": seed,
        "data.train_limit": train_limit,
        "train.epochs": epochs,
        "quantize.strategy": strategy,
        "quantize.epochs": qat_epochs,
        "eval.samples": samples,
    }
    found = _trained(True, "run", data, test, out, overwrite, progress, keys, settings, network, bits, config)
    return Run(found["folder"])


def resume(run: PathLike | Run, *, whole: bool = False, progress: Progress = None) -> Run:
    """Goes on with a run folder whose training was stopped: ``qbnn train --resume``, or ``qbnn run --resume`` if ``whole``."""
    with _telling(progress) as tell:
        _native.resume(os.fspath(run), whole, tell, _call("resume", {"run": os.fspath(run)}))
    return Run(run)


def quantize(
    source: PathLike | Run,
    bits: Bits | None = None,
    *,
    strategy: Literal["jq", "vpq", "spq"] | None = None,
    qat_epochs: int | None = None,
    data: AnyData | None = None,
    overwrite: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = None,
) -> Model:
    """Quantizes the float network of a run folder, or a float checkpoint, and opens the model file: ``qbnn quantize``.

    ``bits`` are widths: ``4``, ``"w4a8"``, ``"mu4s2w8a4"`` (the default). ``strategy`` is ``"jq"`` (parameters and drawn weights, the
    default: nothing but integers at inference), ``"vpq"`` or ``"spq"``. ``qat_epochs`` trains through the quantizers; 0 only calibrates.
    ``data`` is needed where no settings lie beside a checkpoint.
    """
    keys = {"quantize.strategy": strategy, "quantize.epochs": qat_epochs}
    call = _call("quantize", _given({"source": os.fspath(source), "bits": bits, **keys, "settings": settings}))
    with given(data, (), None) as (of_data, _), _telling(progress) as tell:
        asked = _asked(of_data, keys, settings, bits=bits)
        found = json.loads(_native.quantize(os.fspath(source), asked, overwrite, tell, call))
    return Model.load(found["folder"], found["models"][-1])


def _is_array(value: Any) -> bool:
    return isinstance(value, Prediction) or hasattr(value, "__array__") or hasattr(value, "__dlpack__")


def _model_path(model: Any) -> str:
    if isinstance(model, Model):
        # Evaluated is the checkpoint, with which its file is compared.
        return str(model.path.with_suffix(".safetensors"))
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    raise ArgumentError(f"a {type(model).__name__} is no model; wanted run folders, checkpoints, ensembles, or probabilities with labels")


def _paths(models: Any) -> list[str]:
    several = models if isinstance(models, (list, tuple)) else [models]
    return [_model_path(model) for model in several]


@contextmanager
def _predictions(probs: Any, labels: Any, groups: Any, images: Any, name: str) -> Iterator[list[str]]:
    """A file of predictions that lives as long as the block."""
    if labels is None:
        raise ArgumentError("labels are missing: one class for each input; those of inputs that are not clean are not read")
    if isinstance(probs, Prediction):
        probs = probs.probs if probs.draws is None else probs.draws
    array = as_array(probs, "probs")
    if array.ndim not in (2, 3) or array.dtype.kind != "f":
        raise ArgumentError(f"probs is {array.dtype} of shape {array.shape}, wanted floating-point numbers S x N x C or N x C")
    arrays: dict[str, Any] = {"probs": array, "labels": as_array(labels, "labels")}
    if groups is not None:
        arrays["groups"] = np.asarray(groups)
    if images is not None:
        arrays["images"] = as_array(images, "images")
    if not name or any(c in name for c in "/\\"):
        raise ArgumentError(f"name is {name!r}, wanted what tables call the predictions, without slashes")
    with tempfile.TemporaryDirectory(prefix="qbnn-") as folder:
        file = os.path.join(folder, f"{name}.npz")
        np.savez(file, **arrays)
        try:
            yield [file]
        except Error as error:
            if isinstance(error, FileError):
                raise
            # It names a file that nobody knows.
            raise ArgumentError(str(error).replace(file, name)) from None


def evaluate(
    of: Any,
    *,
    labels: Any = None,
    groups: Any = None,
    name: str = "model",
    data: AnyData | None = None,
    test: Sequence[str] = (),
    samples: int | None = None,
    draw_seeds: int | None = None,
    bootstrap: int | None = None,
    shifts: str | None = None,
    pfp: Literal["stored", "drawn"] | None = None,
    out: PathLike | None = None,
    update: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = None,
) -> dict[str, Any]:
    """Measures accuracy, calibration and both uncertainties: the dictionary of ``metrics.json``.

    ``of`` are run folders, checkpoints, models or ensembles, one or a list: ``qbnn eval``. They are evaluated on the data of the first
    one's run, or on ``data``; the run's own metrics are written where all of its models are evaluated as it says.

    Or ``of`` are probabilities of any program, S x N x C (draws, inputs, classes) or N x C, with ``labels`` (N) and perhaps
    ``groups`` (N): ``clean``, ``ambiguous``, ``ood``, ``shifted``, with a name as in ``ood:near``.
    """
    if _is_array(of):
        resamples = 1000 if bootstrap is None else count_of(bootstrap, "bootstrap", 0, 100_000)
        with _predictions(of, labels, groups, None, name) as files, _telling(progress) as tell:
            measured: dict[str, Any] = json.loads(_native.measure(files, resamples, tell))
        return measured
    if labels is not None or groups is not None:
        raise ArgumentError("labels and groups belong to probabilities; models are evaluated on data")
    keys = {"eval.samples": samples, "eval.draw_seeds": draw_seeds, "eval.bootstrap": bootstrap, "eval.shifts": shifts}
    models = _paths(of)
    call = _call("evaluate", _given({"of": models, **keys, "pfp": pfp, "settings": settings}))
    with given(data, test, None) as (of_data, _), _telling(progress) as tell:
        asked = _asked(of_data, keys, settings)
        found = json.loads(_native.evaluate(models, asked, pfp, _path(out), update, tell, call))
    metrics: dict[str, Any] = found["metrics"]
    return metrics


def report(
    of: Any,
    *,
    labels: Any = None,
    groups: Any = None,
    images: Any = None,
    name: str = "model",
    out: PathLike | None = None,
    title: str | None = None,
    show: Sequence[str] = (),
    bootstrap: int = 1000,
    progress: Progress = None,
) -> Path:
    """Writes one HTML page and says where it is: ``qbnn report``.

    ``of`` is a run folder, or several, or files of predictions (``.npz``, ``.safetensors``), or probabilities with ``labels``,
    and perhaps ``groups`` and ``images``, as :func:`evaluate` takes them. The page is ``out``; of one run it is in its folder, else it is
    ``report.html`` here.
    """
    resamples = count_of(bootstrap, "bootstrap", 0, 100_000)
    shown = [show] if isinstance(show, str) else [str(one) for one in show]

    def write(runs: list[str], predictions: list[str]) -> Path:
        with _telling(progress) as tell:
            found = json.loads(_native.report(runs, predictions, _path(out), title, shown, resamples, tell))
        return Path(found["report"])

    if _is_array(of):
        with _predictions(of, labels, groups, images, name) as files:
            return write([], files)
    if labels is not None or groups is not None or images is not None:
        raise ArgumentError("labels, groups and images belong to probabilities")
    paths = [os.fspath(one) for one in (of if isinstance(of, (list, tuple)) else [of])]
    if not paths:
        raise ArgumentError("there is nothing to report; give a run folder, or predictions")
    of_predictions = [path.endswith((".npz", ".safetensors")) for path in paths]
    if any(of_predictions) and not all(of_predictions):
        raise ArgumentError("a page shows runs or predictions, not both; report them apart")
    return write([], paths) if all(of_predictions) else write(paths, [])


def calibrate(
    model: PathLike | Model,
    *,
    data: AnyData | None = None,
    error: float | None = None,
    coverage: float | None = None,
    abstain_by: Literal["confidence", "total", "aleatoric", "epistemic"] = "confidence",
    false_alarms: float = 0.05,
    ood_by: Literal["confidence", "total", "aleatoric", "epistemic"] = "epistemic",
    alpha: float = 0.1,
    conformal: Literal["lac", "aps"] = "lac",
    samples: int = 32,
    seed: int = 0,
    pfp: Literal["stored", "drawn"] | None = None,
    on_test: bool = False,
    out: PathLike | None = None,
    progress: Progress = None,
) -> Model:
    """Measures what a model decides (class sets, abstaining, unknown images), stores it in its file, and opens it: ``qbnn calibrate``.

    It is measured on the validation images of the run that the model lies in, or of ``data``. ``error`` is the most wrong answers,
    ``coverage`` the least answered known images (default 0.95); ``false_alarms`` the known images that may be called unknown;
    ``alpha`` the class sets that may lack the right class.
    """
    if error is not None and coverage is not None:
        raise ArgumentError("error and coverage are two aims of one threshold; give one of them")
    of = {
        "error": error,
        "coverage": coverage,
        "abstain_by": abstain_by,
        "false_alarms": false_alarms,
        "ood_by": ood_by,
        "alpha": alpha,
        "conformal": conformal,
        "samples": count_of(samples, "samples", 1, MOST_SAMPLES),
        "seed": count_of(seed, "seed", 0, 2**64 - 1),
        "pass": pfp,
        "on_test": on_test,
    }
    path = str(model.path) if isinstance(model, Model) else os.fspath(model)
    with given(data, (), None) as (of_data, _), _telling(progress) as tell:
        found = json.loads(_native.calibrate(path, _path(out), of, _asked(of_data, {}, None), tell))
    return Model.load(found["file"])

"""An estimator as scikit-learn shapes them. scikit-learn is used where it is there, and not needed."""

from __future__ import annotations

import inspect
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import as_array, images_of
from ._data import Data, PathLike
from ._errors import ArgumentError, Error, FileError, MissingFileError
from ._model import MOST_SAMPLES, Model, Prediction, _unpickled, count_of
from ._steps import Bits, Network, Run, quantize, train

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import validate_data
except ImportError:  # Without scikit-learn, or with one that is too old for it.
    _WITH_SKLEARN = False

    class NotFittedError(ValueError, AttributeError):  # type: ignore[no-redef]
        """A classifier that was not fitted is asked to predict."""

    class ClassifierMixin:  # type: ignore[no-redef]
        """What scikit-learn's class of this name adds, as far as it is needed here."""

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
            """Accuracy on images and their labels."""
            right = np.asarray(self.predict(X)) == np.asarray(y)  # type: ignore[attr-defined]
            return float(np.average(right, weights=sample_weight))

    class BaseEstimator:  # type: ignore[no-redef]
        """Parameters as scikit-learn's class of this name has them."""

        @classmethod
        def _names(cls) -> list[str]:
            return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """All parameters by name."""
            return {name: getattr(self, name) for name in self._names()}

        def set_params(self, **params: Any) -> Any:
            """Sets parameters by name."""
            for name, value in params.items():
                if name not in self._names():
                    raise ArgumentError(f"{name} is no parameter; there are {', '.join(self._names())}")
                setattr(self, name, value)
            return self

        def __repr__(self) -> str:
            own = inspect.signature(type(self).__init__).parameters
            shown = [f"{name}={value!r}" for name, value in self.get_params().items() if value is not own[name].default]
            return f"{type(self).__name__}({', '.join(shown)})"

else:
    _WITH_SKLEARN = True

#: Fewer images than this are gone through several times an epoch, so that a few images are not a few steps.
_AN_EPOCH = 2560
#: Version of a saved classifier.
_VERSION = 1


class BayesianClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A Bayesian network for images or rows of numbers, quantized after its training.

    **Images** are N x rows x columns (x channels), bytes or whatever :meth:`qbnn.Model.predict` takes; or N x values with
    ``image_shape`` = (rows, columns) or (rows, columns, channels).

    **Rows of numbers**, N x features without ``image_shape``, are put on 256 levels for each feature, equally spaced from its least to
    its greatest value in ``fit`` (a network reads bytes). Values beyond are clipped: how far beyond is lost, and so some of what would
    tell an unknown input.

    Parameters
    ----------
    network : ``"mlp"``, ``"lenet5"``, a TOML file, or a list of layers as dictionaries.
    epochs : passes over the images; the recipe's where ``None``. Fewer than 2,560 images are gone through several times each.
    bits : widths of the quantized network, such as ``4``, ``"w4a8"``, ``"mu4s2w8a4"``; ``None`` keeps it in float.
    strategy : ``"jq"``, ``"vpq"`` or ``"spq"``.
    qat_epochs : passes of training through the quantizers; 0 only calibrates, ``None`` is the recipe's.
    samples : networks drawn for a prediction.
    batch, learning_rate, kl_weight, prior_sigma, posterior : of the training, see :func:`qbnn.train`.
    image_shape : rows, columns, and perhaps channels of the images that are given as rows of values.
    validation_fraction : share of the images that is held out; figures of the training are measured on them.
    settings : any keys of the config file, over everything else.
    random_state : seed of everything random; ``None`` is 0, so that a fit can be repeated.

    Attributes
    ----------
    classes_ : the labels, sorted. n_features_in_ : values of an input. model_ : the :class:`qbnn.Model`.
    """

    def __init__(
        self,
        network: Network = "mlp",
        epochs: int | None = None,
        bits: Bits | None = "mu4s2w8a4",
        strategy: str = "jq",
        qat_epochs: int | None = None,
        samples: int = 32,
        batch: int | None = None,
        learning_rate: float | None = None,
        kl_weight: float = 1.0,
        prior_sigma: float | None = None,
        posterior: str | None = None,
        image_shape: tuple[int, ...] | None = None,
        validation_fraction: float = 0.1,
        settings: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ):
        self.network = network
        self.epochs = epochs
        self.bits = bits
        self.strategy = strategy
        self.qat_epochs = qat_epochs
        self.samples = samples
        self.batch = batch
        self.learning_rate = learning_rate
        self.kl_weight = kl_weight
        self.prior_sigma = prior_sigma
        self.posterior = posterior
        self.image_shape = image_shape
        self.validation_fraction = validation_fraction
        self.settings = settings
        self.random_state = random_state

    # What is given.

    def _checked(self, X: Any, reset: bool, y: Any = None) -> Any:
        """Images or rows as a finite array, and the labels as one column where there are some."""
        if _WITH_SKLEARN:
            if hasattr(X, "detach") or (hasattr(X, "__dlpack__") and not hasattr(X, "__array__")):
                X = as_array(X, "X")
            own: dict[str, Any] = {"allow_nd": True, "dtype": "numeric", "reset": reset}
            if y is None:
                return validate_data(self, X, **own)
            X, y = validate_data(self, X, y, **own)
            check_classification_targets(y)
            return X, y
        array = as_array(X, "X")
        if array.ndim < 2 or array.shape[0] == 0:
            raise ArgumentError(f"X has shape {array.shape}, wanted N x features, or N images")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ArgumentError("X holds NaN or infinity, wanted finite numbers")
        if reset:
            self.n_features_in_ = int(array.shape[1])
        elif array.shape[1] != self.n_features_in_:
            raise ArgumentError(f"X has {array.shape[1]} features, and the classifier was fitted with {self.n_features_in_}")
        if y is None:
            return array
        labels = np.asarray(y)
        if labels.shape != (len(array),):
            raise ArgumentError(f"y has shape {labels.shape}, wanted {len(array)} labels, one for each input")
        if labels.dtype.kind == "f" and not (labels == np.floor(labels)).all():
            raise ArgumentError("y holds numbers that are no integers, wanted classes")
        return array, labels

    def _pixels(self, array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """The bytes that the network reads: N x rows x columns x channels."""
        if self.range_ is not None:
            low, high = self.range_
            # A feature that was always the same says nothing, and has the lowest level.
            span = np.where(high > low, high - low, 1.0)
            levels = np.rint((array.astype(np.float64) - low) / span * 255.0)
            return np.clip(levels, 0, 255).astype(np.uint8).reshape(len(array), 1, -1, 1)
        if array.ndim == 2:
            array = array.reshape(len(array), *self.shape_)
        return images_of(array, self.shape_, "X")

    def _read_shape(self, array: npt.NDArray[Any]) -> None:
        """What the images of a fit are."""
        self.range_: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
        self.shape_: tuple[int, int, int]
        if array.ndim > 2:
            self.shape_ = images_of(array, None, "X").shape[1:]
            return
        if self.image_shape is None:
            self.range_ = (array.min(axis=0).astype(np.float64), array.max(axis=0).astype(np.float64))
            self.shape_ = (1, int(array.shape[1]), 1)
            return
        shape = tuple(int(side) for side in self.image_shape)
        if len(shape) not in (2, 3) or any(side < 1 for side in shape) or int(np.prod(shape)) != array.shape[1]:
            raise ArgumentError(
                f"image_shape is {self.image_shape}, and X has {array.shape[1]} values an image; wanted (rows, columns) or "
                "(rows, columns, channels) of so many"
            )
        self.shape_ = (shape[0], shape[1], shape[2] if len(shape) == 3 else 1)

    def _seed(self) -> int:
        if self.random_state is None:
            return 0
        if hasattr(self.random_state, "randint"):
            return int(self.random_state.randint(0, 2**31 - 1))
        if isinstance(self.random_state, np.random.Generator):
            return int(self.random_state.integers(0, 2**31 - 1))
        return count_of(self.random_state, "random_state", 0, 2**63 - 1)

    def _held_out(self, labels: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.bool_]:
        """Which images are held out: of every class about the same share, and never the last one."""
        share = float(self.validation_fraction)
        if not 0 <= share < 1:
            raise ArgumentError(f"validation_fraction is {share}, wanted a share of the images, from 0 to below 1")
        out = np.zeros(len(labels), dtype=np.bool_)
        random = np.random.default_rng(seed)
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            count = min(int(len(own) * share), len(own) - 1)
            out[random.permutation(own)[:count]] = True
        return out

    # The protocol.

    def fit(self, X: Any, y: Any) -> BayesianClassifier:
        """Trains on images (or rows) ``X`` with labels ``y``, and quantizes. The run folder is temporary."""
        count_of(self.samples, "samples", 1, MOST_SAMPLES)
        if y is None:
            raise ArgumentError("This BayesianClassifier estimator requires y to be passed, but the target y is None; give the labels")
        array, y = self._checked(X, True, y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ArgumentError(f"y holds one class, {self.classes_[0]!r}; wanted two or more")
        self._read_shape(array)
        pixels, seed = self._pixels(array), self._seed()
        if self.shape_[2] == 1:
            # One row of grey pixels could be taken for channels.
            pixels = pixels[..., 0]
        out = self._held_out(labels, seed)
        images, own = pixels[~out], labels[~out]
        # Few images are trained on just as well; what is measured on them is then no test.
        held = (pixels[out], labels[out]) if out.any() else (images, own)
        # A pair that is gone through k times an epoch has the divergence k times over its number.
        times = max(1, -(-_AN_EPOCH // len(images)))
        data = Data(
            np.concatenate([images] * times) if times > 1 else images,
            np.concatenate([own] * times) if times > 1 else own,
            *held,
            *held,
            class_names=[str(i) for i in range(len(self.classes_))],
        )
        with tempfile.TemporaryDirectory(prefix="qbnn-") as folder:
            run = train(
                data,
                network=self.network,
                epochs=self.epochs,
                seed=seed,
                batch=self.batch,
                learning_rate=self.learning_rate,
                kl_weight=float(self.kl_weight) * times,
                prior_sigma=self.prior_sigma,
                posterior=self.posterior,  # type: ignore[arg-type]
                settings=self.settings,
                out=Path(folder) / "run",
            )
            self.model_ = self._finished(run)
        return self

    def _finished(self, run: Run) -> Model:
        if self.bits is None:
            model = run.model("float")
        else:
            model = quantize(run, self.bits, strategy=self.strategy, qat_epochs=self.qat_epochs)  # type: ignore[arg-type]
        content = model._native.content()
        if content is None:
            raise Error("the model has no file")
        # The run folder goes; the bytes stay.
        return _unpickled("BayesianClassifier", content, list(model.class_names))

    def uncertainty(self, X: Any) -> Prediction:
        """Everything that is predicted: probabilities, total, aleatoric and epistemic uncertainty in nats. Classes are places in
        ``classes_``."""
        if not hasattr(self, "model_"):
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet; call fit first")
        array = self._checked(X, False)
        if self.range_ is None and array.ndim > 2:
            array = images_of(array, self.shape_, "X")
        return self.model_.predict(self._pixels(array), samples=self.samples)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The most probable label of each input: N."""
        label = self.uncertainty(X).label
        found: npt.NDArray[Any] = self.classes_[label]
        return found

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Mean probability of each class of ``classes_``: N x C. Rows sum to 1."""
        probs = self.uncertainty(X).probs
        # Of the integer runtime they sum to 1 within a few units of 2^-32.
        scaled: npt.NDArray[np.float64] = probs / probs.sum(axis=1, keepdims=True)
        return scaled

    # Keeping.

    def save(self, path: PathLike) -> None:
        """Writes the fitted classifier into one file, ``.npz`` without pickles. Parameters that JSON has no word for are refused.

        The model file alone, for ``qbnn predict`` and for devices: ``classifier.model_.save("model.qbnn")``.
        """
        if not hasattr(self, "model_"):
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet; call fit first")
        try:
            params = json.dumps(self.get_params(deep=False))
        except TypeError as error:
            raise ArgumentError(f"a parameter cannot be stored: {error}; set it to numbers and texts") from None
        classes = self.classes_.astype(np.str_) if self.classes_.dtype.kind == "O" else self.classes_
        content = self.model_._native.content() or b""
        arrays: dict[str, Any] = {
            "qbnn_classifier": np.array(_VERSION),
            "model": np.frombuffer(content, dtype=np.uint8),
            "params": np.array(params),
            "classes": classes,
            "shape": np.array(self.shape_),
            "features": np.array(self.n_features_in_),
        }
        if hasattr(self, "feature_names_in_"):
            arrays["feature_names"] = self.feature_names_in_.astype(np.str_)
        if self.range_ is not None:
            arrays["low"], arrays["high"] = self.range_
        path = Path(path)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with open(part, "wb") as file:
                np.savez(file, **arrays)
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise FileError(f"cannot write {path}: {error.strerror}") from None

    @classmethod
    def load(cls, path: PathLike) -> BayesianClassifier:
        """The classifier of a file that :meth:`save` wrote."""
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise MissingFileError(f"cannot read {path}: there is no such file") from None
        except OSError as error:
            raise FileError(f"cannot read {path}: {error}") from None
        except (ValueError, EOFError, KeyError) as error:
            raise Error(f"{path} is no classifier: {error}; BayesianClassifier.save writes one") from None
        wanted = ("qbnn_classifier", "model", "params", "classes", "shape", "features")
        if any(name not in found for name in wanted) or int(found["qbnn_classifier"]) != _VERSION:
            raise Error(f"{path} is no classifier of version {_VERSION}; BayesianClassifier.save writes one")
        classifier = cls(**json.loads(str(found["params"])))
        classifier.classes_ = found["classes"]
        rows, columns, channels = (int(side) for side in found["shape"])
        classifier.shape_ = (rows, columns, channels)
        classifier.n_features_in_ = int(found["features"])
        if "feature_names" in found:
            classifier.feature_names_in_ = found["feature_names"].astype(object)
        classifier.range_ = (found["low"], found["high"]) if "low" in found else None
        names = [str(i) for i in range(len(classifier.classes_))]
        classifier.model_ = _unpickled(str(path), found["model"].tobytes(), names)
        return classifier

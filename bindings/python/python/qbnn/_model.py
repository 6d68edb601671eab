"""Models that were written to a file, and what they predict."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union

import numpy as np
import numpy.typing as npt

from ._native import Model as NativeModel
from ._arrays import images_of
from ._errors import ArgumentError, FileError, QbnnWarning
from ._progress import Event, Progress, Teller

Floats = npt.NDArray[np.float64]
PathLike = Union[str, "os.PathLike[str]"]

#: Most draws of a prediction.
MOST_SAMPLES = 1_000_000


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of N images with C classes. Uncertainties are in nats."""

    #: Mean probability of each class: N x C, float64. Rows sum to 1.
    probs: Floats
    #: The most probable class, the first of equals: N, int64.
    label: npt.NDArray[np.int64]
    #: Total uncertainty, the entropy of ``probs``: N.
    total: Floats
    #: Aleatoric uncertainty, the mean entropy of the draws: N. The image is ambiguous.
    aleatoric: Floats
    #: Epistemic uncertainty, the mutual information of class and weights: N. The model does not know such images.
    epistemic: Floats
    #: What computed it: the integer runtime and its kernel, draws in float, an analytic pass, an ensemble.
    backend: str
    #: Names of the classes; their numbers where nothing else is known.
    class_names: tuple[str, ...]
    #: Networks drawn, and the seed of their noise; ``None`` of an analytic pass.
    samples: int | None
    seed: int | None
    #: Of a calibrated model: the classes that may be right, N x C booleans. A row may be all false.
    sets: npt.NDArray[np.bool_] | None = None
    #: Of a calibrated model: whether it had better give no class, N.
    abstain: npt.NDArray[np.bool_] | None = None
    #: Of a calibrated model: whether the image is unlike those that the model knows, N.
    ood: npt.NDArray[np.bool_] | None = None
    #: Of a calibrated model: the probability of ``label`` at the model's temperature, N.
    calibrated_probability: Floats | None = None
    #: Probabilities of every draw, S x N x C, float32, where they were asked for.
    draws: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    #: Logits of every draw in the same shape, of models that run in integers.
    logits: npt.NDArray[np.float32] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.label)

    @property
    def probability(self) -> Floats:
        """Probability of ``label``: N."""
        return self.probs[np.arange(len(self)), self.label]

    @property
    def name(self) -> list[str]:
        """The name of ``label`` for each image."""
        return [self.class_names[label] for label in self.label]

    def class_set(self, image: int) -> list[str]:
        """Of a calibrated model: the names of the classes that may be right for one image."""
        if self.sets is None:
            raise ArgumentError("the model has no decisions; `qbnn calibrate` stores some in its file")
        return [name for name, inside in zip(self.class_names, self.sets[image]) if inside]

    def __repr__(self) -> str:
        n = len(self)
        if n == 0:
            return f"Prediction(no images, {len(self.class_names)} classes, {self.backend})"
        means = f"mean total {self.total.mean():.4f}, aleatoric {self.aleatoric.mean():.4f}, epistemic {self.epistemic.mean():.4f} nats"
        return f"Prediction({n} images, {len(self.class_names)} classes, {means}; {self.backend})"


def count_of(samples: Any, what: str, least: int, most: int) -> int:
    """An integer in a range."""
    if isinstance(samples, (bool, np.bool_)) or not isinstance(samples, (int, np.integer)):
        raise ArgumentError(f"{what} is {samples!r}, wanted an integer from {least} to {most}")
    if not least <= samples <= most:
        raise ArgumentError(f"{what} is {samples}, wanted an integer from {least} to {most}")
    return int(samples)


class Model:
    """A model file (``.qbnn``), opened once. Make one with :meth:`load`.

    A model can be pickled: the file's bytes go with it. Of an ensemble its path goes, so that the file must be there.
    """

    _native: NativeModel

    def __init__(self) -> None:
        raise TypeError("qbnn.Model.load(path) opens a model")

    @classmethod
    def _of(cls, native: NativeModel) -> Model:
        model = object.__new__(cls)
        model._native = native
        return model

    @classmethod
    def load(cls, path: PathLike, model: str | None = None) -> Model:
        """Opens a model.

        ``path`` is a model file (``.qbnn``), a checkpoint (``.safetensors``) beside which its model file lies, a run folder
        that holds one model file, or an ensemble (``.ensemble.toml``). ``model`` chooses one of a folder by its name, such as
        ``"jq-mu4s2w8a4"``.
        """
        return cls._of(NativeModel.load(os.fspath(path), model))

    @property
    def path(self) -> Path:
        """Where it was read."""
        return Path(self._native.path)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the images that it reads."""
        return self._native.shape_of_images

    @property
    def classes(self) -> int:
        """C: the number of classes."""
        return self._native.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; their numbers where nothing else is known."""
        names = tuple(self._native.class_names)
        return names or tuple(str(c) for c in range(self.classes))

    @property
    def backend(self) -> str:
        """What computes its predictions, such as ``integer (avx512)``."""
        return self._native.backend

    @property
    def info(self) -> dict[str, Any]:
        """What the file holds, as ``qbnn inspect --json`` shows it: kind, widths, bytes, layers, decisions."""
        info: dict[str, Any] = json.loads(self._native.summary())
        return info

    def predict(
        self,
        x: Any,
        samples: int = 32,
        seed: int = 0,
        *,
        draws: bool = False,
        progress: Progress = None,
    ) -> Prediction:
        """Predicts images: the very numbers of ``qbnn predict``.

        ``x`` are N x rows x columns (grey) or N x rows x columns x channels pixels: bytes, other integers from 0 to 255, or
        floating-point numbers that are a byte over 255; channels first are taken where the sizes leave no doubt. Arrays of
        numpy, tensors of torch, whatever has ``__array__`` or ``__dlpack__``, and nested lists are taken. Anything else is
        refused.

        ``samples`` networks are drawn from ``seed``. A prediction depends on model, image, samples and seed alone, not on the
        other images, the threads or the processor. ``draws`` keeps the probabilities of every draw (S x N x C).
        """
        samples = count_of(samples, "samples", 1, MOST_SAMPLES)
        seed = count_of(seed, "seed", 0, 2**64 - 1)
        return self._predict(x, samples, seed, bool(draws), None, progress)

    def pfp(self, x: Any, weights: Literal["stored", "drawn"] = "stored", *, progress: Progress = None) -> Prediction:
        """Predicts images by one analytic pass (PFP) instead of draws.

        Means over many images are near those of draws; of a single image the epistemic uncertainty may be off by a factor of
        up to 3. The first 512 images are predicted by draws too, and a warning says where the pass leaves them. ``weights``
        are the moments of the posterior as it is ``stored``, or of its ``drawn`` weights, clipped and rounded.
        """
        return self._predict(x, 1, 0, False, weights, progress)

    def _predict(
        self, x: Any, samples: int, seed: int, keep: bool, weights: str | None, progress: Progress
    ) -> Prediction:
        shape = self.shape
        pixels = images_of(x, shape)
        n, c = len(pixels), self.classes
        with Teller(progress) as teller:
            tell = None
            if teller.wants_more:

                def tell(done: int, of: int) -> None:
                    teller.tell(Event("predict", "images", done, of))

            found = self._native.predict(pixels.tobytes(), samples, seed, keep, weights, tell)
        for line in found["warnings"]:
            warnings.warn(line, QbnnWarning, stacklevel=3)

        def array(key: str, dtype: str, *shape: int) -> Any:
            value = found.get(key)
            return None if value is None else np.frombuffer(value, dtype=dtype).reshape(shape)

        drawn = weights is None
        return Prediction(
            probs=array("probs", "<f8", n, c),
            label=array("label", "<i8", n),
            total=array("total", "<f8", n),
            aleatoric=array("aleatoric", "<f8", n),
            epistemic=array("epistemic", "<f8", n),
            backend=found["backend"],
            class_names=self.class_names,
            samples=samples if drawn else None,
            seed=seed if drawn else None,
            sets=array("sets", "?", n, c),
            abstain=array("abstain", "?", n),
            ood=array("ood", "?", n),
            calibrated_probability=array("calibrated", "<f8", n),
            draws=array("draws", "<f4", samples, n, c) if n else None,
            logits=array("logits", "<f4", samples, n, c) if n else None,
        )

    def save(self, path: PathLike) -> None:
        """Writes the model file (``.qbnn``) elsewhere. Of an ensemble, which is several files, it is refused."""
        content = self._native.content()
        if content is None:
            raise ArgumentError(f"{self.path} is an ensemble; copy it and the files that it names")
        path = Path(path)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(content)
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise FileError(f"cannot write {path}: {error.strerror}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        content = self._native.content()
        if content is None:
            return (Model.load, (str(self.path),))
        return (_unpickled, (str(self.path), content, list(self._native.class_names)))

    def __repr__(self) -> str:
        rows, columns, channels = self.shape
        return f"Model({str(self.path)!r}: images {rows} x {columns} x {channels}, {self.classes} classes, {self.backend})"


def _unpickled(path: str, content: bytes, class_names: list[str]) -> Model:
    return Model._of(NativeModel.of_bytes(path, content, class_names))

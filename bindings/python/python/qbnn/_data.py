"""Data: built-in sets by name, what lies at a path, or arrays."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

import numpy as np

from ._arrays import as_array, images_of, labels_of
from ._errors import ArgumentError, FileError

PathLike = Union[str, "os.PathLike[str]"]

_ROLES = ("clean", "ambiguous", "ood", "shifted")


@dataclass(eq=False)
class Data:
    """Images and labels as arrays: what a training, a quantization or an evaluation reads.

    Images are N x rows x columns, with 1 or 3 channels last or first: bytes, or whatever :meth:`qbnn.Model.predict` takes. Labels
    are N classes counted from 0, or N names. Where there are no images for validation or for tests, one in ten of each class is
    taken away from those of the training, the same ones whatever the seed (``data.split`` in ``settings`` chooses others).
    """

    #: Training images and their labels.
    x: Any
    y: Any
    #: Images for validation, and their labels.
    x_val: Any = None
    y_val: Any = None
    #: Clean test images, and their labels.
    x_test: Any = None
    y_test: Any = None
    #: Further test groups by ``"ROLE:NAME"`` (or ``"ROLE"``), the role ``clean``, ``ambiguous``, ``ood`` or ``shifted``: images of
    #: ``ood``; images and labels of ``clean`` and ``shifted``; images and probabilities (N x C) of ``ambiguous``.
    groups: Mapping[str, Any] = field(default_factory=dict)
    #: Names of the classes, in the order of their numbers.
    class_names: Sequence[str] | None = None
    #: What tables and run folders call it.
    name: str = "arrays"

    def _arrays(self) -> dict[str, Any]:
        """The arrays of the file, checked."""
        arrays: dict[str, Any] = {}
        shape = None
        names = None if self.class_names is None else [str(name) for name in self.class_names]
        for part, x, y in (("train", self.x, self.y), ("val", self.x_val, self.y_val), ("test", self.x_test, self.y_test)):
            suffix = "" if part == "train" else f"_{part}"
            if (x is None) != (y is None):
                raise ArgumentError(f"x{suffix} and y{suffix} belong together; give both, or neither")
            if x is None:
                if part == "train":
                    raise ArgumentError("x and y, the training images and their labels, are missing")
                continue
            images = images_of(x, shape, f"x{suffix}")
            shape = images.shape[1:]
            if len(images) == 0:
                raise ArgumentError(f"x{suffix} holds no image")
            arrays[f"x_{part}"] = images
            arrays[f"y_{part}"] = _labels(y, len(images), f"y{suffix}", f"x{suffix}", names)
        if names is not None:
            arrays["class_names"] = np.array(names, dtype=np.str_)
        return arrays

    def _groups(self, shape: tuple[int, int, int]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Role, name and arrays of each further test group."""
        for key, value in self.groups.items():
            role, _, name = key.partition(":")
            name = name or role
            if role not in _ROLES:
                raise ArgumentError(f"group {key!r} has no role; wanted ROLE:NAME with one of {', '.join(_ROLES)}")
            if not name or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in name):
                raise ArgumentError(f"group {key!r} has no usable name; take letters, digits, `-`, `_` or `.`")
            is_pair = isinstance(value, tuple) and len(value) == 2
            if role == "ood":
                if is_pair:
                    raise ArgumentError(f"group {key!r}: no label of an ood image is right; give the images alone")
                yield role, name, {"x": images_of(value, shape, key)}
                continue
            if not is_pair:
                what = "probabilities (N x C)" if role == "ambiguous" else "labels"
                raise ArgumentError(f"group {key!r}: give a pair of images and {what}")
            images = images_of(value[0], shape, key)
            if role == "ambiguous":
                labels = as_array(value[1], f"{key}, probabilities").astype(np.float32)
            else:
                labels = _labels(value[1], len(images), f"{key}, labels", key, None)
            yield role, name, {"x": images, "y": labels}


def _labels(y: Any, count: int, what: str, of: str, names: list[str] | None) -> Any:
    given = y if isinstance(y, np.ndarray) else (np.asarray(y) if isinstance(y, (list, tuple)) else None)
    if given is not None and given.dtype.kind in "UO" and all(isinstance(label, str) for label in given.ravel()):
        texts = given.astype(np.str_)
        if texts.shape != (count,):
            raise ArgumentError(f"{what} holds {texts.size} names, wanted {count}: one class for each image of {of}")
        return texts
    labels = labels_of(y, count, what, of)
    if names is not None and labels.size and int(labels.max()) >= len(names):
        raise ArgumentError(f"{what} holds class {int(labels.max())}, and class_names names {len(names)}, counted from 0")
    return labels


#: A built-in set by name, a path, arrays, or a pair of images and labels.
AnyData = Union[str, "os.PathLike[str]", Data, tuple[Any, Any]]


def _as_data(data: Any) -> Data | str:
    if isinstance(data, Data):
        return data
    if isinstance(data, (str, os.PathLike)):
        return os.fspath(data)
    if isinstance(data, tuple) and len(data) == 2:
        return Data(*data)
    raise ArgumentError(
        f"data is a {type(data).__name__}, wanted the name of a set, a path, a pair (images, labels), or qbnn.Data"
    )


@contextlib.contextmanager
def given(data: Any, test: Sequence[str], parent: PathLike | None) -> Iterator[tuple[dict[str, Any], str | None]]:
    """What is asked for by data, and the folder into which arrays were written, beside the run folder that they will be part of.

    What a run does not take is removed at the end.
    """
    tests = [test] if isinstance(test, str) else [str(one) for one in test]
    if data is None:
        yield {"tests": tests}, None
        return
    found = _as_data(data)
    if isinstance(found, str):
        yield {"data": found, "tests": tests}, None
        return
    arrays = found._arrays()
    folder = Path.cwd() if parent is None else Path(parent).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".qbnn-", dir=folder))
    except OSError as error:
        raise FileError(f"cannot write the arrays for a run below {folder}: {error.strerror}; name another folder") from None
    try:
        try:
            np.savez(staged / "data.npz", **arrays)
            for role, name, group in found._groups(arrays["x_train"].shape[1:]):
                file = staged / f"test-{name}.npz"
                if file.exists():
                    raise ArgumentError(f"two groups are called {name}; give them names of their own")
                np.savez(file, **group)
                tests.append(f"{role}:{name}={file}")
        except OSError as error:
            raise FileError(f"cannot write the arrays into {staged}: {error.strerror}") from None
        yield {"data": str(staged / "data.npz"), "tests": tests, "settings": {"data.name": found.name}}, str(staged)
    finally:
        shutil.rmtree(staged, ignore_errors=True)

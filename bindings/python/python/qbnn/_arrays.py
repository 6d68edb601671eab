"""From what users hold (arrays, tensors, lists) to the 8-bit pixels that a model reads. Nothing is misread in silence."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ._errors import ArgumentError, QbnnWarning

#: How far 255 times a pixel in floating point may be from an integer: rounding of ``pixel / 255`` in float32 is below it.
_TOLERANCE = 1e-3

Pixels = npt.NDArray[np.uint8]


def as_array(x: Any, what: str = "x") -> npt.NDArray[Any]:
    """An array of anything that holds numbers: numpy, lists, torch tensors (also on a device, also with a gradient), DLPack.

    No package is imported for it.
    """
    if not isinstance(x, np.ndarray):
        # Tensors of torch: what has a gradient or lies on a device gives no array by itself.
        for step in ("detach", "cpu"):
            if callable(getattr(x, step, None)):
                x = getattr(x, step)()
        if not hasattr(x, "__array__"):
            if hasattr(x, "__dlpack__"):
                x = np.from_dlpack(x)
            elif callable(getattr(x, "numpy", None)):
                x = x.numpy()
    try:
        array = np.asarray(x)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{what} is no array of numbers: {' '.join(str(error).split())}") from None
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"{what} holds {array.dtype}, wanted numbers")
    return array


def as_bytes(array: npt.NDArray[Any], what: str = "x") -> Pixels:
    """Pixels as bytes.

    Integers of any width are taken where all of them are in 0 to 255. Floating-point numbers are taken where all of them are
    in 0 to 1 and 255 times each is an integer, as of images that were bytes once (``ToTensor`` of torchvision). All else is
    refused: a model normalises pixels itself.
    """
    if array.dtype == np.bool_:
        raise ArgumentError(f"{what} holds booleans, wanted pixels from 0 to 255; {what}.astype(np.uint8) * 255")
    if array.size == 0:
        return array.astype(np.uint8)
    if array.dtype.kind in "iu":
        least, most = int(array.min()), int(array.max())
        if least < 0 or most > 255:
            raise ArgumentError(f"{what} holds integers from {least} to {most}, wanted pixels from 0 to 255")
        if most == 1:
            warnings.warn(
                f"the largest pixel of {what} is 1, and pixels go from 0 to 255: these images are all but black; for images in "
                f"0 and 1 give {what} * 255",
                QbnnWarning,
                stacklevel=4,
            )
        return array.astype(np.uint8, copy=False)
    if array.dtype.itemsize < 4:
        raise ArgumentError(
            f"{what} holds {array.dtype}, too coarse to tell pixels apart; give bytes: "
            f"(255 * {what}).round().astype(np.uint8) if it goes from 0 to 1"
        )
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise ArgumentError(f"{what} holds numbers that are not finite, wanted pixels from 0 to 255")
    if low < 0 or high > 1:
        if low >= 0 and high <= 255 and bool((array == np.floor(array)).all()):
            fix = f"these seem to be pixels from 0 to 255: {what}.astype(np.uint8)"
        else:
            fix = "pixels that were normalised are refused, a model normalises them itself: give the bytes of before"
        raise ArgumentError(f"{what} holds floating-point numbers from {low:.4g} to {high:.4g}, wanted 0 to 1, or bytes; {fix}")
    scaled = array * 255
    whole = np.rint(scaled)
    apart = float(np.abs(scaled - whole).max())
    if apart > _TOLERANCE:
        raise ArgumentError(
            f"{what} holds numbers from 0 to 1 that are no bytes over 255 (one is {apart:.2g} of a step off), and a model reads "
            f"bytes; round them yourself if that is meant: (255 * {what}).round().astype(np.uint8)"
        )
    pixels: Pixels = whole.astype(np.uint8)
    return pixels


def _in_words(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


def images_of(x: Any, shape: tuple[int, int, int] | None, what: str = "x") -> Pixels:
    """Images of ``shape`` (rows, columns, channels), or of any where it is ``None``, as ``N x rows x columns x channels``
    bytes, contiguous.

    Taken are ``N x rows x columns`` of grey images, channels last, and channels first where the sizes leave no doubt.
    """
    array = as_array(x, what)
    found = array.shape
    if shape is None:
        shape = _shape_of(found, what)
    rows, columns, channels = shape
    wanted = f"N x {_in_words(shape if channels > 1 else shape[:2])}"
    if found[1:] == shape or (channels == 1 and found[1:] == shape[:2]):
        pixels = array.reshape(-1, *shape) if array.size else array.reshape(0, *shape)
    elif found[1:] == (channels, rows, columns):
        pixels = np.moveaxis(array, 1, -1)
    elif found in (shape, shape[:2] if channels == 1 else shape, (channels, rows, columns)):
        raise ArgumentError(f"{what} is one image, wanted several ({wanted}); {what}[None]")
    else:
        raise ArgumentError(f"{what} is {_in_words(found) or 'a single number'}, wanted images as the model reads them: {wanted}")
    return np.ascontiguousarray(as_bytes(pixels, what))


def _shape_of(found: tuple[int, ...], what: str) -> tuple[int, int, int]:
    """Rows, columns and channels of images of which nothing else is known."""
    if len(found) == 3:
        return (found[1], found[2], 1)
    if len(found) == 4 and found[3] in (1, 3):
        if found[1] in (1, 3) and found[2] != found[3]:
            raise ArgumentError(f"{what} is {_in_words(found)}: channels may be first or last; give bytes N x rows x columns x channels")
        return (found[1], found[2], found[3])
    if len(found) == 4 and found[1] in (1, 3):
        return (found[2], found[3], found[1])
    raise ArgumentError(
        f"{what} is {_in_words(found) or 'a single number'}, wanted images: N x rows x columns, with 1 or 3 channels last or first"
    )


def labels_of(y: Any, count: int, what: str = "y", of: str = "x") -> npt.NDArray[np.int64]:
    """Classes counted from 0, one for each of ``count`` images."""
    array = as_array(y, what)
    if array.ndim == 2 and array.shape[0] == count and array.shape[1] > 1:
        raise ArgumentError(f"{what} is {_in_words(array.shape)}, wanted one class for each image; {what}.argmax(axis=1) of one-hot rows")
    if array.shape != (count,):
        raise ArgumentError(f"{what} is {_in_words(array.shape) or 'a single number'}, wanted {count}: one class for each image of {of}")
    if array.dtype.kind == "f":
        if not bool((array == np.floor(array)).all()):
            raise ArgumentError(f"{what} holds {array.dtype} that are no integers, wanted classes counted from 0")
    labels = array.astype(np.int64)
    if labels.size and int(labels.min()) < 0:
        raise ArgumentError(f"{what} holds {int(labels.min())}, wanted classes counted from 0")
    return labels

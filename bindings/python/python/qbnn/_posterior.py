"""Posteriors that other libraries trained, and the way back: ``qbnn import`` and ``qbnn export``."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import _native
from ._arrays import as_array
from ._data import AnyData, PathLike, given
from ._errors import ArgumentError
from ._progress import Progress
from ._steps import Network, Run, _asked, _call, _given, _parent, _path, _telling


def _state(posterior: Any) -> Mapping[str, Any] | None:
    """The arrays of a posterior that is held in memory; ``None`` of a path."""
    if isinstance(posterior, (str, os.PathLike)):
        return None
    if callable(getattr(posterior, "state_dict", None)):
        posterior = posterior.state_dict()
    if isinstance(posterior, Mapping):
        return posterior
    raise ArgumentError(f"the posterior is a {type(posterior).__name__}, wanted a path, a state_dict, or a dictionary of arrays")


def import_posterior(
    posterior: Any,
    *,
    data: AnyData,
    network: Network | None = None,
    mean: float | None = None,
    std: float | None = None,
    library: str | None = None,
    sigma: str | None = None,
    layout: Literal["torch", "jax"] | None = None,
    key: str | None = None,
    ignore: Sequence[str] = (),
    map: PathLike | None = None,
    no_bias: Sequence[str] = (),
    bn: Mapping[str, str] | None = None,
    bn_before: Mapping[str, str] | None = None,
    bn_eps: float | None = None,
    prior_sigma: float | None = None,
    kl_weight: float | None = None,
    replace: Sequence[str] = (),
    images: Any = None,
    logits: Any = None,
    elbo: bool = False,
    test: Sequence[str] = (),
    out: PathLike | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = None,
) -> Run | dict[str, Any]:
    """Makes a run folder of a posterior that another library trained: ``qbnn import`` (docs/import.md).

    ``posterior`` is a file (``torch.save``, safetensors, ``.npz``), a module of torch, its ``state_dict()``, or a dictionary of arrays
    under the library's names. ``data`` is what it was trained on, ``network`` a name, a TOML file, a list of layers, or ``"auto"``.
    ``mean`` and ``std`` say how pixels became inputs: (pixel / 255 - mean) / std. ``library`` names what wrote it where its names
    do not tell; ``sigma`` how standard deviations are stored.

    ``images`` (N x rows x columns bytes) and ``logits`` (N x C), which the source gives with every weight at its mean, prove that it is
    the same network. ``bn`` and ``bn_before`` map a layer to the batch normalisation behind or before it, where names leave that
    open. ``elbo`` compares the readings of sigma. With ``dry_run`` nothing is written, and the record of what became of
    every tensor is returned.
    """
    if (images is None) != (logits is None):
        raise ArgumentError("images and logits belong together; give both, or neither")
    propose = isinstance(network, str) and network == "auto"
    described = None if propose else network
    of: dict[str, Any] = {
        "family": library,
        "sigma": sigma,
        "layout": layout,
        "key": key,
        "ignore": [ignore] if isinstance(ignore, str) else list(ignore),
        "map": _path(map),
        "no_bias": [no_bias] if isinstance(no_bias, str) else list(no_bias),
        "bn": list((bn or {}).items()),
        "bn_before": list((bn_before or {}).items()),
        "bn_eps": bn_eps,
        "mean": mean,
        "std": std,
        "prior_sigma": prior_sigma,
        "kl_weight": kl_weight,
        "replace": [replace] if isinstance(replace, str) else list(replace),
        "propose": propose,
        "check": None,
        "elbo": elbo,
    }
    call = _call(
        "import_posterior",
        _given({"posterior": posterior, "network": network, "mean": mean, "std": std, "library": library, "out": out}),
    )
    with ExitStack() as stack:
        state = _state(posterior)
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="qbnn-"))
        if state is None:
            file = os.fspath(posterior)
        else:
            file = os.path.join(scratch, "posterior.npz")
            np.savez(file, **_arrays_of(state))
        if images is not None:
            reference = of["check"] = os.path.join(scratch, "reference.npz")
            np.savez(reference, images=as_array(images, "images"), logits=as_array(logits, "logits"))
        of_data, staged = stack.enter_context(given(data, test, _parent(out)))
        tell = stack.enter_context(_telling(progress))
        asked = _asked(of_data, {"seed": seed}, settings, network=described)
        found = json.loads(
            _native.import_posterior(file, of, asked, _path(out), overwrite, staged, dry_run, tell, call)
        )
    if dry_run:
        record: dict[str, Any] = found["record"]
        return record
    return Run(found["folder"])


def _arrays_of(state: Mapping[str, Any]) -> dict[str, Any]:
    arrays = {}
    for name, value in state.items():
        if isinstance(value, Mapping):
            raise ArgumentError(
                f"{name} is a dictionary of its own; save the whole with torch.save and give the path, or give the dictionary of the network"
            )
        arrays[str(name)] = as_array(value, str(name))
    if not arrays:
        raise ArgumentError("the posterior holds no array")
    return arrays


def export_posterior(source: PathLike | Run, out: PathLike) -> Path:
    """Writes means and standard deviations of a network as arrays: ``qbnn export``.

    ``source`` is a run folder (its float network) or a checkpoint, ``out`` an ``.npz`` or a safetensors file:
    ``LAYER.weight.mu``, ``LAYER.weight.sigma``, ``LAYER.bias.mu``, ``LAYER.bias.sigma`` in PyTorch's layout.
    """
    _native.export_posterior(os.fspath(source), os.fspath(out))
    return Path(out)

"""Beyond one machine, with Ray: sweeps whose runs are tasks, and the scoring of image sets of any size.

Figures are those of one machine, to the last bit: a run is a function of its settings, a prediction of model, image and seed. Ray is
imported by the functions; ``pip install "qbnn[ray]"`` installs it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import images_of
from ._data import PathLike
from ._errors import ArgumentError, Error
from ._model import MOST_SAMPLES, Model, count_of
from ._native import Sweep, sweep_float, sweep_run
from ._progress import Event, Progress, Teller


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise Error('Ray is not installed; pip install "qbnn[ray]"') from None
    return ray


def _ignore(event: dict[str, Any]) -> None:
    """A worker tells nothing: what comes of its task says all."""


def _float(text: str, plan: str, name: str) -> tuple[bytes | None, str]:
    """Trains a float network, and gives the bytes of its checkpoint, or why there are none."""
    with tempfile.TemporaryDirectory(prefix="qbnn-") as folder:
        try:
            return Path(sweep_float(text, plan, name, folder, _ignore)).read_bytes(), ""
        except Error as error:
            return None, str(error)


def _run(text: str, plan: str, name: str, samples: list[int], names: list[str], *floats: tuple[bytes | None, str]) -> list[str]:
    """Makes and evaluates a model: lines of the ledger."""
    failed = next((why for content, why in floats if content is None), None)
    with tempfile.TemporaryDirectory(prefix="qbnn-") as folder:
        for own, (content, _) in zip(names, floats):
            if content is not None:
                (Path(folder) / f"{own}.safetensors").write_bytes(content)
        return sweep_run(text, plan, name, samples, folder, failed, _ignore)


def sweep(
    spec: PathLike,
    *,
    out: PathLike | None = None,
    retry: bool = False,
    num_cpus: float = 1,
    attempts: int = 3,
    progress: Progress = None,
) -> Path:
    """Runs a sweep (docs/sweeps.md) on the cluster that ``ray.init`` has joined, each run one task of ``num_cpus``. Gives its folder.

    Float networks are tasks too, trained once and passed on as objects. The ledger is kept here, by the driver, which writes a result as
    soon as it comes: the same call goes on where a sweep was stopped, and leaves out what is done (what failed is done again with
    ``retry``). A task whose worker or node dies is given to another, up to ``attempts`` times. Results that failed are raised at the end.

    Paths in the spec must be absolute, and lead to the same files on every machine; every machine needs the same version of qbnn.
    """
    ray = _ray()
    attempts = count_of(attempts, "attempts", 1, 100)
    own = Sweep(os.fspath(spec), None if out is None else os.fspath(out))
    folder = Path(own.folder)
    waiting: dict[Any, str] = {}
    try:
        tasks = json.loads(own.tasks(retry))
        if not ray.is_initialized():
            ray.init()
        # A worker uses the threads that its task has.
        threads = str(max(1, int(num_cpus)))
        options = {
            "num_cpus": num_cpus,
            "max_retries": attempts - 1,
            "runtime_env": {"env_vars": {"RAYON_NUM_THREADS": threads}},
        }
        train, make = ray.remote(**options)(_float), ray.remote(**options)(_run)
        text, plan = own.text, own.plan
        floats = {task["id"]: train.remote(text, plan, task["id"]) for task in tasks if task["kind"] == "float"}
        runs = [task for task in tasks if task["kind"] == "run"]
        for task in runs:
            needed = [floats[name] for name in task["floats"]]
            waiting[make.remote(text, plan, task["id"], task["samples"], task["floats"], *needed)] = task["title"]
        with Teller(progress) as teller:
            teller.tell(Event("sweep", own.plan, 0, len(runs)))
            while waiting:
                # Awake now and then, for Ctrl-C.
                ready, _ = ray.wait(list(waiting), timeout=0.5)
                for one in ready:
                    title = waiting.pop(one)
                    own.take(ray.get(one))
                    teller.tell(Event("note", title))
                    teller.tell(Event("sweep", own.plan, len(runs) - len(waiting), len(runs)))
        failures = own.failures()
    finally:
        for one in waiting:
            ray.cancel(one, force=True)
        own.close()
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise Error(f"{len(failures)} results failed: {failures[0]}{more}; retry=True makes them again")
    return folder


class _Scorer:
    """Scores batches in an actor, which opens the model once."""

    def __init__(self, model: Model, column: str, samples: int, seed: int):
        self.model, self.column, self.samples, self.seed = model, column, samples, seed

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self.column not in batch:
            raise ArgumentError(f"there is no column {self.column!r}; there are {', '.join(batch)}")
        images = batch[self.column]
        if isinstance(images, np.ndarray) and images.dtype == object:
            images = np.stack(list(images))
        found = self.model.predict(images_of(images, self.model.shape, self.column), samples=self.samples, seed=self.seed)
        scores: dict[str, Any] = {
            "label": found.label,
            "probs": found.probs,
            "total": found.total,
            "aleatoric": found.aleatoric,
            "epistemic": found.epistemic,
        }
        if found.sets is not None:
            scores.update(sets=found.sets, abstain=found.abstain, ood=found.ood)
        return {**{name: value for name, value in batch.items() if name != self.column}, **scores}


def score(
    dataset: Any,
    model: Model | PathLike,
    *,
    column: str = "image",
    samples: int = 32,
    seed: int = 0,
    batch_size: int = 1024,
    concurrency: int | Sequence[int] = 1,
    num_cpus: float = 1,
) -> Any:
    """Scores a ``ray.data.Dataset`` of any size: its rows with ``label``, ``probs``, ``total``, ``aleatoric`` and ``epistemic`` in the place of
    the images, and ``sets``, ``abstain``, ``ood`` of a calibrated model.

    ``column`` holds images as :meth:`qbnn.Model.predict` takes them. ``concurrency`` actors of ``num_cpus`` each open the model once; the
    model travels as bytes. The dataset that is returned is computed when it is read. Scores are those of one machine, whatever the
    batches and the order.
    """
    _ray()
    opened = model if isinstance(model, Model) else Model.load(model)
    return dataset.map_batches(
        _Scorer,
        fn_constructor_kwargs={
            "model": opened,
            "column": column,
            "samples": count_of(samples, "samples", 1, MOST_SAMPLES),
            "seed": count_of(seed, "seed", 0, 2**64 - 1),
        },
        batch_size=count_of(batch_size, "batch_size", 1, 1_000_000),
        batch_format="numpy",
        concurrency=tuple(concurrency) if isinstance(concurrency, Sequence) else concurrency,
        num_cpus=num_cpus,
    )

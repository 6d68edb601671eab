"""Progress: what a callable is told, and the bar that is drawn where tqdm is there."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Union

from ._errors import QbnnWarning

log = logging.getLogger("qbnn")


@dataclass(frozen=True)
class Event:
    """Something that happened during a call. What does not apply is ``None``.

    ``kind`` is ``"step"`` or ``"epoch"`` of a training, ``"predict"``, ``"sweep"``, ``"note"`` or ``"warning"``.
    """

    kind: str
    #: A line of a note or a warning; else the model, or what is predicted.
    text: str = ""
    #: Steps, images or draws done, of so many.
    done: int | None = None
    of: int | None = None
    #: Epoch counted from 1, of so many.
    epoch: int | None = None
    epochs: int | None = None
    #: Mean NLL of training pairs, nats.
    nll: float | None = None
    #: KL divergence over the number of training pairs, nats.
    kl: float | None = None
    #: On validation images, 4 draws: accuracy 0 to 1, NLL in nats.
    validation_accuracy: float | None = None
    validation_nll: float | None = None


#: ``None`` or ``False`` for silence, ``True`` for a bar of tqdm (lines of the logger ``qbnn`` without it), or a callable.
Progress = Union[None, bool, Callable[[Event], Any]]


class Teller:
    """Tells events to whoever asked for them; closes its bar at the end of a ``with`` block."""

    def __init__(self, progress: Progress):
        self._callable: Callable[[Event], Any] | None = None
        self._bar: Any = None
        self._bar_of: tuple[str, int | None] | None = None
        self._tqdm: Any = None
        if callable(progress):
            self._callable = progress
        elif progress:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                self._callable = _logged
            else:
                self._tqdm = tqdm
        self.wants_more = self._callable is not None or self._tqdm is not None

    def __enter__(self) -> Teller:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def tell(self, event: Event) -> None:
        """Tells one event. Warnings become warnings of Python, notes lines of the logger."""
        if event.kind == "warning":
            warnings.warn(event.text, QbnnWarning, stacklevel=5)
        elif event.kind == "note":
            log.info("%s", event.text)
        if self._callable is not None:
            self._callable(event)
        elif self._tqdm is not None:
            self._show(event)

    def _show(self, event: Event) -> None:
        if event.kind == "epoch" and self._bar is not None:
            self._bar.set_postfix_str(f"NLL {event.nll:.4f}, val acc {100 * (event.validation_accuracy or 0):.2f} %")
        if event.kind not in ("step", "predict", "sweep") or event.done is None:
            return
        key = (event.text, event.of)
        if self._bar is None or self._bar_of != key:
            self.__exit__()
            self._bar = self._tqdm(total=event.of, desc=event.text, leave=event.kind != "predict")
            self._bar_of = key
        self._bar.update(event.done - self._bar.n)


def _logged(event: Event) -> None:
    if event.kind == "epoch":
        log.info(
            "%s epoch %s/%s  NLL %.4f  KL %.4f  val acc %.2f %%",
            event.text,
            event.epoch,
            event.epochs,
            event.nll,
            event.kl,
            100 * (event.validation_accuracy or 0),
        )

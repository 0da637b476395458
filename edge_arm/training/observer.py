"""Who watches a training: progress bars, logs, curves. Nobody who watches changes its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochMetrics:
    """What an epoch came to.

    Attributes:
        epoch: counted from 1.
        epochs: how many there are to be.
        faces: trained on in this epoch, by all processes together.
        train_loss: mean cross-entropy of the augmented faces, each at its own step.
        validation_loss: mean cross-entropy of the validation faces, after the epoch.
        validation_accuracy: 0..1, after the epoch.
        is_best: whether no earlier epoch was as good.
        learning_rate: of this epoch.
        seconds: of its training steps; those before an interrupt are counted in.
        waited_seconds: the part of `seconds` in which the steps waited for faces.
        validation_seconds: of measuring it.
        peak_memory_bytes: on a GPU what its tensors took at most in this epoch, on a CPU the
            largest resident set of the process so far.
    """

    epoch: int
    epochs: int
    faces: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    is_best: bool
    learning_rate: float
    seconds: float
    waited_seconds: float
    validation_seconds: float
    peak_memory_bytes: int

    @property
    def images_per_second(self) -> float:
        """Trained on, by all processes together."""
        return self.faces / max(self.seconds, 1e-9)

    @property
    def waited_share(self) -> float:
        """0..1, the part of the training time in which the steps waited for faces."""
        return self.waited_seconds / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class Plan:
    """What lies before a training when its first step begins.

    Attributes:
        epochs: how many there are to be.
        faces_per_epoch: trained on in each.
        epochs_done: before this run, by one that was interrupted; 0 otherwise.
        faces_done: before this run, those of an unfinished epoch included.
    """

    epochs: int
    faces_per_epoch: int
    epochs_done: int
    faces_done: int


def _unmoved(_: object) -> None:
    """What an observer does about what it does not watch."""


@dataclass(frozen=True)
class Observer:
    """Functions that a training calls as it goes. With several processes only rank 0 calls them.

    Attributes:
        on_decoded: with the number of faces just read; their total is that of both sets.
        on_begin: once, before the first step.
        on_step: with the number of faces just trained on, by all processes together.
        on_epoch: with what an epoch came to.
    """

    on_decoded: Callable[[int], None] = _unmoved
    on_begin: Callable[[Plan], None] = _unmoved
    on_step: Callable[[int], None] = _unmoved
    on_epoch: Callable[[EpochMetrics], None] = _unmoved

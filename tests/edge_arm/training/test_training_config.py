"""The recipe and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_arm.runtime.errors import UsageError
from edge_arm.training.training_config import TrainingConfig


def test_the_learning_rate_falls_by_a_tenth_per_epoch() -> None:
    config = TrainingConfig()
    assert [config.learning_rate_in(epoch) for epoch in range(3)] == pytest.approx(
        [1e-3, 9e-4, 8.1e-4], rel=1e-12
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "got 0 epochs, expected at least 1"),
        ({"batch_size": 3}, "got batch size 3, expected at least 4"),
        ({"learning_rate": 0.0}, "got learning rate 0.0, expected more than 0"),
        ({"learning_rate": float("nan")}, "got learning rate nan"),
        ({"learning_rate_decay": 1.1}, "got learning rate decay 1.1"),
        ({"weight_decay": -1.0}, "weight decay -1.0"),
        ({"seed": -1}, "got seed -1, expected 0 or more"),
        ({"init": Path("a"), "init_checkpoint": Path("b")}, "got both --init and"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_train_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainingConfig(**change)

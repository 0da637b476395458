"""A command that several processes run together, started by torchrun, and that speaks once."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

P = ParamSpec("P")


def speaks_for_all() -> bool:
    """Whether this process tells what all of them find alike, such as a word mistyped."""
    return os.environ.get("RANK", "0") == "0"


def by_several_processes(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command take part in what torchrun started; alone it runs as it is.

    Args:
        command: asks `launched_world` who it is.
    """

    @wraps(command)
    def joining(*args: P.args, **kwargs: P.kwargs) -> None:
        if "WORLD_SIZE" not in os.environ:
            command(*args, **kwargs)
            return
        from edge_arm.training.distributed import joined, launched_world

        with joined(launched_world()):
            command(*args, **kwargs)

    return joining

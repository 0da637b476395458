"""`edge-arm` in one of several processes, of which the last kills itself in a step.

    python together_command.py STEP WORD...

The state is saved after every step, so that there is one to go on from.
"""

from __future__ import annotations

import os
import signal
import sys

from torch import Tensor

from edge_arm.cli.main import main
from edge_arm.training import training_loop
from edge_arm.training.learner import Learner

_step = Learner.step
_left = int(sys.argv.pop(1))


def step(learner: Learner, x: Tensor, targets: Tensor, *, faces: int) -> Tensor:
    """Learn, or be killed as by the system that ran out of memory."""
    global _left
    _left -= 1
    if _left == 0 and learner.world.rank == learner.world.size - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return _step(learner, x, targets, faces=faces)


if __name__ == "__main__":
    training_loop.SAVE_EVERY_SECONDS = 0.0
    Learner.step = step  # type: ignore[method-assign]
    sys.exit(main())

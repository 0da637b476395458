"""One process of several: a training of faces in memory, whole and then stopped by one of them.

    python together_training.py FOLDER

In float64: in float32 Adam, which divides each gradient by its size, makes a whole step of what
rounding left of a gradient, and after a few steps two right results differ as two wrong ones do.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import seeded_model
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.arithmetic import Arithmetic
from edge_arm.training.decoded_faces import DecodedFaces
from edge_arm.training.distributed import World, joined, launched_world
from edge_arm.training.feed import feeds_for
from edge_arm.training.learner import learner_for
from edge_arm.training.observer import Observer
from edge_arm.training.resume_state import Identity
from edge_arm.training.samplers import FaceOrder
from edge_arm.training.training_config import TrainingConfig
from edge_arm.training.training_loop import Run, Trained, trained

SIZE, TRAIN, VALIDATION = 32, 23, 9
# 23 faces in 3 steps of 8, 8 and 7: the last does not divide by two.
CONFIG = TrainingConfig(
    epochs=2, batch_size=8, image_size=SIZE, head=Head.SA, learning_rate=1e-4, resume=True
)
STOP_AT_STEP = 4


def training(
    world: World, state_path: Path, on_step: Callable[[int], None] | None = None
) -> Trained:
    """Train on the same 23 faces in any number of processes, from the state if there is one."""
    rng = np.random.default_rng(5)
    stored = rng.integers(0, 256, (TRAIN + VALIDATION, SIZE, SIZE, 3), np.uint8)
    targets = np.arange(TRAIN + VALIDATION) % 3
    train = DecodedFaces(stored, np.arange(TRAIN), targets[:TRAIN], "train")
    validation = DecodedFaces(stored, np.arange(TRAIN, len(stored)), targets[TRAIN:], "validation")
    cpu = Arithmetic(torch.device("cpu"), mixed=False)
    feeds = feeds_for(train, validation, cpu.device)
    order = FaceOrder(CONFIG.sampler, train.targets, CONFIG.seed).order
    observers = [] if on_step is None else [Observer(on_step=on_step)]
    run = Run(CONFIG, feeds[0], order, feeds[1], PreprocessSpec(size=SIZE), observers)
    model = seeded_model(ModelConfig(3, SIZE, CONFIG.head), CONFIG.seed).double()
    model.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    learner = learner_for(model, CONFIG, cpu, world)
    return trained(run, learner, identity=Identity({}), state_path=state_path)


def stopper() -> Callable[[int], None]:
    """Asks this process, and no other, to stop in the fourth step."""
    steps = 0

    def on_step(_: int) -> None:
        nonlocal steps
        steps += 1
        if steps == STOP_AT_STEP:
            os.kill(os.getpid(), signal.SIGTERM)

    return on_step


def main(folder: Path) -> None:
    """Train to the end, then once more until the last process is told to stop."""
    world = launched_world()
    with joined(world):
        whole = training(world, folder / "whole.resume.safetensors")
        torch.save((whole.state, whole.metrics), folder / f"whole.{world.rank}")
        last = world.rank == world.size - 1
        with suppress(KeyboardInterrupt):
            training(world, folder / "stopped.resume.safetensors", stopper() if last else None)
            (folder / f"not-stopped.{world.rank}").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

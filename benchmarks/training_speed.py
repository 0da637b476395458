"""Does the training loop keep the device busy?

    python benchmarks/training_speed.py [--image-size 224] [--batch-size 256] [--faces 12271]

Two figures in images/s, on the same machine in the same run:

1. The loop: `training_loop.trained` itself, on faces that are drawn at random: feeding, augmenting,
   learning, progress and all. Every epoch but the first counts, whose validation does not.
2. The ceiling: the same step (forward, backward, Adam, in the same precision) again and again on
   one batch that lies on the device, normalised.

On a GPU the loop has to reach 80 per cent of the ceiling. On a CPU the step is so long that the
loop may wait for faces 3 per cent of its time at the very most. The exit status is 1 otherwise.
`--streamed` keeps the faces off the GPU, as with a set that does not fit.

A line in Markdown comes out, for docs/measurements.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import seeded_model
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.arithmetic import Arithmetic, arithmetic_for
from edge_arm.training.augmentation import normalised
from edge_arm.training.decoded_faces import DecodedFaces
from edge_arm.training.distributed import World
from edge_arm.training.feed import Feed, feeds_for
from edge_arm.training.learner import Learner, learner_for
from edge_arm.training.observer import EpochMetrics, Observer
from edge_arm.training.resume_state import Identity
from edge_arm.training.samplers import FaceOrder
from edge_arm.training.training_config import Device, TrainingConfig
from edge_arm.training.training_loop import Run, trained

LEAST_OF_CEILING = 0.8
MOST_WAITING = 0.03
CLASSES = 7
VALIDATION = 64


def faces_at_random(count: int, size: int) -> tuple[DecodedFaces, DecodedFaces]:
    """Faces to learn from and a few to validate on, in one array as the trainer has them.

    Args:
        count: to learn from.
        size: pixels.
    """
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 256, (count + VALIDATION, size, size, 3), np.uint8)
    targets = np.arange(len(stored), dtype=np.int64) % CLASSES
    rows = np.arange(len(stored), dtype=np.int64)
    return (
        DecodedFaces(stored, rows[:count], targets[:count], "training"),
        DecodedFaces(stored, rows[count:], targets[count:], "validation"),
    )


def learner(config: TrainingConfig, arithmetic: Arithmetic) -> Learner:
    """A new model on the device.

    Args:
        config: of the training.
        arithmetic: of its steps.
    """
    model = seeded_model(ModelConfig(CLASSES, config.image_size, config.head), config.seed)
    return learner_for(model, config, arithmetic, World())


def loop(
    config: TrainingConfig, arithmetic: Arithmetic, feeds: tuple[Feed, Feed]
) -> list[EpochMetrics]:
    """What the epochs of a real training came to, without the first.

    Args:
        config: of the training, with two epochs at least.
        arithmetic: of its steps.
        feeds: of training and validation faces.
    """
    epochs: list[EpochMetrics] = []
    faces, validation = feeds
    order = FaceOrder(config.sampler, faces.faces.targets, config.seed).order
    watching = [Observer(on_epoch=epochs.append)]
    run = Run(config, faces, order, validation, PreprocessSpec(size=config.image_size), watching)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state.safetensors"
        trained(run, learner(config, arithmetic), identity=Identity({}), state_path=state)
    return epochs[1:]


def ceiling(
    config: TrainingConfig, arithmetic: Arithmetic, feed: Feed, *, steps: int
) -> tuple[float, float]:
    """The step alone, on one batch on the device.

    Args:
        config: of the training.
        arithmetic: of the step.
        feed: whose first faces are the batch.
        steps: that are timed, after as many that are not.

    Returns:
        Images/s, and milliseconds for each step.
    """
    one = learner(config, arithmetic)
    one.model.train()
    with closing(feed.batches([np.arange(config.batch_size)])) as fed:
        images, targets = next(fed)
    x = normalised(images, PreprocessSpec(size=config.image_size))
    started = 0.0
    for number in range(2 * steps):
        if number == steps:
            _wait(arithmetic)
            started = time.perf_counter()
        one.step(x, targets, faces=len(targets))
    _wait(arithmetic)
    seconds = time.perf_counter() - started
    return steps * config.batch_size / seconds, seconds / steps * 1e3


def _wait(arithmetic: Arithmetic) -> None:
    if arithmetic.device.type == "cuda":
        torch.cuda.synchronize(arithmetic.device)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--faces", type=int, default=12271, help="of one epoch; RAF-DB has 12,271")
    parser.add_argument("--epochs", type=int, default=3, help="the first is not counted")
    parser.add_argument("--steps", type=int, default=48, help="of the ceiling that are timed")
    parser.add_argument("--head", choices=[head.value for head in Head], default=Head.ARM.value)
    parser.add_argument("--device", choices=[d.value for d in Device], default=Device.AUTO.value)
    parser.add_argument("--streamed", action="store_true", help="keep the faces off the GPU")
    options = parser.parse_args()
    if options.epochs < 2 or options.faces < options.batch_size:
        parser.error("expected at least two epochs, and the faces of one batch")
    config = TrainingConfig(
        epochs=options.epochs,
        batch_size=options.batch_size,
        image_size=options.image_size,
        head=Head(options.head),
        device=Device(options.device),
    )
    arithmetic = arithmetic_for(config.device)
    feeds = feeds_for(*faces_at_random(options.faces, options.image_size), arithmetic.device)
    if options.streamed:
        feeds = (replace(feeds[0], resident_nhwc=None), replace(feeds[1], resident_nhwc=None))
    top, step_ms = ceiling(config, arithmetic, feeds[0], steps=options.steps)
    epochs = loop(config, arithmetic, feeds)
    seconds = sum(epoch.seconds for epoch in epochs)
    reached = sum(epoch.faces for epoch in epochs) / seconds
    waiting = sum(epoch.waited_seconds for epoch in epochs) / seconds
    on_gpu = arithmetic.device.type == "cuda"
    name = torch.cuda.get_device_name(arithmetic.device) if on_gpu else "CPU"
    where = "on the GPU" if feeds[0].resident_nhwc is not None else "in memory"
    print(
        "| machine | arithmetic | head | pixels | batch | faces lie | step | ceiling | loop | ",
        end="",
    )
    print("of the ceiling | waiting for faces |\n|" + "---|" * 11)
    print(
        f"| {name}, {torch.get_num_threads()} threads | {arithmetic.name} | {config.head.value} "
        f"| {config.image_size} | {config.batch_size} | {where} | {step_ms:.1f} ms "
        f"| {top:,.0f}/s | {reached:,.0f}/s | {reached / top:.1%} | {waiting:.2%} |"
    )
    good = reached >= LEAST_OF_CEILING * top if on_gpu else waiting < MOST_WAITING
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""One process of two: gradients, statistics and a few steps on its part of a batch.

    python together_statistics.py OUT [cuda]

Everything is in float64, where the same sums in another order differ by 1e-15 and a wrong formula
by far more. With `cuda` both share one GPU, which only gloo allows, not nccl.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import FerModel, seeded_model
from edge_arm.training import learner as learner_module
from edge_arm.training.arithmetic import Arithmetic
from edge_arm.training.distributed import World, joined, launched_world
from edge_arm.training.learner import Learner, learner_for
from edge_arm.training.training_config import TrainingConfig

CPU = torch.device("cpu")
FACES, STEPS = 7, 2
SIZES = {Head.ARM: 96, Head.SA: 32}
"""The smallest that the heads take."""


def learner(world: World, head: Head, device: torch.device) -> Learner:
    """The real model in float64."""
    size = SIZES[head]
    config = TrainingConfig(head=head, image_size=size, batch_size=FACES, learning_rate=1e-4)
    model = seeded_model(ModelConfig(3, size, head), 0).double()
    return learner_for(model, config, Arithmetic(device, mixed=False), world)


def results(world: World, head: Head, device: torch.device = CPU) -> dict[str, Tensor]:
    """Every gradient after the first step, and all weights and buffers after the last."""
    rng = np.random.default_rng(0)
    one = learner(world, head, device)
    one.model.train()
    found: dict[str, Tensor] = {}
    loss_sums = []
    for step in range(STEPS):
        x = torch.from_numpy(rng.normal(0.3, 1.0, (FACES, 3, SIZES[head], SIZES[head]))).to(device)
        targets = torch.from_numpy(rng.integers(0, 3, FACES)).to(device)
        part = world.part(FACES)
        loss = one.step(x[part], targets[part], faces=FACES)
        loss_sums.append(world.summed([float(loss)])[0])
        if step == 0:
            found |= {f"gradient.{name}": p.grad.clone() for name, p in named(one.model)}
    found |= {name: value.clone() for name, value in one.model.state_dict().items()}
    found["loss_sums"] = torch.tensor(loss_sums, dtype=torch.float64)
    return {name: value.cpu() for name, value in found.items()}


def named(model: FerModel) -> list[tuple[str, torch.nn.Parameter]]:
    """Every parameter, which has a gradient."""
    return [(name, p) for name, p in model.named_parameters() if p.grad is not None]


if __name__ == "__main__":
    here, place = launched_world(), CPU
    if "cuda" in sys.argv:
        place = torch.device("cuda", 0)
        learner_module.step_group = lambda _: dist.new_group(backend="gloo")
    with joined(here):
        both = {head.value: results(here, head, place) for head in SIZES}
        torch.save(both, f"{sys.argv[1]}.{here.rank}")

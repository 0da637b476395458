"""The model, its optimizer, and how a step reaches all processes that train it.

With one process this is the model itself. With several, batch statistics are the global batch's
(edge_arm.model.global_statistics) and DistributedDataParallel averages the gradients while they
are computed, so that every process makes the same step from the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edge_arm.model.fer_model import FerModel
from edge_arm.model.global_statistics import with_global_statistics
from edge_arm.training.arithmetic import Arithmetic
from edge_arm.training.distributed import World, step_group
from edge_arm.training.resume_state import Identity, Position, restore_state
from edge_arm.training.training_config import TrainingConfig

# Buffers are the same everywhere, being of the global batch, so no step has to send them around.
# PyTorch 2.13 renamed the option and warns of its old name.
_NO_BUFFERS: dict[str, Any] = {
    name: False
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
}
if len(_NO_BUFFERS) > 1:
    del _NO_BUFFERS["broadcast_buffers"]


@dataclass(frozen=True)
class Learner:
    """What learns. Its state changes with every step.

    Attributes:
        model: the weights and buffers; alike in every process between two steps.
        stepped: computes as `model` does, and gathers the gradients where there are several.
        optimizer: of the parameters.
        arithmetic: of the steps.
        world: the processes.
    """

    model: FerModel
    stepped: nn.Module
    optimizer: torch.optim.Optimizer
    arithmetic: Arithmetic
    world: World

    def step(self, x: Tensor, targets: Tensor, *, faces: int) -> Tensor:
        """Learn from one batch.

        Args:
            x: (B, 3, S, S) float32, augmented and normalised; this process's faces.
            targets: (B,) int64.
            faces: of the global batch.

        Returns:
            The sum of this process's faces' losses, on the device, so that a GPU need not be
            waited for.
        """
        self.optimizer.zero_grad(set_to_none=True)
        with self.arithmetic.autocast():
            logits = self.stepped(x)  # (B, C)
        loss = F.cross_entropy(logits, targets)
        # The mean over the global batch, whose parts may differ by a face: each process's mean
        # counts by its faces, and the averaging divides by the number of processes.
        weight = len(targets) * self.world.size / faces
        (loss * weight).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach() * len(targets)


def learner_for(
    model: FerModel, config: TrainingConfig, arithmetic: Arithmetic, world: World
) -> Learner:
    """A model ready to learn.

    Args:
        model: as it was initialised, alike in every process; changed in place.
        config: the recipe.
        arithmetic: device and precision.
        world: the processes.
    """
    device = arithmetic.device
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Fused: the loop over 62 tensors costs 5 per cent of a step on a small CPU.
    optimizer = torch.optim.Adam(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    stepped: nn.Module = model
    if world.size > 1:
        group = step_group(device)
        stepped = DistributedDataParallel(
            with_global_statistics(model, group),
            device_ids=[device] if device.type == "cuda" else None,
            process_group=group,
            **_NO_BUFFERS,
        )
    return Learner(model, stepped, optimizer, arithmetic, world)


def restored(
    learner: Learner, path: Path, identity: Identity
) -> tuple[Position, dict[str, Tensor]]:
    """Put a learner where an interrupted training was, in every process.

    The first process reads the file; the others, which may be on machines that do not have it,
    take over what it read.

    Args:
        learner: changed in place.
        path: of the state.
        identity: of the training that wants to go on.

    Returns:
        How far it is, and in the first process the weights of the best epoch (empty before the
        first, and in the other processes).

    Raises:
        CheckpointError: if the file is broken or of another training.
    """
    world, model, optimizer = learner.world, learner.model, learner.optimizer
    position, best_state = Position(), dict[str, Tensor]()
    if world.is_first:
        position, best_state = restore_state(path, identity, model=model, optimizer=optimizer)
    position = world.of_first(position)
    world.take_over(model.state_dict().values())
    if world.of_first(bool(optimizer.state)):
        for parameter in model.parameters():
            averages = optimizer.state[parameter]
            if not averages:
                averages["step"] = torch.zeros((), device=parameter.device)
                averages["exp_avg"] = torch.zeros_like(parameter)
                averages["exp_avg_sq"] = torch.zeros_like(parameter)
            world.take_over(averages[name] for name in ("step", "exp_avg", "exp_avg_sq"))
    return position, best_state

"""The loop: from a model and calibrated ranges to weights and ranges that answer as FP32 does.

The teacher is the model itself in float: what is learned is to answer as before, in spite of the
rounding. Labels would teach the training faces once more, and every answer that they change is one
that nobody asked for.

Weights and ranges learn together. The epoch with the smallest divergence from FP32 on the
validation faces is kept; that may be none.

Shapes: N faces, B batch, S input size, C classes.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge_arm.model.checkpoint import Checkpoint, model_from_checkpoint
from edge_arm.model.fer_model import FerModel
from edge_arm.quantization_aware.agreement import Agreement, agreement, divergence, logits_of
from edge_arm.quantization_aware.calibrated_ranges import calibrated_ranges
from edge_arm.quantization_aware.config import CALIBRATION_FACES, RANGE_RATE, QatConfig
from edge_arm.quantization_aware.network import QuantizedNetwork
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.augmentation import Places, augmented
from edge_arm.training.decoded_faces import DecodedFaces
from edge_arm.training.epoch import batches_of_epoch
from edge_arm.training.interruption import Interruption, interruption
from edge_arm.training.samplers import FaceOrder, Sampler

UNSCALED = (1 / 255, 1 / 255, 1 / 255)
"""The standard deviation with which augmented faces stay pixels minus the mean."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Everything that does not change while it runs.

    Attributes:
        config: how.
        start: the model in float.
        device: where.
        train: faces to learn from.
        validation: faces that choose the epoch.
        progress: called with the number of faces done since the last call; see `num_steps`.
    """

    config: QatConfig
    start: Checkpoint
    device: torch.device
    train: DecodedFaces
    validation: DecodedFaces
    progress: Callable[[int], None]

    @property
    def spec(self) -> PreprocessSpec:
        """The model's input."""
        return self.start.preprocess

    def logits(self, network: Callable[[Tensor], Tensor]) -> Tensor:
        """What a network answers to the validation faces.

        Args:
            network: (B, 3, S, S) pixels minus the mean to (B, C).

        Returns:
            (N, C) float32 on the CPU.
        """
        return logits_of(network, self.validation, self.spec, self.device, progress=self.progress)


@dataclass(frozen=True)
class Learned:
    """The epoch that was kept, on the validation faces.

    Attributes:
        state: of the model, on the CPU.
        amax: range by ONNX tensor.
        epoch: counted from 1; 0 if none was better than the start.
        before: the start, calibrated and nothing learned, beside the FP32 model.
        after: the epoch beside the FP32 model that it started from.
        own: the epoch beside its own weights in float.
        drift: its own weights in float beside the FP32 model that it started from.
        interrupted: true if somebody stopped it before the last epoch was measured.
    """

    state: dict[str, Tensor]
    amax: dict[str, float]
    epoch: int
    before: Agreement
    after: Agreement
    own: Agreement
    drift: Agreement
    interrupted: bool


def num_steps(train_faces: int, validation_faces: int, config: QatConfig) -> int:
    """What the progress of a run adds up to."""
    validations = config.epochs + 3  # the teacher, the start, each epoch, the result in float
    return (
        min(CALIBRATION_FACES, train_faces)
        + config.epochs * train_faces
        + validations * validation_faces
    )


def learned_from(run: Run) -> Learned:
    """Fine-tune, and keep the best epoch.

    Raises:
        CalibrationError: if a tensor has no usable range.
        UsageError: if it diverges, or Model Optimizer is not installed.
    """
    network = QuantizedNetwork(model_from_checkpoint(run.start), run.spec).to(run.device)
    network.set_ranges(
        calibrated_ranges(
            network, run.train, run.spec, num_faces=CALIBRATION_FACES, progress=run.progress
        )
    )
    teacher = _float_network(model_from_checkpoint(run.start).to(run.device), run.spec)
    targets = run.validation.targets
    with interruption() as stop:
        reference = run.logits(teacher)
        best_logits = run.logits(network)
        before = agreement(best_logits, reference, targets)
        _log_figures("start, nothing learned", before)
        best, epoch, kept = before, 0, copy.deepcopy(network)
        optimizer = _optimizer(run, network)
        for number in range(run.config.epochs):
            _epoch(run, network, teacher, optimizer, number, stop=stop)
            if stop.requested:
                break
            logits = run.logits(network)
            found = agreement(logits, reference, targets)
            improved = found.mean_kl < best.mean_kl
            remark = " (best)" if improved else ""
            _log_figures(f"epoch {number + 1}/{run.config.epochs}", found, remark)
            if improved:
                best, epoch, best_logits = found, number + 1, logits
                kept = copy.deepcopy(network)
        in_float = run.logits(_float_network(kept.model, run.spec))
    return Learned(
        state={name: value.detach().cpu() for name, value in kept.model.state_dict().items()},
        amax=kept.ranges(),
        epoch=epoch,
        before=before,
        after=best,
        own=agreement(best_logits, in_float, targets),
        drift=agreement(in_float, reference, targets),
        interrupted=stop.requested,
    )


def _epoch(
    run: Run,
    network: QuantizedNetwork,
    teacher: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    number: int,
    *,
    stop: Interruption,
) -> None:
    config = run.config
    order = FaceOrder(Sampler.NATURAL, run.train.targets, config.seed).order(number)
    batches = batches_of_epoch(order, config.batch_size)
    total = config.epochs * len(batches)
    unscaled = replace(run.spec, std=UNSCALED)
    loss_sum = torch.zeros((), dtype=torch.float64, device=run.device)
    done = 0
    for step, positions in enumerate(batches):
        share = (number * len(batches) + step) / total
        for group in optimizer.param_groups:
            group["lr"] = group["first_lr"] * (1 + math.cos(math.pi * share)) / 2
        images, _ = run.train.batch(positions, run.device)
        places = Places(config.seed, number, np.arange(done, done + len(positions)))
        done += len(positions)
        x = augmented(images, unscaled, places).contiguous()
        with torch.no_grad():
            reference = teacher(x)
        loss = divergence(network(x), reference).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss_sum += loss.detach() * len(positions)
        run.progress(len(positions))
        if stop.requested:
            return
    mean = float(loss_sum) / len(run.train)
    if not math.isfinite(mean) or min(network.ranges().values()) <= 0:
        raise UsageError(
            f"the loss of epoch {number + 1} is {mean} and the smallest range "
            f"{min(network.ranges().values())}, expected finite numbers and ranges greater than 0; "
            "fine-tune again with a lower --lr"
        )


def _optimizer(run: Run, network: QuantizedNetwork) -> torch.optim.Optimizer:
    # A range of 150 and one of 5 must not move by the same number, so each has a rate of its own.
    groups: list[dict[str, Any]] = [
        {"params": list(network.model.parameters()), "first_lr": run.config.learning_rate}
    ]
    groups += [
        {"params": [quantizer.amax], "first_lr": RANGE_RATE * float(quantizer.amax.detach())}
        for quantizer in network.quantizers.values()
    ]
    return torch.optim.Adam([{**group, "lr": group["first_lr"]} for group in groups])


def _float_network(model: FerModel, spec: PreprocessSpec) -> Callable[[Tensor], Tensor]:
    device = next(model.parameters()).device
    std = torch.tensor([255 * value for value in spec.std], device=device)[:, None, None]

    def network(centred: Tensor) -> Tensor:
        logits: Tensor = model(centred / std)
        return logits

    return network


def _log_figures(what: str, found: Agreement, remark: str = "") -> None:
    _log.info(
        "%s: %d of %d validation answers changed, divergence %.6f, accuracy %.4f%s",
        what,
        found.flips,
        found.faces,
        found.mean_kl,
        found.accuracy,
        remark,
    )

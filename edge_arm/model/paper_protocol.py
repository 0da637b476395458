"""How the authors' public code answers: with the mean of the batch, at inference too.

Only for measuring what published figures were made with. Nothing that answers a user may call
this: the logits of a face depend on the other faces of its batch, and a face that is alone in its
batch gets `unique + alpha * unique`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.errors import UsageError


def paper_protocol_logits(model: FerModel, x: Tensor) -> Tensor:
    """Logits with the batch's own mean in place of the stored average.

    Args:
        model: with the ARM head, in evaluation mode.
        x: (N, 3, S, S) float, normalised; N and the other faces change the result.

    Returns:
        (N, C).

    Raises:
        UsageError: if the model has no ARM, or is training.
    """
    if model.arm is None:
        raise UsageError(
            "got a model with the head 'pool', expected 'arm'; "
            "the paper protocol exists only for ARM, so measure this model as it is"
        )
    if model.training:
        raise UsageError(
            "got a model in training mode, expected evaluation mode; call model.eval() first"
        )
    with torch.no_grad():
        unique = model.arm.unique(model.backbone(x))  # (N, g, g)
        logits: Tensor = model.fc(model.arm.share(unique, unique.mean(dim=0)))
    return logits

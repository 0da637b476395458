"""How the authors' public code answers: with the mean of the batch, at inference too.

Only for measuring what published figures were made with. Nothing that answers a user may call
this: the logits of a face depend on the other faces of its batch, and a face that is alone in its
batch gets `unique + alpha * unique`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.baselines import SharedPart
from edge_arm.runtime.errors import UsageError


def paper_protocol_logits(model: FerModel, x: Tensor) -> Tensor:
    """Logits with the batch's own mean in place of the stored average.

    Args:
        model: with a head that shares, ARM or its part, in evaluation mode.
        x: (N, 3, S, S) float, normalised; N and the other faces change the result.

    Returns:
        (N, C).

    Raises:
        UsageError: if the model shares nothing, or is training.
    """
    sharing = model.sharing
    if sharing is None:
        raise UsageError(
            f"got a model with the head {model.config.head.value!r}, expected 'arm'; "
            "the paper protocol exists only for ARM, so measure this model as it is"
        )
    if model.training:
        raise UsageError(
            "got a model in training mode, expected evaluation mode; call model.eval() first"
        )
    with torch.no_grad():
        unique = sharing.unique(model.backbone(x))  # (N, g, g), or (N, 512)
        logits: Tensor = model.fc(sharing.share(unique, unique.mean(dim=0)))
    return logits


def shared_part_of(model: FerModel) -> SharedPart | None:
    """What the FP32 baselines need of a model, see runtime/baselines.py.

    Args:
        model: of any head.

    Returns:
        None for a model that shares nothing, which has one protocol only.
    """
    sharing = model.sharing
    if sharing is None:
        return None
    with torch.no_grad():
        stored = model.fc.weight.double() @ sharing.generic.double().flatten()
    return SharedPart(
        alpha=float(sharing.alpha.detach()),
        stored=stored.cpu().numpy(),
        bias=model.fc.bias.detach().double().cpu().numpy(),
    )

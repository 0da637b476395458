"""Reads the few numbers of a checkpoint that the FP32 baselines need, without PyTorch.

Importing PyTorch takes as long as measuring some hundred faces, and a bundle says by its hash
which checkpoint is its own: the export has checked that very file, so nothing is checked here but
the hash.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from edge_arm.runtime.baselines import SharedPart
from edge_arm.runtime.errors import CheckpointError


def shared_part_from_checkpoint(path: Path, *, expected_sha256: str) -> SharedPart | None:
    """What ARM adds to every face.

    Args:
        path: of the checkpoint that a bundle was exported from.
        expected_sha256: of that checkpoint, as in the bundle's manifest.

    Returns:
        None for a model without ARM, which has one protocol only.

    Raises:
        CheckpointError: if it cannot be read or is another one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {str(path)!r} ({error.strerror}), expected the one that "
            "the bundle was exported from; name it with --checkpoint, or leave that out"
        ) from error
    actual = sha256(content).hexdigest()
    if actual != expected_sha256:
        raise CheckpointError(
            f"the checkpoint {str(path)!r} has SHA-256 {actual[:12]}..., expected "
            f"{expected_sha256[:12]}..., which the bundle was exported from; name that one with "
            "--checkpoint, or export this one"
        )
    try:
        state = safetensors.numpy.load(content)
        if "arm.alpha" not in state:
            return None
        weight = state["fc.weight"].astype(np.float64)  # (C, g * g)
        return SharedPart(
            alpha=float(state["arm.alpha"]),
            stored=weight @ state["arm.generic"].astype(np.float64).ravel(),
            bias=state["fc.bias"].astype(np.float64),
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{str(path)!r} has not the parameters of a model by edge-arm ({error}), expected a "
            "checkpoint written by 'edge-arm train'; export the bundle again"
        ) from error

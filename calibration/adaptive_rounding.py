"""Weights rounded so that a layer's output errs least, not each weight by itself.

Rounding to nearest takes each weight's error as if it stood alone. But the errors of a row meet
in one sum over an input patch x, and their expected square is (w - q)' H (w - q), H = E[x x'] of
the patches. So weights are rounded one after the other, and what one rounding leaves is taken up
by those that are still free (E. Frantar et al., GPTQ, ICLR 2023: the closed form of what AdaRound,
M. Nagel et al., ICML 2020, learns by gradient descent, on the same layer-wise objective). The
result is ordinary int8: nothing changes for TensorRT.

Shapes: O output channels, K weights of a row, B columns of a block.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_arm.calibration.ranges import QMAX
from edge_arm.runtime.errors import CalibrationError

DAMPING = 0.01
"""Added to the diagonal of H, as a share of its mean: patches that no calibration face showed."""
_BLOCK = 128


def adaptive_steps(
    weight: npt.NDArray[np.float32],
    covariance: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float32],
) -> npt.NDArray[np.int8]:
    """Round a weight for the patches it will meet.

    Args:
        weight: (O, K) float32.
        covariance: (K, K) of the input patches.
        scale: (O,) of each row, the row's largest |w| by 127.

    Returns:
        (O, K) int8 in -127..127. The largest |w| of a row stays at 127 steps, so that who derives
        the scale from the rounded weight finds the same.

    Raises:
        CalibrationError: if the covariance is not finite.
    """
    if not np.isfinite(covariance).all():
        raise CalibrationError(
            "the inputs of a layer have NaN or infinite second moments, expected numbers; the "
            "FP32 model is broken on the calibration faces: train or export it again"
        )
    damped = covariance.copy()
    diagonal = np.diagonal(damped)
    mean = diagonal.mean()
    damped[np.diag_indices_from(damped)] += DAMPING * mean if mean > 0 else 1.0
    # The patches' strongest directions first: their errors have the most others to be taken up by.
    order = np.argsort(-diagonal, kind="stable")
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    # Upper factor U of the inverse, U' U: row j says how what weight j leaves spreads to the rest.
    spread = np.linalg.cholesky((inverse + inverse.T) / 2).T
    left = weight[:, order].astype(np.float64)
    per_row = scale.astype(np.float64)
    pinned = np.abs(left).argmax(axis=1)
    steps = np.empty(left.shape, np.int8)
    for start in range(0, left.shape[1], _BLOCK):
        stop = min(start + _BLOCK, left.shape[1])
        block, inner = left[:, start:stop], spread[start:stop, start:stop]
        errors = np.empty_like(block)
        for column in range(stop - start):
            values = block[:, column]
            rounded = np.clip(np.rint(values / per_row), -QMAX, QMAX)
            top = pinned == start + column
            rounded[top] = np.where(weight[top][:, order[start + column]] < 0, -QMAX, QMAX)
            steps[:, start + column] = rounded
            error = (values - rounded * per_row) / inner[column, column]
            block[:, column:] -= np.outer(error, inner[column, column:])
            errors[:, column] = error
        left[:, stop:] -= errors @ spread[start:stop, stop:]
    adaptive = np.empty_like(steps)
    adaptive[:, order] = steps
    nearest = np.clip(np.rint(weight / scale[:, np.newaxis]), -QMAX, QMAX).astype(np.int8)
    better = _errors(weight, nearest, covariance, scale) < _errors(
        weight, adaptive, covariance, scale
    )
    # It never goes back on a decision: a short row with few directions can end worse than nearest.
    return np.where(better[:, np.newaxis], nearest, adaptive)


def _errors(
    weight: npt.NDArray[np.float32],
    steps: npt.NDArray[np.int8],
    covariance: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    apart = weight.astype(np.float64) - steps * scale[:, np.newaxis].astype(np.float64)
    errors: npt.NDArray[np.float64] = ((apart @ covariance) * apart).sum(axis=1)
    return errors

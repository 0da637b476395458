"""Three FP32 accuracies from one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edge_arm.runtime.baselines import Protocol, SharedPart, fp32_baselines, paper_logits
from edge_arm.runtime.predictions import Predictions

Make = Callable[..., Predictions]


def test_the_shift_is_the_one_of_the_definition() -> None:
    """u, G, W and b are written down here; z and the paper's logits follow from the definition."""
    rng = np.random.default_rng(3)
    unique, generic = rng.normal(size=(7, 6)), rng.normal(size=6)
    weight, bias, alpha = rng.normal(size=(3, 6)), rng.normal(size=3), 0.6
    shipped = (unique + alpha * generic) @ weight.T + bias
    expected = np.concatenate(
        [(part + alpha * part.mean(axis=0)) @ weight.T + bias for part in (unique[:4], unique[4:])]
    )
    shared = SharedPart(alpha, weight @ generic, bias)
    # float32 logits of about 3
    np.testing.assert_allclose(
        paper_logits(shipped.astype(np.float32), shared, 4), expected, rtol=0, atol=2e-6
    )


def test_a_sorted_list_flatters_the_paper_protocol_and_shuffling_shows_it(
    predictions_from_answers: Make,
) -> None:
    # 64 faces of each of two classes, in that order: the mean of a batch gives its class away.
    targets = np.repeat([0, 1], 64)
    rng = np.random.default_rng(1)
    logits = np.zeros((128, 3))
    logits[np.arange(128), targets] = 0.5
    logits[:, :2] += rng.normal(size=(128, 2))
    reference = replace(
        predictions_from_answers(targets.tolist(), targets.tolist()),
        logits=logits.astype(np.float32),
    )
    shared = SharedPart(3.0, np.zeros(3), np.zeros(3))
    paper, shuffled, deployable = fp32_baselines(reference, shared)
    assert [item.protocol for item in (paper, shuffled, deployable)] == list(Protocol)
    assert paper.num_right > deployable.num_right + 10
    assert abs(shuffled.num_right - deployable.num_right) < 10
    assert deployable.num_right == int((logits[:, :].argmax(axis=1) == targets).sum())


def test_the_batch_is_the_authors_and_the_interval_wilsons(predictions_from_answers: Make) -> None:
    from scipy import stats

    reference = predictions_from_answers([0, 1, 2, 2], [0, 1, 2, 1])
    found = fp32_baselines(reference, SharedPart(0.0, np.ones(3), np.ones(3)))
    assert [item.batch_size for item in found] == [64, 64, 32]
    assert [item.num_right for item in found] == [3, 3, 3]  # alpha 0: nothing is shared
    assert found[0].accuracy == 0.75
    low = stats.binomtest(3, 4).proportion_ci(0.95, method="wilson").low
    assert found[0].interval.low == pytest.approx(low, rel=1e-9)

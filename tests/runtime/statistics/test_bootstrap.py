from __future__ import annotations

import numpy as np
import pytest

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics import MacroDrop, macro_drop
from edge_arm.runtime.statistics.bootstrap import NUM_RESAMPLES


def make_answers(seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(4), [60, 30, 20, 90])
    reference = np.where(rng.random(200) < 0.85, targets, rng.integers(0, 4, 200))
    candidate = np.where(rng.random(200) < 0.90, reference, rng.integers(0, 4, 200))
    return targets, reference, candidate


def drop_of(seed: int, confidence: float = 0.95) -> MacroDrop:
    return macro_drop(
        *make_answers(),
        num_classes=4,
        rng=np.random.default_rng(seed),
        confidence=confidence,
    )


def recall_and_f1_by_loops(targets: list[int], answers: list[int]) -> tuple[float, float]:
    recalls, scores = [], []
    for label in sorted(set(targets)):
        pairs = list(zip(targets, answers, strict=True))
        hits = sum(t == label == a for t, a in pairs)
        missed = sum(t == label != a for t, a in pairs)
        extra = sum(t != label == a for t, a in pairs)
        recalls.append(hits / (hits + missed))
        scores.append(2 * hits / (2 * hits + missed + extra))
    return sum(recalls) / len(recalls), sum(scores) / len(scores)


def test_the_drops_are_the_differences_of_the_scores() -> None:
    targets, reference, candidate = (array.tolist() for array in make_answers())
    before = recall_and_f1_by_loops(targets, reference)
    after = recall_and_f1_by_loops(targets, candidate)
    drop = drop_of(0)
    assert drop.mean_class_accuracy == pytest.approx(before[0] - after[0], abs=1e-12)
    assert drop.macro_f1 == pytest.approx(before[1] - after[1], abs=1e-12)


def test_the_intervals_are_those_of_faces_drawn_one_by_one_within_each_class() -> None:
    targets, reference, candidate = make_answers()
    rng = np.random.default_rng(5)
    faces_of = [np.flatnonzero(targets == label) for label in range(4)]
    drops = []
    for _ in range(600):
        drawn = np.concatenate([rng.choice(faces, faces.size) for faces in faces_of])
        truth = targets[drawn].tolist()
        before = recall_and_f1_by_loops(truth, reference[drawn].tolist())
        after = recall_and_f1_by_loops(truth, candidate[drawn].tolist())
        drops.append((before[0] - after[0], before[1] - after[1]))
    low, high = np.quantile(np.array(drops), [0.025, 0.975], axis=0)

    drop = drop_of(0)
    assert drop.mean_class_accuracy_interval is not None
    assert drop.macro_f1_interval is not None
    # 600 draws know a 2.5 % quantile to about a tenth of the interval's half width (0.035).
    ours = (drop.mean_class_accuracy_interval, drop.macro_f1_interval)
    assert [interval.low for interval in ours] == pytest.approx(low.tolist(), abs=0.008)
    assert [interval.high for interval in ours] == pytest.approx(high.tolist(), abs=0.008)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    assert drop_of(1) == drop_of(1)
    assert drop_of(1) != drop_of(2)


def test_less_confidence_is_a_narrower_interval() -> None:
    usual, narrow = drop_of(1).macro_f1_interval, drop_of(1, 0.8).macro_f1_interval
    assert usual is not None
    assert narrow is not None
    assert usual.low < narrow.low < narrow.high < usual.high


def test_models_that_answer_alike_have_no_interval_instead_of_certainty() -> None:
    targets, reference, _ = make_answers()
    drop = macro_drop(targets, reference, reference, num_classes=4, rng=np.random.default_rng(0))
    assert drop == MacroDrop(0.0, None, 0.0, None)


def test_a_class_without_faces_does_no_harm() -> None:
    targets, reference, candidate = make_answers()
    with_one_more = macro_drop(
        targets, reference, candidate, num_classes=5, rng=np.random.default_rng(1)
    )
    assert with_one_more == drop_of(1)


def test_a_confidence_that_leaves_no_resamples_beyond_a_limit_is_refused() -> None:
    with pytest.raises(UsageError, match=rf"at most 0\.995 for {NUM_RESAMPLES} resamples"):
        drop_of(0, confidence=0.998)

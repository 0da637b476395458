"""Which faces an epoch shows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from edge_arm.training.samplers import FaceOrder, Sampler

# Eleven, four and six faces of three classes, mixed up.
TARGETS = np.array([0, 1, 0, 2, 0, 0, 2, 1, 0, 0, 2, 0, 2, 0, 1, 0, 2, 0, 1, 2, 0], np.int64)


def _order(sampler: Sampler, seed: int = 0) -> FaceOrder:
    return FaceOrder(sampler, TARGETS, seed)


def test_natural_shows_every_face_once() -> None:
    order = _order(Sampler.NATURAL)
    assert len(order) == 21
    assert sorted(order.order(3)) == list(range(21))


def test_mrr_shows_as_many_of_each_class_as_the_rarest_has_and_none_twice() -> None:
    order = _order(Sampler.MRR)
    assert len(order) == 3 * 4
    for epoch in range(20):
        drawn = order.order(epoch)
        assert len(set(drawn.tolist())) == 12
        assert np.bincount(TARGETS[drawn]).tolist() == [4, 4, 4]


def test_mrr_draws_anew_in_every_epoch_and_every_face_with_the_same_chance() -> None:
    order = _order(Sampler.MRR)
    epochs = 4000
    seen = np.zeros(21)
    for epoch in range(epochs):
        seen[order.order(epoch)] += 1
    expected = np.array([4 / 11, 4 / 4, 4 / 6])[TARGETS]
    # 4000 draws: five standard deviations of a share of 4/11 or 4/6 are 0.038
    np.testing.assert_allclose(seen / epochs, expected, rtol=0, atol=0.038)


def test_mrr_mixes_the_classes() -> None:
    first_of_epoch = [TARGETS[_order(Sampler.MRR).order(epoch)[0]] for epoch in range(900)]
    # 300 each expected; five standard deviations are 71
    np.testing.assert_allclose(np.bincount(first_of_epoch), 300, atol=71)


def test_balanced_shows_every_class_equally_often_and_is_as_long_as_the_set() -> None:
    order = _order(Sampler.BALANCED)
    assert len(order) == 21
    repeated = 0
    for epoch in range(20):
        drawn = order.order(epoch)
        assert np.bincount(TARGETS[drawn]).tolist() == [7, 7, 7]
        repeated += len(set(drawn.tolist())) < 21
    assert repeated == 20, "seven of four faces cannot all be different"


def test_what_does_not_divide_goes_to_other_classes_in_every_epoch() -> None:
    order = FaceOrder(Sampler.BALANCED, TARGETS[:20], 0)
    counts = [np.bincount(TARGETS[order.order(epoch)]).tolist() for epoch in range(40)]
    assert all(sorted(count) == [6, 7, 7] for count in counts)
    assert {count.index(6) for count in counts} == {0, 1, 2}


@pytest.mark.parametrize("sampler", Sampler)
def test_the_order_follows_from_seed_and_epoch_alone(sampler: Sampler) -> None:
    first, again = (_order(sampler).order(5).tolist() for _ in range(2))
    assert first == again
    assert first != _order(sampler).order(6).tolist()
    assert first != _order(sampler, seed=1).order(5).tolist()


def test_another_process_finds_the_same_order() -> None:
    program = (
        "import numpy as np; from edge_arm.training.samplers import FaceOrder, Sampler;"
        f"order = FaceOrder(Sampler.MRR, np.array({TARGETS.tolist()}), 7);"
        "print(order.order(2).tolist())"
    )
    got = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert got.stdout.strip() == str(_order(Sampler.MRR, seed=7).order(2).tolist())


def test_affectnets_epoch_is_as_long_as_its_rarest_expression_times_eight() -> None:
    counts = [74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750]
    targets = np.repeat(np.arange(8), counts)
    assert len(FaceOrder(Sampler.MRR, targets, 0)) == 8 * 3750
    assert len(FaceOrder(Sampler.MRR, targets, 0).order(0)) == 30_000

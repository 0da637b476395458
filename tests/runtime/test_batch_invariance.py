"""A model that looks at a face's neighbours is caught in whatever way it does it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_arm.runtime.backend import BackendInfo, Float32Array
from edge_arm.runtime.batch_invariance import (
    AsMeasured,
    InvarianceCheck,
    PixelKeeper,
    check_invariance,
    invariance_limit,
    invariance_positions,
)
from edge_arm.runtime.batches import FaceBatch
from edge_arm.runtime.errors import InferenceError, UsageError
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.preprocess import Uint8Array

SIZE = 4


def colors(images_nhwc: Uint8Array) -> Float32Array:
    """(N, 3): mean red, green and blue as 0..1, the logits of an honest model."""
    return (images_nhwc.mean(axis=(1, 2)) / 255.0).astype(np.float32)


class Model:
    """Answers what a function of the batch says, and remembers the sizes of its batches."""

    def __init__(
        self, logits: Callable[[Uint8Array], Float32Array], name: str = "onnxruntime/cpu"
    ) -> None:
        self.info = BackendInfo(name, "1", "f" * 64, 10, SIZE, 3)
        self.batches: list[int] = []
        self._logits = logits

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        self.batches.append(len(images_nhwc))
        return self._logits(images_nhwc)

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exception: object) -> None: ...


def faces(count: int) -> Uint8Array:
    rng = np.random.default_rng(5)
    return rng.integers(1, 256, (count, 1, 1, 3), np.uint8).repeat(SIZE, 1).repeat(SIZE, 2)


def check(logits: Callable[[Uint8Array], Float32Array], count: int = 64) -> list[InvarianceCheck]:
    return list(check_invariance(Model(logits), faces(count), precision=Precision.FP32))


def failed(checks: list[InvarianceCheck]) -> set[str]:
    return {item.arrangement for item in checks if not item.holds}


FILLED = "batch 64, faces twice, rest black"
ALL = {
    "batch 8",
    "batch 64, sorted by answer",
    "batch 64, shuffled",
    FILLED,
}


def test_a_model_that_sees_one_face_at_a_time_holds_in_every_arrangement() -> None:
    checks = check(colors)
    assert {item.arrangement for item in checks} == ALL
    assert all(item.holds and item.max_logit_difference == 0.0 for item in checks)
    assert {item.changed_answers for item in checks} == {0}


def test_the_batch_mean_of_the_authors_code_fails_everywhere() -> None:
    checks = check(lambda batch: colors(batch) + 10 * colors(batch).mean(axis=0))
    assert failed(checks) == ALL
    assert any(item.changed_answers for item in checks)


def test_a_model_that_is_wrong_beyond_a_batch_size_is_caught_by_the_large_batches() -> None:
    checks = check(lambda batch: colors(batch) + np.float32(len(batch) > 8))
    assert failed(checks) == ALL - {"batch 8"}


def test_a_model_that_takes_equal_faces_for_one_is_caught_by_the_duplicates() -> None:
    def counted(batch: Uint8Array) -> Float32Array:
        _, which, counts = np.unique(batch, axis=0, return_inverse=True, return_counts=True)
        return colors(batch) * counts[which.ravel()][:, None].astype(np.float32)

    assert failed(check(counted)) == {FILLED}


def test_padding_that_leaks_is_caught_by_the_black_pictures() -> None:
    def leaking(batch: Uint8Array) -> Float32Array:
        return colors(batch) + np.float32(0.1) * np.float32((batch == 0).all(axis=(1, 2, 3)).any())

    assert failed(check(leaking)) == {FILLED}


def test_a_model_that_looks_at_the_face_before_is_caught_by_another_order() -> None:
    def previous(batch: Uint8Array) -> Float32Array:
        return colors(batch) + np.roll(colors(batch), 1, axis=0)

    # Alone, a face is its own neighbour; so even the faces in list order differ from that.
    assert "batch 64, shuffled" in failed(check(previous))


def test_the_move_and_the_changed_answers_are_counted_against_the_faces_one_by_one() -> None:
    images = np.array([[200, 100, 0], [100, 200, 0]], np.uint8)[:, None, None].repeat(SIZE, 1)
    model = Model(lambda batch: colors(batch) * np.float32(-1 if len(batch) == 2 else 1))
    first = check_invariance(model, images.repeat(SIZE, 2), precision=Precision.FP32)[0]
    assert (first.arrangement, first.num_faces, first.changed_answers) == (
        "batch 2, sorted by answer",
        2,
        2,
    )
    # By hand: 200 / 255 becomes -200 / 255; float32 keeps seven digits.
    assert first.max_logit_difference == pytest.approx(400 / 255, rel=1e-6)


def test_the_measured_answers_are_an_arrangement_that_costs_nothing() -> None:
    images, model = faces(8), Model(colors)
    measured = AsMeasured(colors(images) + np.float32(1), batch_size=32)
    first, *others = check_invariance(model, images, precision=Precision.FP32, measured=measured)
    assert (first.arrangement, first.holds) == ("batch 32, as measured", False)
    assert all(item.holds for item in others)
    assert sum(model.batches) == 88  # 8 alone, 2 arrangements of 8, one of 64


def test_an_engine_that_takes_few_faces_gets_no_more() -> None:
    model = Model(colors)
    checks = check_invariance(model, faces(64), precision=Precision.INT8, largest_batch=16)
    assert max(model.batches) == 16
    assert "batch 16, faces twice, rest black" in {item.arrangement for item in checks}


def test_an_engine_of_batch_1_has_no_company_to_check() -> None:
    assert (
        check_invariance(Model(colors), faces(4), precision=Precision.INT8, largest_batch=1) == ()
    )


def test_one_face_is_checked_beside_itself_and_beside_black_pictures() -> None:
    names = [item.arrangement for item in check(colors, count=1)]
    assert names == [FILLED]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_logit_that_is_no_number_never_holds(value: float) -> None:
    def broken(batch: Uint8Array) -> Float32Array:
        return colors(batch) + np.float32(value if len(batch) == 64 else 0)

    assert failed(check(broken)) == ALL - {"batch 8"}


def test_the_limit_depends_on_backend_and_precision_and_grows_with_large_logits() -> None:
    assert invariance_limit("onnxruntime/cpu", Precision.FP32, 6.0) == 1e-4
    assert invariance_limit("onnxruntime/cpu", Precision.FP16, 6.0) == 1e-2
    assert invariance_limit("onnxruntime/cpu", Precision.INT8, 6.0) == 0.1
    assert invariance_limit("onnxruntime/cuda", Precision.FP32, 6.0) == 1e-2
    assert invariance_limit("onnxruntime/cpu", Precision.FP32, 40.0) == pytest.approx(4e-4)


def test_no_faces_are_refused() -> None:
    with pytest.raises(InferenceError, match="got no faces to check batch invariance with"):
        check_invariance(Model(colors), faces(1)[:0], precision=Precision.FP32)


def test_a_largest_batch_of_none_is_refused() -> None:
    with pytest.raises(UsageError, match="got a largest batch of 0, expected at least 1"):
        check_invariance(Model(colors), faces(1), precision=Precision.FP32, largest_batch=0)


@pytest.mark.parametrize(
    ("num_faces", "expected"), [(1, 1), (5, 5), (3068, 8), (10_700, 64), (10**6, 64)]
)
def test_the_sample_is_as_large_as_its_cost_allows(num_faces: int, expected: int) -> None:
    positions = invariance_positions(num_faces)
    assert len(positions) == expected
    assert (np.diff(positions) > 0).all()
    assert positions[-1] < num_faces
    np.testing.assert_array_equal(positions, invariance_positions(num_faces))


def test_pixels_are_kept_in_the_order_of_their_positions() -> None:
    images = faces(10)
    keeper = PixelKeeper(np.array([1, 4, 9]))
    for start in (0, 4, 8):
        part = images[start : start + 4]
        keeper.watch(FaceBatch(start, part, ("",) * len(part)))
    np.testing.assert_array_equal(keeper.images_nhwc, images[[1, 4, 9]])

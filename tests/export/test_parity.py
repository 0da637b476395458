"""The checks themselves: a file that is wrong must not pass them."""

from __future__ import annotations

from types import TracebackType

import numpy as np
import pytest

from edge_arm.export.check_images import CheckImages
from edge_arm.export.parity import batch_checks, head_checks, pytorch_checks
from edge_arm.runtime.backend import Backend, BackendInfo, Float32Array
from edge_arm.runtime.errors import ExportError
from edge_arm.runtime.preprocess import Uint8Array


class _MeanBackend:
    """Logits are mean colours; with `leak` also a share of the whole batch's mean."""

    info = BackendInfo("fake", "0", "", 0, 2, 3)

    def __init__(self, leak: float = 0.0, place: float = 0.0) -> None:
        self._leak, self._place = leak, place

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        colours = images_nhwc.mean(axis=(1, 2)) / 255.0  # (N, 3)
        positions = np.arange(len(colours))[:, None] if len(colours) > 1 else 0.0
        moved = colours + self._leak * colours.mean(axis=0) + self._place * positions
        return moved.astype(np.float32)

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


@pytest.fixture
def images() -> CheckImages:
    pictures = np.random.default_rng(0).integers(0, 256, (12, 2, 2, 3), np.uint8)
    return CheckImages(pictures[:4], pictures[4:9], pictures[9:])


def test_the_figures_are_the_largest_difference_of_each_kind(images: CheckImages) -> None:
    reference = np.zeros((12, 3), np.float32)
    logits = reference.copy()
    logits[1, 2] = 3e-5  # a random picture
    logits[10, 0] = -7e-5  # a real face
    checks = pytorch_checks("model", logits, reference, images)
    assert checks["pytorch_difference_random"] == pytest.approx(3e-5, rel=1e-6)
    assert checks["pytorch_difference_faces"] == pytest.approx(7e-5, rel=1e-6)


def test_a_difference_to_pytorch_above_the_limit_is_refused(images: CheckImages) -> None:
    logits = np.zeros((12, 3), np.float32)
    logits[5, 1] = 2e-4
    with pytest.raises(
        ExportError, match=r"'model' differ from PyTorch \(faces pictures\).*0\.0002"
    ):
        pytorch_checks("model", logits, np.zeros((12, 3), np.float32), images)


def test_the_limit_grows_in_proportion_with_unusually_large_logits(images: CheckImages) -> None:
    reference = np.full((12, 3), 50.0, np.float32)
    pytorch_checks("model", reference + np.float32(4e-4), reference, images)
    with pytest.raises(ExportError, match=r"expected at most 0\.0005"):
        pytorch_checks("model", reference + np.float32(6e-4), reference, images)


def test_infinite_logits_are_refused(images: CheckImages) -> None:
    reference = np.full((12, 3), np.inf, np.float32)
    with pytest.raises(ExportError, match="differ from PyTorch"):
        pytorch_checks("model", np.zeros((12, 3), np.float32), reference, images)


def test_nan_is_refused(images: CheckImages) -> None:
    logits = np.full((12, 3), np.nan, np.float32)
    with pytest.raises(ExportError, match="differ from PyTorch"):
        pytorch_checks("model", logits, np.zeros((12, 3), np.float32), images)


def test_heads_that_disagree_are_refused() -> None:
    with pytest.raises(ExportError, match="differ from the other form of the head"):
        head_checks("model", np.zeros((2, 3), np.float32), np.full((2, 3), 0.1, np.float32))


def test_a_model_that_answers_per_face_passes(images: CheckImages) -> None:
    checks = batch_checks("model", _MeanBackend(), images)
    assert checks == {"batch_1_difference": 0.0, "shuffled_difference": 0.0}


def test_a_model_that_takes_the_batch_mean_is_refused(images: CheckImages) -> None:
    with pytest.raises(ExportError, match="itself on batches of 1"):
        batch_checks("model", _MeanBackend(leak=0.5), images)


def test_a_model_that_depends_on_the_place_in_the_batch_is_refused(images: CheckImages) -> None:
    with pytest.raises(ExportError, match="itself on"):
        batch_checks("model", _MeanBackend(place=0.01), images)

"""Faces are ready before a step asks for them, and the right ones."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from edge_arm.training.decoded_faces import DecodedFaces
from edge_arm.training.feed import Feed, feeds_for

CPU = torch.device("cpu")


@pytest.fixture
def faces() -> DecodedFaces:
    """Six faces of one part, at the odd places of twelve; each pixel says which face it is."""
    stored = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((4, 4, 3), np.uint8)
    rows = np.arange(1, 12, 2)
    return DecodedFaces(stored, rows, rows * 10, "odd")


def test_each_step_gets_its_faces_and_their_targets(faces: DecodedFaces) -> None:
    steps = [np.array([5, 0]), np.array([3]), np.array([1, 2, 4])]
    feed, _ = feeds_for(faces, faces, CPU)
    batches = list(feed.batches(steps))
    assert [targets.tolist() for _, targets in batches] == [[110, 10], [70], [30, 50, 90]]
    assert [images[:, 0, 0, 0].tolist() for images, _ in batches] == [[11, 1], [7], [3, 5, 9]]
    assert batches[2][0].shape == (3, 3, 4, 4)
    assert batches[2][0].is_contiguous(memory_format=torch.channels_last)


def test_faces_that_lie_on_the_device_are_the_same(faces: DecodedFaces) -> None:
    steps = [np.array([5, 0]), np.array([3, 1])]
    resident = Feed(faces, CPU, torch.from_numpy(faces.stored_nhwc))
    for got, wanted in zip(resident.batches(steps), Feed(faces, CPU).batches(steps), strict=True):
        assert torch.equal(got[0], wanted[0])
        assert torch.equal(got[1], wanted[1])


def test_no_steps_are_no_batches(faces: DecodedFaces) -> None:
    assert list(Feed(faces, CPU).batches([])) == []
    assert list(Feed(faces, CPU, torch.from_numpy(faces.stored_nhwc)).batches([])) == []


def test_stopping_early_leaves_no_thread(faces: DecodedFaces) -> None:
    before = threading.active_count()
    with closing(Feed(faces, CPU).batches([np.array([0])] * 50)) as fed:
        next(fed)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_what_goes_wrong_in_the_thread_is_raised_where_it_is_waited_for(
    faces: DecodedFaces,
) -> None:
    broken = replace(faces, rows=np.array([99]))
    with pytest.raises(IndexError), closing(Feed(broken, CPU).batches([np.array([0])])) as fed:
        next(fed)


@pytest.mark.gpu
def test_on_a_gpu_all_ways_give_the_same_faces(faces: DecodedFaces) -> None:
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    gpu = torch.device("cuda", 0)
    steps = [np.array([5, 0]), np.array([3, 1])] * 20
    resident, _ = feeds_for(faces, faces, gpu)
    assert resident.resident_nhwc is not None
    wanted = list(Feed(faces, CPU).batches(steps))
    for feed in (resident, Feed(faces, gpu)):
        got = [(images.cpu(), targets.cpu()) for images, targets in feed.batches(steps)]
        assert all(a[0].equal(b[0]) and a[1].equal(b[1]) for a, b in zip(got, wanted, strict=True))

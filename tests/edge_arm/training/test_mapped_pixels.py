"""Mapping a file of pixels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_arm.training.mapped_pixels import mapped_pixels


def test_a_file_larger_than_the_memory_can_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "pixels"
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    face_bytes = 1024 * 1024 * 3
    faces = 2 * memory_bytes // face_bytes
    with path.open("wb") as file:  # all holes but for the last byte
        file.seek(faces * face_bytes - 1)
        file.write(b"\x07")
    with path.open("rb") as file:
        pixels = mapped_pixels(file, (faces, 1024, 1024, 3))
    assert pixels[0, 0, 0, 0] == 0
    assert pixels[-1, -1, -1].tolist() == [0, 0, 7]


def test_writing_to_the_array_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "pixels"
    path.write_bytes(bytes(range(48)))
    with path.open("rb") as file:
        pixels = mapped_pixels(file, (4, 2, 2, 3))
    tensor = torch.from_numpy(pixels)  # would warn, and so fail, if it were read-only
    tensor[0] = 99
    assert path.read_bytes() == bytes(range(48))
    np.testing.assert_array_equal(pixels[1].ravel(), np.arange(12, 24))


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pixels"
    path.write_bytes(bytes(47))
    with path.open("rb") as file, pytest.raises(ValueError, match="length is greater than file"):
        mapped_pixels(file, (4, 2, 2, 3))

"""The calibration cache as TensorRT reads it."""

from __future__ import annotations

import pytest

from edge_arm.export.engine_calibrator import cache_for_version, tensors_with_ranges
from edge_arm.runtime.errors import EngineError

# 0x3c010204 is 1/127 as a big-endian float32, in the file without its leading zeros.
CACHE = b"TRT-8601-EntropyCalibration2\nbackbone/conv1: 3c010204\na:b: 3c010204\n"


def test_the_header_becomes_the_running_versions_and_the_scales_stay() -> None:
    changed = cache_for_version(CACHE, 100300)
    assert changed.splitlines()[0] == b"TRT-100300-EntropyCalibration2"
    assert changed.splitlines()[1:] == CACHE.splitlines()[1:]


def test_the_tensors_with_a_range_are_named() -> None:
    assert tensors_with_ranges(CACHE) == {"backbone/conv1", "a:b"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n",
        b"TRT-8601-MinMaxCalibration\na: 3c010204\n",
        b"TRT-8601-EntropyCalibration2\n",
    ],
    ids=["empty", "a picture", "another method", "no tensors"],
)
def test_anything_else_is_no_calibration_cache(content: bytes) -> None:
    with pytest.raises(EngineError, match="the calibration cache begins with .* expected the line"):
        cache_for_version(content, 100300)

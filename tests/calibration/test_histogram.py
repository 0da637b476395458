from __future__ import annotations

import numpy as np
import pytest

from edge_arm.calibration import histogram as counting
from edge_arm.calibration.histogram import NUM_BINS, Extremes, Histogram, bin_edges, counted
from edge_arm.runtime.errors import CalibrationError


def histogram_of(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part, "t")
    return histogram


def floor_of(amax: float) -> float:
    """What is smaller counts as zero: 15 octaves below the power of two that amax reaches."""
    return float(2.0 ** (np.floor(np.log2(amax)) - 15))


@pytest.fixture
def values() -> np.ndarray:
    random = np.random.default_rng(0)
    normal = random.standard_normal(20_000) * np.exp(random.standard_normal(20_000))
    normal[:3000] = 0
    return normal.astype(np.float32)


def test_counts_equal_numpys_histogram_over_the_same_edges(values: np.ndarray):
    magnitudes = np.abs(values)
    magnitudes[magnitudes < floor_of(magnitudes.max())] = 0
    expected, _ = np.histogram(magnitudes, bin_edges())
    assert (histogram_of(values).counts == expected).all()


def test_the_extremes_are_exact(values: np.ndarray):
    histogram = histogram_of(values)
    assert (histogram.minimum, histogram.maximum) == (values.min(), values.max())
    assert histogram.amax == np.abs(values).max()


def test_order_and_cutting_change_nothing(values: np.ndarray):
    whole = histogram_of(values)
    shuffled = np.random.default_rng(1).permutation(values)
    parts = histogram_of(*np.array_split(shuffled, [1, 7, 5000, 5001]))
    assert (parts.counts == whole.counts).all()
    assert (parts.minimum, parts.maximum) == (whole.minimum, whole.maximum)


def test_a_bin_is_at_most_a_two_thousandth_of_its_value_wide():
    edges = bin_edges()
    assert len(edges) == NUM_BINS + 1
    # 2^-11, and the float32 edges are exact in float64
    assert (np.diff(edges[1:]) / edges[1:-1]).max() == 2**-11


def test_zeros_and_tiny_values_are_in_the_first_bin():
    histogram = histogram_of(np.array([0.0, -0.0, 1e-42, -(2**-41)], np.float32))
    assert histogram.counts[0] == histogram.counts.sum() == 4


def test_linear_bins_are_close_to_numpys_over_the_raw_values(values: np.ndarray):
    linear = histogram_of(values).linear(2048)
    expected, _ = np.histogram(np.abs(values), 2048, (0, float(np.abs(values).max())))
    assert linear.sum() == len(values)
    assert (linear == np.rint(linear)).all()
    # A value can at most move to the neighbouring bin, so the cumulated counts can differ by what
    # one bin of the exponent grid holds.
    most = histogram_of(values).counts[1:].max()
    assert np.abs(np.cumsum(linear) - np.cumsum(expected)).max() <= most


def test_linear_bins_hold_a_single_value_at_the_end():
    linear = histogram_of(np.array([1.0, 1.0, 4.0], np.float32)).linear(4)
    assert linear.sum() == 3
    assert linear[-1] == 1


def test_nan_is_refused_with_the_tensors_name():
    with pytest.raises(CalibrationError, match="tensor 't' has 1 values that are NaN"):
        histogram_of(np.array([1.0, np.nan], np.float32))


def test_infinity_is_refused():
    with pytest.raises(CalibrationError, match="tensor 't' has 2 values that are infinite"):
        histogram_of(np.array([1.0, np.inf, -np.inf], np.float32))


def test_absurdly_large_values_are_refused():
    with pytest.raises(CalibrationError, match=r"tensor 't' reaches 2e\+07, expected less than 2"):
        histogram_of(np.array([1.0, -2e7], np.float32))


def test_the_largest_allowed_value_is_counted():
    histogram = histogram_of(np.array([np.nextafter(np.float32(2**24), np.float32(0))], np.float32))
    assert histogram.counts[-1] == 1


def numpys_counts(values: np.ndarray, amax: float) -> np.ndarray:
    magnitudes = np.abs(values)
    return np.histogram(np.where(magnitudes < floor_of(amax), 0, magnitudes), bin_edges())[0]


@pytest.mark.parametrize("count", [1, 59_999, 60_000, 200_000])
def test_few_and_many_values_are_counted_alike(count: int):
    # NumPy counts below 60000 values, OpenCV from there on
    values = np.random.default_rng(2).standard_normal(count).astype(np.float32)
    histogram = histogram_of(values)
    assert (histogram.counts == numpys_counts(values, histogram.amax)).all()


def test_more_values_than_float32_counts_exactly_are_counted_in_pieces(
    values: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    whole = histogram_of(values)
    monkeypatch.setattr(counting, "_MOST_AT_ONCE", 3000)
    assert (histogram_of(values).counts == whole.counts).all()


def test_rectified_values_are_those_behind_a_relu(values: np.ndarray):
    behind = histogram_of(np.maximum(values, 0))
    histogram = Histogram()
    histogram.merge(counted(values, "t", Extremes.of(values), rectified=True))
    assert (histogram.counts == behind.counts).all()
    assert (histogram.minimum, histogram.maximum) == (behind.minimum, behind.maximum)


def test_rectified_values_below_zero_are_all_zero():
    histogram = Histogram()
    values = np.array([-3, -0.5, -0.0], np.float32)
    histogram.merge(counted(values, "t", Extremes.of(values), rectified=True))
    assert histogram.counts[0] == histogram.counts.sum() == 3
    assert histogram.amax == 0


def test_values_far_below_the_largest_count_as_zeros_whenever_it_comes():
    small, large = np.array([2.0**-16, 1.0], np.float32), np.array([2.0**15], np.float32)
    later, earlier = histogram_of(small, large), histogram_of(large, small)
    assert (later.counts == earlier.counts).all()
    # 2^15 keeps the octaves from 2^0 on apart
    assert later.counts[0] == 1
    assert (later.counts == numpys_counts(np.concatenate([small, large]), 2.0**15)).all()


def test_a_part_beyond_all_octaves_of_another_is_zero():
    histogram = histogram_of(np.array([2.0**20], np.float32), np.array([2.0**-20], np.float32))
    assert histogram.counts[0] == 1
    assert histogram.counts.sum() == 2


@pytest.mark.parametrize("scale", [2.0**-60, 2.0**-38, 1.0, 2.0**16])
def test_a_histogram_is_the_same_from_its_part(values: np.ndarray, scale: float):
    histogram = histogram_of(values * np.float32(scale))
    again = Histogram()
    again.merge(histogram.as_part())
    assert (again.counts == histogram.counts).all()
    assert (again.minimum, again.maximum) == (histogram.minimum, histogram.maximum)

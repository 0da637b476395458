from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edge_arm.calibration.histogram import Histogram
from edge_arm.calibration.ranges import Method, amax_from_histogram, entropy_bins, mse_bins
from edge_arm.runtime.errors import CalibrationError


def histogram_of(values: np.ndarray) -> Histogram:
    histogram = Histogram()
    histogram.add(values, "t")
    return histogram


def relu_like(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.standard_normal(60_000) * np.exp(0.3 * random.standard_normal(60_000))
    return np.maximum(values, 0).astype(np.float32)


def signed(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(5, 60_000).astype(np.float32)


CASES = [pytest.param(relu_like(0), id="relu"), pytest.param(signed(1), id="heavy-tails")]


def naive_entropy_bins(counts: np.ndarray) -> int:
    """The procedure of NVIDIA's slides and Model Optimizer, bin by bin, with scipy's entropy."""
    bins = counts.astype(np.float64)
    bins[0] = bins[1]
    divergences = []
    for size in range(128, len(bins) + 1):
        sums, occupied = [0.0] * 128, [0] * 128
        for j in range(size):
            if bins[j] > 0:
                sums[j * 128 // size] += bins[j]
                occupied[j * 128 // size] += 1
        candidate = np.array(
            [
                sums[j * 128 // size] / occupied[j * 128 // size] if bins[j] > 0 else 0.0
                for j in range(size)
            ]
        )
        reference = bins[:size].copy()
        reference[-1] += bins[size:].sum()
        divergences.append(stats.entropy(reference, candidate))
    reverse = divergences[::-1]
    return 128 + len(divergences) - 1 - int(np.argmin(reverse))


def int8_error(values: np.ndarray, amax: float) -> float:
    scale = amax / 127
    rounded = np.clip(np.rint(values / scale), -127, 127) * scale
    return float(np.mean((rounded - values.astype(np.float64)) ** 2))


@pytest.mark.parametrize("values", CASES)
def test_max_is_the_largest_magnitude(values: np.ndarray):
    assert amax_from_histogram(histogram_of(values), Method.MAX, "t") == np.abs(values).max()


@pytest.mark.parametrize("values", CASES)
def test_percentile_is_numpys_on_the_raw_values(values: np.ndarray):
    expected = np.percentile(np.abs(values), 99.99, method="inverted_cdf")
    # a bin is 2^-11 of its value wide, and its upper edge is taken
    assert amax_from_histogram(histogram_of(values), Method.PERCENTILE, "t") == pytest.approx(
        expected, rel=2**-11
    )


def test_percentile_of_a_nearly_empty_tensor_is_its_maximum():
    values = np.zeros(100_000, np.float32)
    values[7] = 3
    assert amax_from_histogram(histogram_of(values), Method.PERCENTILE, "t") == 3


@pytest.mark.parametrize("values", CASES)
def test_entropy_chooses_the_bins_of_the_naive_procedure(values: np.ndarray):
    counts, _ = np.histogram(np.abs(values), 2048)
    assert entropy_bins(counts.astype(np.float64)) == naive_entropy_bins(counts)


# modelopt 0.47.0, modelopt.torch.quantization.calib.histogram:
#   counts, edges = numpy.histogram(numpy.abs(values), 2048)
#   _compute_amax_entropy(counts, edges, 8, False), _compute_amax_mse(counts, edges, 8, False),
#   _compute_amax_percentile(counts, edges, 99.99)
MODEL_OPTIMIZERS = [
    pytest.param(relu_like(0), Method.ENTROPY, 6.583931, id="entropy-relu"),
    pytest.param(signed(1), Method.ENTROPY, 11.992487, id="entropy-heavy-tails"),
    pytest.param(relu_like(0), Method.MSE, 6.456071, id="mse-relu"),
    pytest.param(signed(1), Method.MSE, 12.464431, id="mse-heavy-tails"),
    # Seven fewer, because 99.99 % of 60000 is a whole rank, and there rounding decides.
    pytest.param(relu_like(0)[:-7], Method.PERCENTILE, 5.712317, id="percentile-relu"),
    pytest.param(signed(1)[:-7], Method.PERCENTILE, 10.748606, id="percentile-heavy-tails"),
]


@pytest.mark.parametrize(("values", "method", "theirs"), MODEL_OPTIMIZERS)
def test_ranges_are_model_optimizers_within_two_bins(
    values: np.ndarray, method: Method, theirs: float
):
    bin_width = float(np.abs(values).max()) / 2048
    # They take a bin's centre where we take its edge, and their bins hold the raw values.
    assert amax_from_histogram(histogram_of(values), method, "t") == pytest.approx(
        theirs, abs=2 * bin_width
    )


def few_bins(kind: str) -> np.ndarray:
    """(300,) whole numbers as float64: odd shapes, and few bins, so that the naive way is quick."""
    random = np.random.default_rng(7)
    counts = np.zeros(300)
    if kind == "gaps":
        counts[random.integers(0, 300, 90)] = random.integers(1, 50, 90)
    elif kind == "one-far-outlier":
        counts[:40], counts[-1] = random.integers(100, 2000, 40), 1
    elif kind == "decay":
        counts[:] = np.floor(40_000 * np.exp(-np.arange(300) / 30))
        counts[-1] = 1
    elif kind == "many-zeros":
        counts[0], counts[1:200:3], counts[-1] = 1e9, 40, 3
    else:
        counts[:] = 12
    return counts


SHAPES = ["gaps", "one-far-outlier", "decay", "many-zeros", "flat"]


@pytest.mark.parametrize("kind", SHAPES)
def test_entropy_chooses_the_bins_of_the_naive_procedure_for_odd_shapes(kind: str):
    assert entropy_bins(few_bins(kind)) == naive_entropy_bins(few_bins(kind))


def naive_mse_bins(counts: np.ndarray) -> int:
    """Every range in turn: the centres rounded to its levels, the zeros exact, and compared."""
    centers = np.arange(len(counts)) + 0.5
    centers[0] = 0
    errors = []
    for size in range(128, len(counts) + 1):
        step = size / 127
        levels = np.arange(128) * step
        nearest = np.abs(centers[:, np.newaxis] - levels).min(axis=1)
        errors.append((nearest**2 * counts).sum())
    return 128 + len(errors) - 1 - int(np.argmin(errors[::-1]))


@pytest.mark.parametrize("kind", SHAPES)
def test_mse_chooses_the_bins_of_the_naive_procedure_for_odd_shapes(kind: str):
    assert mse_bins(few_bins(kind)) == naive_mse_bins(few_bins(kind))


@pytest.mark.parametrize("values", CASES)
def test_mse_is_as_good_as_the_best_of_a_brute_force_search(values: np.ndarray):
    amax = amax_from_histogram(histogram_of(values), Method.MSE, "t")
    candidates = np.linspace(0.1, 1, 400) * np.abs(values).max()
    best = min(int8_error(values, candidate) for candidate in candidates)
    # 2048 bins stand for 60000 values
    assert int8_error(values, amax) <= best * 1.01


def test_mse_of_uniform_values_clips_next_to_nothing():
    values = np.linspace(-2, 2, 50_001, dtype=np.float32)
    # Clipping at 1 - d costs d^3 / 3, rounding gains 2d / (12 * 127^2): d below 1/127 pays.
    assert amax_from_histogram(histogram_of(values), Method.MSE, "t") == pytest.approx(
        2, rel=1 / 127
    )


@pytest.mark.parametrize("method", Method)
def test_no_range_exceeds_the_largest_magnitude(method: Method):
    values = relu_like(3)
    assert 0 < amax_from_histogram(histogram_of(values), method, "t") <= values.max()


@pytest.mark.parametrize("method", Method)
def test_ranges_scale_with_the_values(method: Method):
    values = relu_like(4)
    # a power of two moves the exponent and no mantissa bit
    assert amax_from_histogram(histogram_of(values * 8), method, "t") == pytest.approx(
        8 * amax_from_histogram(histogram_of(values), method, "t"), rel=1e-12
    )


def test_a_tensor_of_zeros_is_refused():
    with pytest.raises(CalibrationError, match="tensor 't' is 0 everywhere on the calibration fac"):
        amax_from_histogram(histogram_of(np.zeros(9, np.float32)), Method.MAX, "t")


def test_a_constant_tensor_is_refused():
    with pytest.raises(CalibrationError, match="tensor 't' is -1.5 everywhere"):
        amax_from_histogram(histogram_of(np.full(9, -1.5, np.float32)), Method.ENTROPY, "t")

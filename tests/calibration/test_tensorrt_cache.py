from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.calibration.tensorrt_cache import cache_text, read_cache
from edge_arm.runtime.errors import CalibrationError

HEADER = b"TRT-8601-EntropyCalibration2\n"


@pytest.fixture
def cache(tmp_path: Path):
    def write(content: bytes) -> Path:
        path = tmp_path / "calibration.cache"
        path.write_bytes(content)
        return path

    return write


def test_a_line_is_the_scale_as_big_endian_float32_by_hand():
    # 1.0 = sign 0, exponent 127 = 0x7f, mantissa 0: 0 01111111 000... = 3f800000
    # 0.5 = 3f000000, -; 127 / 127 = 1, 63.5 / 127 = 0.5, 190.5 / 127 = 1.5 = 3fc00000
    assert cache_text({"input/x": 127.0, "a": 63.5, "b": 190.5}) == (
        "TRT-100300-EntropyCalibration2\ninput/x: 3f800000\na: 3f000000\nb: 3fc00000\n"
    )


def test_a_line_is_read_by_hand(cache):
    # 3c010a14: exponent 0x78 = 120, so 2^-7; mantissa 0x010a14
    found = read_cache(cache(HEADER + b"input_0: 3c010a14\n"))
    scale = 2**-7 * (1 + 0x010A14 / 2**23)
    assert found.scales == {"input_0": scale}
    assert found.amax(["input_0"]) == {"input_0": 127 * scale}


def test_what_is_written_is_read_back_to_the_same_bytes(cache):
    amax = {f"t{number}": 0.001 * 3**number for number in range(12)}
    text = cache_text(amax)
    again = read_cache(cache(text.encode())).amax(amax)
    assert again == pytest.approx(amax, rel=2**-24)  # float32
    assert cache_text(again) == text


@pytest.mark.parametrize(
    "header",
    ["TRT-7103-EntropyCalibration2", "TRT-100300-MinMaxCalibration", "TRT-8502-LegacyCalibration"],
)
def test_every_version_and_calibrator_is_read(cache, header: str):
    found = read_cache(cache(f"{header}\r\nx: 3f800000\r\n".encode()))
    assert (found.header, found.scales) == (header, {"x": 1.0})


def test_names_with_colons_and_spaces_are_whole(cache):
    found = read_cache(
        cache(HEADER + b"(Unnamed Layer* 3) [Constant]_output: 3f000000\na:0: 3f800000")
    )
    assert found.scales == {"(Unnamed Layer* 3) [Constant]_output": 0.5, "a:0": 1.0}


def test_the_sha256_is_the_files(cache):
    # printf 'TRT-8601-EntropyCalibration2\nx: 3f800000\n' | sha256sum
    found = read_cache(cache(HEADER + b"x: 3f800000\n"))
    assert found.sha256 == "85613c253101575e00876fcee629548a4fb5031ba233f5eebced4198e558e066"
    assert found.file == "calibration.cache"


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(CalibrationError, match="cannot read .*none.cache.*name another file with"):
        read_cache(tmp_path / "none.cache")


@pytest.mark.parametrize("content", [b"", b"x: 3f800000\n", b"ftrt\x00\x01\xff" * 99, b"\x08\x07"])
def test_a_file_without_the_header_is_refused(cache, content: bytes):
    with pytest.raises(CalibrationError, match="begins with .*expected the line 'TRT-<version>-<c"):
        read_cache(cache(content))


def test_a_binary_tail_is_refused(cache):
    with pytest.raises(CalibrationError, match="is no text behind its first line .invalid start b"):
        read_cache(cache(HEADER + b"x: 3f80\xff\xfe\n"))


@pytest.mark.parametrize(
    "line", [b"x", b"x 3f800000", b"x: 3f80000", b"x: 3f8000000", b"x: 3f80000g", b": 3f800000"]
)
def test_a_line_of_another_form_is_refused_with_its_number(cache, line: bytes):
    with pytest.raises(CalibrationError, match="line 3 of .*expected a tensor's name, a colon and"):
        read_cache(cache(HEADER + b"good: 3f800000\n" + line + b"\n"))


def test_a_second_scale_for_a_tensor_is_refused(cache):
    with pytest.raises(
        CalibrationError, match="line 3 of .* gives 'x' a second scale, expected on"
    ):
        read_cache(cache(HEADER + b"x: 3f800000\nx: 3f000000\n"))


def test_a_cache_without_tensors_is_refused(cache):
    with pytest.raises(
        CalibrationError, match="has no tensor behind its first line, expected a sc"
    ):
        read_cache(cache(HEADER + b"\n"))


def test_missing_tensors_are_counted_and_the_first_are_named(cache):
    found = read_cache(cache(HEADER + b"t0: 3f800000\n"))
    with pytest.raises(
        CalibrationError,
        match=r"no scale for 't1', 't2', 't3', 't4', 't5' and 2 more \(7 of the 8 quantized",
    ):
        found.amax(f"t{number}" for number in range(8))


@pytest.mark.parametrize(
    ("digits", "shown"),
    [("00000000", "0"), ("bf800000", "-1"), ("7fc00000", "nan"), ("7f800000", "inf")],
)
def test_a_scale_that_is_no_positive_number_is_refused(cache, digits: str, shown: str):
    found = read_cache(cache(HEADER + f"x: {digits}\nunused: 00000000\n".encode()))
    with pytest.raises(
        CalibrationError, match=f"gives 'x' the scale {shown}, expected a number ab"
    ):
        found.amax(["x"])

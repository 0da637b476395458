"""TensorRT's calibration cache: reading a user's, and writing ours.

It is text: a header that names TensorRT's version and the calibrator, then one line per tensor with
its name and its scale, eight hex digits of the big-endian IEEE float32. The scale is amax / 127.

    TRT-100300-EntropyCalibration2
    input/sub_mean: 3f9a6c5d

Names are those of the ONNX tensors. Constants and layers that TensorRT adds have names of its own
("(Unnamed Layer* 3) [Constant]_output"); they are of no use here and are only counted.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_arm.calibration.ranges import QMAX
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.storage import sha256_of_file

CACHE_NAME = "calibration.cache"

WRITTEN_HEADER = "TRT-100300-EntropyCalibration2"
"""TensorRT 10.3 is JetPack 6.1's and 6.2's, the newest that runs a DLA. TensorRT ignores a cache
with another version; `edge-arm build` puts its own there."""

_HEADER = re.compile(r"TRT-\d+-\w+")
_HEX = re.compile(r"[0-9a-fA-F]{8}")
_HEADER_BYTES = 100
_SHOWN = 5
_MAKE = "calibrate anew with 'edge-arm calibrate --data NAME'"


@dataclass(frozen=True)
class TensorRTCache:
    """What a cache says.

    Attributes:
        file: its name.
        sha256: of the file.
        header: its first line.
        scales: by tensor, as they stand there; only those of used tensors are looked at.
    """

    file: str
    sha256: str
    header: str
    scales: Mapping[str, float]

    def amax(self, tensors: Iterable[str]) -> dict[str, float]:
        """Ranges of some tensors.

        Raises:
            CalibrationError: if one is missing, or its scale is no number above 0.
        """
        wanted = list(dict.fromkeys(tensors))
        missing = [name for name in wanted if name not in self.scales]
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise CalibrationError(
                f"{self.file!r} has no scale for {', '.join(map(repr, missing[:_SHOWN]))}{more} "
                f"({len(missing)} of the {len(wanted)} quantized tensors), expected a cache of "
                f"this bundle's FP32 model, with its tensor names; {_MAKE}"
            )
        for name in wanted:
            scale = self.scales[name]
            if not (math.isfinite(scale) and scale > 0):
                raise CalibrationError(
                    f"{self.file!r} gives {name!r} the scale {scale:g}, expected a number above "
                    f"0; {_MAKE}"
                )
        return {name: self.scales[name] * QMAX for name in wanted}


def read_cache(path: Path) -> TensorRTCache:
    """Read a calibration cache of any TensorRT and any calibrator.

    Args:
        path: of the file.

    Raises:
        CalibrationError: if it cannot be read or is no such file, naming the line.
    """
    try:
        with path.open("rb") as file:
            # An engine or a model of gigabytes is refused after its first line.
            start = file.readline(_HEADER_BYTES)
            header = start.decode("utf-8", errors="replace").rstrip("\r\n")
            if not _HEADER.fullmatch(header):
                raise CalibrationError(
                    f"{str(path)!r} begins with {header[:40]!r}, expected the line "
                    "'TRT-<version>-<calibrator>' of a TensorRT calibration cache; name the file "
                    "that the calibrator's write_calibration_cache wrote"
                )
            text = file.read().decode("utf-8")
        digest = sha256_of_file(path)
    except OSError as error:
        raise CalibrationError(
            f"cannot read {str(path)!r} ({error.strerror}), expected a TensorRT calibration "
            "cache; name another file with --from-cache"
        ) from error
    except UnicodeDecodeError as error:
        raise CalibrationError(
            f"{str(path)!r} is no text behind its first line ({error.reason}), expected a tensor "
            f"and its scale in each line; copy the file again, or {_MAKE}"
        ) from error
    scales: dict[str, float] = {}
    for number, line in enumerate(text.splitlines(), start=2):
        if not line.strip():
            continue
        name, separator, digits = line.rpartition(":")
        name, digits = name.strip(), digits.strip()
        if not (separator and name and _HEX.fullmatch(digits)):
            raise CalibrationError(
                f"line {number} of {str(path)!r} is {line[:60]!r}, expected a tensor's name, a "
                f"colon and 8 hex digits; copy the file again, or {_MAKE}"
            )
        (scale,) = struct.unpack(">f", bytes.fromhex(digits))
        if name in scales and struct.pack(">f", scales[name]) != struct.pack(">f", scale):
            raise CalibrationError(
                f"line {number} of {str(path)!r} gives {name!r} a second scale, expected one per "
                f"tensor; copy the file again, or {_MAKE}"
            )
        scales[name] = scale
    if not scales:
        raise CalibrationError(
            f"{str(path)!r} has no tensor behind its first line, expected a scale for each; {_MAKE}"
        )
    return TensorRTCache(path.name, digest, header, scales)


def cache_text(amax: Mapping[str, float]) -> str:
    """The content of a calibration cache.

    Args:
        amax: range by tensor.
    """
    lines = [f"{name}: {struct.pack('>f', value / QMAX).hex()}\n" for name, value in amax.items()]
    return "".join([f"{WRITTEN_HEADER}\n", *lines])

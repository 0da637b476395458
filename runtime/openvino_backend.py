"""Runs an ONNX model with OpenVINO, on this machine's CPU.

OpenVINO reads the INT8 model as TensorRT does (signed, Q/DQ) and is fast with it as it is. Left to
itself it computes float layers in bfloat16 or FP16 on CPUs that can, which would move the FP32
reference, so FP32 is asked for. That is also why an FP16 file says nothing here: it is computed in
FP32, with its weights rounded.

Shapes: N faces in a call, S model input size, C classes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edge_arm.runtime.backend import BackendInfo, Float32Array, check_input
from edge_arm.runtime.errors import BackendError, BackendUnavailableError, InferenceError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.storage import sha256_of_file

NAME = "openvino/cpu"

FP16_NOTE = (
    "OpenVINO computes the float layers of every file in FP32 here, so there is no FP16 to measure"
)

_TELEMETRY = "openvino_telemetry"


class OpenVinoBackend:
    """One ONNX file compiled for the CPU; see `Backend` for the contract."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Load a model.

        Args:
            path: the ONNX file, with a uint8 (N, S, S, 3) input and a float32 (N, C) output.
            threads: for each call; all cores when None.

        Raises:
            BackendUnavailableError: if OpenVINO is not here.
            BackendError: if the file is no model of this kind.
        """
        openvino = load_openvino()
        hints: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",  # one call at a time, with all threads
        }
        if threads is not None:
            hints["INFERENCE_NUM_THREADS"] = threads
        try:
            # By name: left to find out what a file is, it lets TensorFlow's reader complain first.
            reader = openvino.frontend.FrontEndManager().load_by_framework("onnx")
            model = reader.convert(reader.load(str(path)))
            compiled = openvino.Core().compile_model(model, "CPU", hints)
            self._request: Any = compiled.create_infer_request()
        except Exception as error:  # OpenVINO's exceptions share no base class
            raise BackendError(
                f"OpenVINO cannot load {str(path)!r} ({_reason(error)}), expected a model made by "
                "'edge-arm export'; export it again"
            ) from error
        size, num_classes = _contract(compiled, path)
        self._info = BackendInfo(
            name=NAME,
            version=str(openvino.get_version()).split("-")[0],
            model_sha256=sha256_of_file(path),
            size_bytes=path.stat().st_size,
            input_size=size,
            num_classes=num_classes,
            file=path.name,
        )

    @property
    def info(self) -> BackendInfo:
        """What runs, for reports."""
        return self._info

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        """Logits (N, C) of faces (N, S, S, 3); see `Backend.infer`."""
        check_input(images_nhwc, self._info.input_size)
        if self._request is None:
            raise InferenceError(
                f"{NAME} was closed, expected an open backend; call infer inside its 'with' block"
            )
        try:
            # Without a copy of the pictures; the request reads them during this call alone.
            outputs = self._request.infer([np.ascontiguousarray(images_nhwc)], share_inputs=True)
        except Exception as error:  # OpenVINO's exceptions share no base class
            raise InferenceError(
                f"OpenVINO failed on a batch of {len(images_nhwc)} ({_reason(error)}), expected "
                "logits; try a smaller --batch-size"
            ) from error
        return np.array(outputs[0], np.float32)  # the next call writes into OpenVINO's own

    def __enter__(self) -> OpenVinoBackend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._request = None


def load_openvino() -> Any:
    """The module.

    Importing it reports that to Google Analytics and writes into ~/intel, unless its telemetry
    cannot be imported; then it works without. So it is imported that way.

    Raises:
        BackendUnavailableError: if it is not installed or does not load.
    """
    unwanted = "openvino" not in sys.modules and _TELEMETRY not in sys.modules
    if unwanted:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # Python's way to say "missing"
    try:
        import openvino
    except (ImportError, OSError) as error:  # OSError: a library of it that is missing
        raise BackendUnavailableError(
            f"OpenVINO cannot be imported ({_reason(error)}), expected the package openvino; run: "
            "pip install 'edge-arm[openvino]'"
        ) from error
    finally:
        if unwanted:
            del sys.modules[_TELEMETRY]
    return openvino


def _contract(compiled: Any, path: Path) -> tuple[int, int]:
    inputs, outputs = (
        [_port(port) for port in ports] for ports in (compiled.inputs, compiled.outputs)
    )
    if (
        len(inputs) == 1
        and len(outputs) == 1
        and inputs[0].type == "u8"
        and outputs[0].type == "f32"
        and len(inputs[0].shape) == 4
        and len(outputs[0].shape) == 2
        and isinstance(size := inputs[0].shape[1], int)
        and inputs[0].shape[2:] == (size, 3)
        and isinstance(num_classes := outputs[0].shape[1], int)
    ):
        return size, num_classes
    raise BackendError(
        f"{str(path)!r} takes {[str(port) for port in inputs]} and gives "
        f"{[str(port) for port in outputs]}, expected u8 (N, S, S, 3) to f32 (N, C); use a model "
        "made by 'edge-arm export'"
    )


@dataclass(frozen=True)
class _Port:
    """An input or an output: element type, and sizes with None where they are not fixed."""

    type: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.type} {tuple('?' if size is None else size for size in self.shape)}"


def _port(port: Any) -> _Port:
    shape = port.get_partial_shape()
    sizes = () if shape.rank.is_dynamic else tuple(shape)
    return _Port(
        str(port.get_element_type().get_type_name()),
        tuple(int(size.get_length()) if size.is_static else None for size in sizes),
    )


def _reason(error: Exception) -> str:
    # OpenVINO names the lines of its own source first, what is wrong comes last.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

"""Runs an ONNX model with ONNX Runtime, on exactly the provider that was asked for.

ONNX Runtime quietly falls back to the CPU when a GPU provider cannot start (its users measure the
wrong device for weeks), so the provider is checked before and after the session is made, no node
may go to the CPU instead, and a provider that fails later is an error and not a second try.

Shapes: N faces in a call, S model input size, C classes.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edge_arm.runtime.backend import BackendInfo, Float32Array, check_input
from edge_arm.runtime.errors import BackendError, BackendUnavailableError, InferenceError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.rtx_plugin import INT8_NOTE, PROVIDER, carries_quantization, rtx_devices
from edge_arm.runtime.storage import sha256_of_file

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rtx": PROVIDER,
}
"""Our short names of ONNX Runtime's execution providers; rtx is a plugin, see `rtx_plugin`."""


class OnnxRuntimeBackend:
    """One ONNX file in one ONNX Runtime session; see `Backend` for the contract."""

    def __init__(
        self,
        path: Path,
        provider: str = "cpu",
        threads: int | None = None,
        *,
        pairs_as_written: bool = False,
        spinning: bool = False,
    ) -> None:
        """Load a model.

        Args:
            path: the ONNX file, with a uint8 (N, S, S, 3) input and a float32 (N, C) output.
            provider: a key of `PROVIDERS`.
            threads: for the CPU; all cores when None.
            pairs_as_written: whether Q/DQ pairs round and nothing else is made of them. Otherwise
                ONNX Runtime computes in integers where it can, and behind a pair it rounds float
                weights to int8 as well, one scale for the whole tensor.
            spinning: whether threads without work keep a core busy waiting for some, as ONNX
                Runtime does by itself. That only pays where nobody else wants the core: decoding
                the next pictures does, and so does another model (docs/log.md has the figures).

        Raises:
            BackendUnavailableError: if ONNX Runtime or the provider is not here.
            BackendError: if the file is no model of this kind.
        """
        runtime = load_onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        if pairs_as_written:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        if provider == "cpu":
            options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
            # On x86 without VNNI the kernels for unsigned inputs overflow at full-range weights.
            # This takes slower ones there, which do not, and changes nothing elsewhere.
            options.add_session_config_entry("session.x64quantprecision", "1")
        else:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        wanted = _chosen_provider(runtime, provider, options)
        named = {} if provider == "rtx" else {"providers": [wanted]}
        try:
            self._session: Any = runtime.InferenceSession(str(path), options, **named)
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            if provider == "rtx" and carries_quantization(path):
                raise BackendError(
                    f"TensorRT-RTX cannot load {str(path)!r} ({_first_line(error)}), expected a "
                    f"model that it takes; {INT8_NOTE}"
                ) from error
            if provider != "cpu" and "fallback to CPU EP" in str(error):
                raise BackendUnavailableError(
                    f"ONNX Runtime's provider {provider!r} does not take all of {str(path)!r} here "
                    "and the rest may not go to the CPU, expected a GPU with what that provider "
                    "needs (CUDA, cuDNN, TensorRT); run 'edge-arm doctor', or choose --provider cpu"
                ) from error
            raise BackendError(
                f"ONNX Runtime cannot load {str(path)!r} ({_first_line(error)}), "
                "expected a model made by 'edge-arm export'; export it again"
            ) from error
        if wanted not in self._session.get_providers():
            raise BackendUnavailableError(
                f"asked ONNX Runtime for {wanted}, the session runs on "
                f"{', '.join(self._session.get_providers())}; install what that provider needs "
                "(CUDA, cuDNN, TensorRT) or choose --provider cpu"
            )
        # Without this, a provider that fails in `run` is replaced by the CPU from then on.
        self._session.disable_fallback()
        size, num_classes = self._contract(path)
        self._info = BackendInfo(
            name=f"onnxruntime/{provider}",
            version=str(runtime.__version__),
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
        if self._session is None:
            raise InferenceError(
                f"{self._info.name} was closed, expected an open backend; "
                "call infer inside its 'with' block"
            )
        try:
            (logits,) = self._session.run(None, {self._input_name: images_nhwc})
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise InferenceError(
                f"ONNX Runtime failed on a batch of {len(images_nhwc)} ({_first_line(error)}), "
                "expected logits; try a smaller --batch-size"
            ) from error
        return np.asarray(logits, np.float32)

    def __enter__(self) -> OnnxRuntimeBackend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session = None

    def _contract(self, path: Path) -> tuple[int, int]:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if (
            len(inputs) == 1
            and len(outputs) == 1
            and inputs[0].type == "tensor(uint8)"
            and outputs[0].type == "tensor(float)"
            and len(inputs[0].shape) == 4
            and len(outputs[0].shape) == 2
            and isinstance(size := inputs[0].shape[1], int)
            and inputs[0].shape[2:] == [size, 3]
            and isinstance(num_classes := outputs[0].shape[1], int)
        ):
            self._input_name = inputs[0].name
            return size, num_classes
        raise BackendError(
            f"{str(path)!r} takes {[(i.type, i.shape) for i in inputs]} and gives "
            f"{[(o.type, o.shape) for o in outputs]}, expected uint8 (N, S, S, 3) to float32 "
            "(N, C); use a model made by 'edge-arm export'"
        )


def load_onnxruntime() -> Any:
    """The module.

    Raises:
        BackendUnavailableError: if it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailableError(
            "ONNX Runtime is not installed, expected the package onnxruntime; "
            "run: pip install 'edge-arm[onnxruntime]'"
        ) from error
    return onnxruntime


def _chosen_provider(runtime: Any, provider: str, options: Any) -> str:
    """ONNX Runtime's name of a provider that is here; a plugin is put into the options."""
    wanted = PROVIDERS.get(provider)
    if provider == "rtx":
        options.add_provider_for_devices(rtx_devices(runtime), {})
        return PROVIDER
    available = [key for key, name in PROVIDERS.items() if name in _providers(runtime)]
    if wanted is None or provider not in available:
        raise BackendUnavailableError(
            f"got the ONNX Runtime provider {provider!r}, this machine's ONNX Runtime "
            f"{runtime.__version__} has {', '.join(available)}; choose one of these"
        )
    return wanted


def _providers(runtime: Any) -> list[str]:
    return list(runtime.get_available_providers())


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__

"""The model here is Cast and ReduceMean: its logits are the mean red, green and blue of a face."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge_arm.runtime.backend import check_input
from edge_arm.runtime.errors import BackendError, BackendUnavailableError, InferenceError
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend

SIZE = 6
CPU = ["CPUExecutionProvider"]


def _write_model(
    path: Path,
    shape: tuple[str | int, ...] = ("batch", SIZE, SIZE, 3),
    element: int = TensorProto.UINT8,
) -> Path:
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["faces"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["logits"], axes=[1, 2], keepdims=0),
        ],
        "mean_colour",
        [helper.make_tensor_value_info("faces", element, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (shape[0], shape[-1]))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return _write_model(tmp_path / "model.onnx")


def _faces(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 2, 33])
def test_logits_are_what_the_model_computes(model: Path, count: int) -> None:
    faces = _faces(count)
    with OnnxRuntimeBackend(model, threads=1) as backend:
        logits = backend.infer(faces)
    assert logits.dtype == np.float32
    # rtol: float32 sums of 36 numbers in another order.
    np.testing.assert_allclose(logits, faces.mean((1, 2)), rtol=1e-5)


def test_faces_may_lie_in_memory_with_gaps(model: Path) -> None:
    faces = _faces(8)[::2]
    with OnnxRuntimeBackend(model, threads=1) as backend:
        np.testing.assert_allclose(backend.infer(faces), faces.mean((1, 2)), rtol=1e-5)


def test_the_caller_owns_the_logits(model: Path) -> None:
    with OnnxRuntimeBackend(model, threads=1) as backend:
        first = backend.infer(_faces(2))
        kept = first.copy()
        backend.infer(255 - _faces(2))
        np.testing.assert_array_equal(first, kept)
        first[:] = 0


def test_the_info_describes_what_runs(model: Path) -> None:
    with OnnxRuntimeBackend(model, threads=1) as backend:
        info = backend.info
    assert info.name == "onnxruntime/cpu"
    assert info.version == onnxruntime.__version__
    assert info.model_sha256 == sha256(model.read_bytes()).hexdigest()
    assert info.size_bytes == model.stat().st_size
    assert (info.input_size, info.num_classes) == (SIZE, 3)


@pytest.mark.parametrize(
    "shape", [(SIZE, SIZE, 3), (1, SIZE, SIZE + 1, 3), (1, 3, SIZE, SIZE), (0, SIZE, SIZE, 3)]
)
def test_another_shape_is_refused_before_the_device_sees_it(shape: tuple[int, ...]) -> None:
    with pytest.raises(InferenceError, match=r"got an input of shape .* expected \(N, 6, 6, 3\)"):
        check_input(np.zeros(shape, np.uint8), SIZE)


def test_another_type_is_refused_before_the_device_sees_it(model: Path) -> None:
    floats: Any = _faces(1).astype(np.float32)
    with (
        OnnxRuntimeBackend(model, threads=1) as backend,
        pytest.raises(InferenceError, match="and type float32, expected"),
    ):
        backend.infer(floats)


def test_a_closed_backend_says_so(model: Path) -> None:
    with OnnxRuntimeBackend(model, threads=1) as backend:
        pass
    with pytest.raises(InferenceError, match="onnxruntime/cpu was closed, expected an open"):
        backend.infer(_faces(1))


def test_a_failure_while_running_is_an_inference_error(tmp_path: Path) -> None:
    one_only = _write_model(tmp_path / "one.onnx", (1, SIZE, SIZE, 3))
    with (
        OnnxRuntimeBackend(one_only, threads=1) as backend,
        pytest.raises(InferenceError, match="ONNX Runtime failed on a batch of 2"),
    ):
        backend.infer(_faces(2))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(BackendError, match=r"ONNX Runtime cannot load '.*x.onnx' \("):
        OnnxRuntimeBackend(tmp_path / "x.onnx")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"ONNX Runtime cannot load '.*gone.onnx' \("):
        OnnxRuntimeBackend(tmp_path / "gone.onnx")


@pytest.mark.parametrize(
    ("shape", "element"),
    [
        (("batch", SIZE, SIZE, 3), TensorProto.FLOAT),
        (("batch", SIZE, SIZE + 1, 3), TensorProto.UINT8),
        (("batch", SIZE, SIZE, 4), TensorProto.UINT8),
        (("batch", "height", "width", 3), TensorProto.UINT8),
    ],
    ids=["float input", "not square", "four channels", "size unknown"],
)
def test_a_model_with_another_contract_is_refused(
    tmp_path: Path, shape: tuple[str | int, ...], element: int
) -> None:
    path = _write_model(tmp_path / "x.onnx", shape, element)
    with pytest.raises(BackendError, match=r"x.onnx' takes .* expected uint8 \(N, S, S, 3\)"):
        OnnxRuntimeBackend(path, threads=1)


def test_an_unknown_provider_is_refused_with_those_that_are_here(model: Path) -> None:
    with pytest.raises(BackendUnavailableError, match=r"provider 'gpu', this machine's .* has cpu"):
        OnnxRuntimeBackend(model, provider="gpu")


def test_a_provider_that_fails_later_is_not_replaced_by_the_cpu(model: Path) -> None:
    # There is no public way to ask; ONNX Runtime's own `run` looks at this attribute.
    assert onnxruntime.InferenceSession(str(model), providers=CPU)._enable_fallback
    with OnnxRuntimeBackend(model, threads=1) as backend:
        assert not backend._session._enable_fallback


def test_int8_on_a_cpu_without_vnni_is_computed_without_overflow(model: Path) -> None:
    # Seen on an emulated Haswell (qemu 7.2, -cpu Haswell, ONNX Runtime 1.24.4): without this the
    # logits of the INT8 model for CPUs move by 0.007, with it by 4e-7.
    with OnnxRuntimeBackend(model, threads=1) as backend:
        options = backend._session.get_session_options()
    assert options.get_session_config_entry("session.x64quantprecision") == "1"


@pytest.mark.parametrize(("asked", "entry"), [({}, "0"), ({"spinning": True}, "1")])
def test_threads_without_work_leave_the_core_to_others_unless_asked(
    asked: dict[str, bool], entry: str, model: Path
) -> None:
    with OnnxRuntimeBackend(model, threads=1, **asked) as backend:
        options = backend._session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == entry


class _FakeOptions:
    """Takes what ONNX Runtime's own options take, and remembers it."""

    entries: ClassVar[dict[str, str]] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class _FakeSession:
    """Like ONNX Runtime where CUDA cannot start: it runs on the CPU instead, without an error."""

    def __init__(self, path: str, options: object, providers: list[str]) -> None:
        self.asked = providers

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def _fake_runtime(*providers: str) -> SimpleNamespace:
    return SimpleNamespace(
        __version__="0.0",
        get_available_providers=lambda: list(providers),
        SessionOptions=_FakeOptions,
        InferenceSession=_FakeSession,
    )


def test_a_provider_that_is_not_built_in_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", _fake_runtime("CPUExecutionProvider"))
    with pytest.raises(BackendUnavailableError, match="provider 'cuda', this machine's"):
        OnnxRuntimeBackend(model, provider="cuda")


def test_a_quiet_fall_back_to_the_cpu_is_an_error(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _fake_runtime("CUDAExecutionProvider", "CPUExecutionProvider")
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    with pytest.raises(BackendUnavailableError, match="the session runs on CPUExecutionProvider"):
        OnnxRuntimeBackend(model, provider="cuda")
    assert _FakeOptions.entries == {"session.disable_cpu_ep_fallback": "1"}


def test_onnx_runtime_knows_the_option_that_keeps_nodes_off_the_cpu(model: Path) -> None:
    # A session on the CPU with this option must fail: all its nodes are there.
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    with pytest.raises(Exception, match="CPU EP"):
        onnxruntime.InferenceSession(str(model), options, providers=CPU)


# What ONNX Runtime 1.24.4 says of CUDA on a machine without a GPU.
NOTHING_TAKEN = (
    "[ONNXRuntimeError] : 1 : FAIL : This session contains graph nodes that are assigned to the "
    "default CPU EP, but fallback to CPU EP has been explicitly disabled by the user."
)


def test_a_provider_that_cannot_start_is_not_blamed_on_the_model(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object, **__: object) -> object:
        raise RuntimeError(NOTHING_TAKEN)

    fake = _fake_runtime("CUDAExecutionProvider", "CPUExecutionProvider")
    fake.InferenceSession = refusing
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    with pytest.raises(
        BackendUnavailableError, match="'cuda' does not take all .*'edge-arm doctor'"
    ):
        OnnxRuntimeBackend(model, provider="cuda")


def test_a_machine_without_onnx_runtime_is_told_what_to_install(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'edge-arm\[onnxruntime\]'"):
        OnnxRuntimeBackend(model)

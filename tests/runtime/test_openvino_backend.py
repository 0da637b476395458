"""The model here is Cast and ReduceMean: its logits are the mean red, green and blue of a face."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_bundle import golden_faces, run_onnx, tiny_bundle

from edge_arm.runtime.errors import BackendError, BackendUnavailableError, InferenceError
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.openvino_backend import OpenVinoBackend, load_openvino

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"
)

SIZE = 6


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


def test_one_backend_takes_every_batch_size(model: Path) -> None:
    with OpenVinoBackend(model, threads=1) as backend:
        for count in (1, 33, 2):
            faces = _faces(count)
            logits = backend.infer(faces)
            assert logits.dtype == np.float32
            # rtol: float32 sums of 36 numbers in another order.
            np.testing.assert_allclose(logits, faces.mean((1, 2)), rtol=1e-5)


def test_faces_may_lie_in_memory_with_gaps(model: Path) -> None:
    faces = _faces(8)[::2]
    with OpenVinoBackend(model, threads=1) as backend:
        np.testing.assert_allclose(backend.infer(faces), faces.mean((1, 2)), rtol=1e-5)


def test_the_caller_owns_logits_and_faces(model: Path) -> None:
    with OpenVinoBackend(model, threads=1) as backend:
        faces = _faces(2)
        first = backend.infer(faces)
        kept = first.copy()
        faces[:] = 0
        backend.infer(255 - _faces(2))
        np.testing.assert_array_equal(first, kept)
        first[:] = 0


def test_the_info_describes_what_runs(model: Path) -> None:
    with OpenVinoBackend(model) as backend:
        info = backend.info
    assert info.name == "openvino/cpu"
    assert info.version == version("openvino")
    assert info.model_sha256 == sha256(model.read_bytes()).hexdigest()
    assert info.size_bytes == model.stat().st_size
    assert (info.input_size, info.num_classes) == (SIZE, 3)


def test_a_bundles_models_answer_as_in_onnx_runtime(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    # FP32 to its last digits: OpenVINO's own choice on many CPUs, bfloat16, is off by 0.004 here.
    # INT8: one step of an activation may fall the other way.
    for precision, limit in ((Precision.FP32, 1e-5), (Precision.INT8, 0.02)):
        path, _ = bundle.model(precision)
        with OpenVinoBackend(path, threads=1) as backend:
            found = backend.infer(golden_faces())
        np.testing.assert_allclose(found, run_onnx(path, golden_faces()), atol=limit)


def test_fp32_is_asked_for_where_the_cpu_would_choose_less(model: Path) -> None:
    with OpenVinoBackend(model) as backend:
        compiled = backend._request.get_compiled_model()
        assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"


@pytest.mark.parametrize("shape", [(SIZE, SIZE, 3), (1, 3, SIZE, SIZE), (0, SIZE, SIZE, 3)])
def test_another_shape_is_refused_before_openvino_sees_it(
    model: Path, shape: tuple[int, ...]
) -> None:
    with (
        OpenVinoBackend(model, threads=1) as backend,
        pytest.raises(InferenceError, match=r"got an input of shape .* expected \(N, 6, 6, 3\)"),
    ):
        backend.infer(np.zeros(shape, np.uint8))


def test_a_closed_backend_says_so(model: Path) -> None:
    with OpenVinoBackend(model, threads=1) as backend:
        pass
    with pytest.raises(InferenceError, match="openvino/cpu was closed, expected an open"):
        backend.infer(_faces(1))


def test_a_failure_while_running_is_an_inference_error(tmp_path: Path) -> None:
    one_only = _write_model(tmp_path / "one.onnx", (1, SIZE, SIZE, 3))
    with (
        OpenVinoBackend(one_only, threads=1) as backend,
        pytest.raises(InferenceError, match="OpenVINO failed on a batch of 2"),
    ):
        backend.infer(_faces(2))


def test_a_file_that_is_no_model_is_refused_and_nobody_else_complains(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(BackendError, match=r"OpenVINO cannot load '.*x.onnx' \(.+\), expected a"):
        OpenVinoBackend(tmp_path / "x.onnx")
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"cannot load '.*gone.onnx' \(Could not open the file"):
        OpenVinoBackend(tmp_path / "gone.onnx")


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
    with pytest.raises(BackendError, match=r"x.onnx' takes .* expected u8 \(N, S, S, 3\) to f32"):
        OpenVinoBackend(path, threads=1)


def test_a_machine_without_openvino_is_told_what_to_install(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailableError, match=r"run: pip install 'edge-arm\[openvino\]'"):
        OpenVinoBackend(model)


def test_importing_openvino_tells_nobody(tmp_path: Path) -> None:
    # A bare `import openvino` writes a client's number into ~/intel and reports it.
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from edge_arm.runtime.openvino_backend import load_openvino\n"
            "load_openvino()\n"
            "print('openvino' in sys.modules, 'openvino_telemetry' in sys.modules)\n",
        ],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True False\n"
    assert list(tmp_path.iterdir()) == []


def test_what_was_imported_before_is_left_as_it_is() -> None:
    first = load_openvino()
    assert load_openvino() is first
    assert sys.modules.get("openvino_telemetry", ...) is not None

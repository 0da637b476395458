"""A served model answers as the bundle's own file does, over a real connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from kserve_server import Served, serving
from tiny_bundle import SIZE, golden_faces, run_onnx
from triton_bundles import TEMPERATURES, bundle_to_serve

from edge_arm.export.triton_from_bundle import triton_from_bundle
from edge_arm.export.triton_models import ServeConfig
from edge_arm.runtime.errors import BackendUnavailableError, InferenceError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.triton_backend import TritonServer, open_triton
from edge_arm.runtime.triton_client import main


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_to_serve(tmp_path_factory.mktemp("served") / "bundle")


@pytest.fixture(scope="module")
def repository(bundle: Bundle) -> Path:
    out = bundle.path.with_name("models")
    triton_from_bundle(bundle, ServeConfig(max_batch=4), out)
    return out


@pytest.fixture
def served(repository: Path) -> Iterator[Served]:
    with serving(repository) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "file"), [("fer_fp32", "model.fp32.onnx"), ("fer_int8_cpu", "model.int8.cpu.onnx")]
)
def test_golden_faces_get_the_logits_of_the_bundles_own_file(
    bundle: Bundle, served: Served, name: str, file: str
) -> None:
    with open_triton(name, TritonServer(served.url)) as backend:
        logits = backend.infer(golden_faces())
    # The same file in the same ONNX Runtime; only the sizes of the batches differ.
    np.testing.assert_allclose(logits, run_onnx(bundle.path / file, golden_faces()), atol=1e-5)
    assert logits.dtype == np.float32
    assert served.batches == [4, 2]


def test_the_backend_says_what_runs(bundle: Bundle, served: Served) -> None:
    backend = open_triton("fer_int8", TritonServer(served.url))
    assert backend.info.name == "triton/fer_int8"
    assert backend.info.model_sha256 == bundle.manifest.artifact(Precision.INT8).sha256
    assert (backend.info.input_size, backend.info.num_classes) == (SIZE, len(RAFDB))
    assert backend.contract.temperature == TEMPERATURES[Precision.INT8]


def test_a_batch_of_another_form_is_refused_before_it_is_sent(served: Served) -> None:
    backend = open_triton("fer_fp32", TritonServer(served.url))
    with pytest.raises(InferenceError, match="resize with resize_face"):
        backend.infer(np.zeros((1, 5, 5, 3), np.uint8))
    assert served.batches == []


def test_a_model_that_the_server_lacks_is_named_with_the_servers_reason(served: Served) -> None:
    with pytest.raises(InferenceError, match=r"answered 400 to '/v2/models/fer_bf16/config' \(unk"):
        open_triton("fer_bf16", TritonServer(served.url))


def test_a_server_that_is_not_there_is_refused() -> None:
    # Port 1 is reserved, and nothing listens there.
    with pytest.raises(BackendUnavailableError, match=r"no answer from 'http://127.0.0.1:1' \("):
        open_triton("fer_fp32", TritonServer("http://127.0.0.1:1", timeout_s=2.0))


@pytest.mark.parametrize(
    "url", ["localhost:8000", "grpc://localhost:8001", "http://", "http://[::1", "http://a:port"]
)
def test_a_server_without_a_usable_address_is_refused(url: str) -> None:
    with pytest.raises(BackendUnavailableError, match="expected one such as 'http://localhost"):
        open_triton("fer_fp32", TritonServer(url))


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"outputs": []}' + b"x" * 400, b"[" * 100_000])
def test_an_answer_that_is_no_logits_is_refused(served: Served, answer: bytes) -> None:
    backend = open_triton("fer_fp32", TritonServer(served.url))
    served.spoil = answer
    with pytest.raises(InferenceError, match="cannot be read .* expected 'logits' as FP32"):
        backend.infer(golden_faces()[:1])


def test_logits_that_are_not_finite_are_refused(served: Served) -> None:
    backend = open_triton("fer_fp32", TritonServer(served.url))
    output = {"name": "logits", "datatype": "FP32", "shape": [1, 7]}
    output["parameters"] = {"binary_data_size": 28}
    head = json.dumps({"model_name": "fer_fp32", "outputs": [output]}).encode()
    served.spoil = head + np.full(7, np.nan, "<f4").tobytes()
    with pytest.raises(InferenceError, match="logits that are not finite"):
        backend.infer(golden_faces()[:1])


def test_a_model_of_another_form_than_its_parameters_say_is_refused(
    repository: Path, tmp_path: Path
) -> None:
    text = (repository / "fer_fp32" / "config.pbtxt").read_text()
    (tmp_path / "fer_fp32" / "1").mkdir(parents=True)
    (tmp_path / "fer_fp32" / "config.pbtxt").write_text(text.replace("dims: [7]", "dims: [8]"))
    model = (repository / "fer_fp32" / "1" / "model.onnx").read_bytes()
    (tmp_path / "fer_fp32" / "1" / "model.onnx").write_bytes(model)
    with (
        serving(tmp_path) as served,
        pytest.raises(BackendUnavailableError, match=r"\(8,\)\)\] with batches up to 4, expected"),
    ):
        open_triton("fer_fp32", TritonServer(served.url))


@pytest.mark.parametrize("content", [b"[1]", b"[" * 100_000])
def test_a_configuration_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(TritonServer, "answer", lambda *_: (content, None))
    with pytest.raises(BackendUnavailableError, match="configuration of 'x' on .* cannot be read"):
        open_triton("x")


def test_the_client_prints_a_line_of_json_for_each_picture(
    bundle: Bundle, served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [tmp_path / f"{number}.png" for number in range(2)]
    for path, face in zip(pictures, golden_faces(), strict=False):
        cv2.imwrite(str(path), face[..., ::-1])  # OpenCV writes blue, green, red
    words = ["--url", served.url, "--model", "fer_fp32", *map(str, pictures)]
    assert main(words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    logits = run_onnx(bundle.path / "model.fp32.onnx", golden_faces()[:2])
    scaled = np.exp(logits / TEMPERATURES[Precision.FP32])
    expected = scaled / scaled.sum(axis=1, keepdims=True)
    for path, line, row in zip(pictures, lines, expected, strict=True):
        assert line["file"] == str(path)
        assert line["label"] == RAFDB.classes[row.argmax()]
        np.testing.assert_allclose([*line["probabilities"].values()], row, rtol=1e-4)
        assert [*line["probabilities"]] == [*RAFDB.classes]
        assert line["temperature"] == TEMPERATURES[Precision.FP32]


def test_the_client_says_in_one_line_what_is_wrong(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.png"
    assert main(["--url", served.url, "--model", "fer_fp32", str(missing)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: cannot read ")
    assert error.count("\n") == 1


def test_the_client_ends_quietly_when_nobody_reads_on(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), golden_faces()[0])
    reading, writing = os.pipe()
    os.close(reading)
    words = ["--url", served.url, "--model", "fer_fp32", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "edge_arm.runtime.triton_client", *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_client_takes_a_name_that_the_output_cannot_spell(
    served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "Gesicht ä \udcff.png"  # a byte that is no UTF-8
    encoded = cv2.imencode(".png", golden_faces()[0])[1].tobytes()
    try:
        path.write_bytes(encoded)
    except OSError as error:
        pytest.skip(f"no such names here ({error})")
    done = subprocess.run(
        [sys.executable, "-m", "edge_arm.runtime.triton_client"]
        + ["--url", served.url, "--model", "fer_fp32", str(path)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["file"] == str(path)

"""`edge-arm inspect model.onnx --tensorrt VERSION`, on files that people have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import typer
from onnx import TensorProto
from onnx_builders import SYMMETRIC, model, node, pair
from tiny_bundle import tiny_bundle, with_cpu_variant
from typer.testing import CliRunner, Result

from edge_arm.cli.inspect import inspect
from edge_arm.runtime.errors import ExportError, UsageError

app = typer.Typer()
app.command()(inspect)
FLOAT = TensorProto.FLOAT
ALL = ["8.6", "10.3", "10.13", "10.16", "11.1"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def words(result: Result) -> str:
    """What was printed, without the table's lines and line breaks."""
    return " ".join(
        "".join(c if c.isprintable() and c not in "│┃" else " " for c in result.stdout).split()
    )


@pytest.fixture
def shifted(tmp_path: Path) -> Path:
    """Asymmetric activations, which every version refuses."""
    constants = {**SYMMETRIC, "zero": np.array(3, np.int8)}
    graph = model([*pair("x")], [("x", FLOAT, [1, 4])], [("x_real", FLOAT, [1, 4])], constants)
    onnx.save(graph, tmp_path / "shifted.onnx")
    return tmp_path / "shifted.onnx"


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """Fine, but for 8.6 the opset is too new."""
    graph = model(
        [node("Relu", "x", "y")], [("x", FLOAT, [1, 4])], [("y", FLOAT, [1, 4])], opset=19
    )
    onnx.save(graph, tmp_path / "newer.onnx")
    return tmp_path / "newer.onnx"


def test_a_refused_file_is_shown_with_node_rule_and_advice_and_status_1(shifted: Path) -> None:
    result = run(shifted, "--tensorrt", "10.3")
    assert result.exit_code == 1
    printed = words(result)
    assert "refused /x_steps zero-point got zero point 3, expected 0 everywhere" in printed
    assert "shifted.onnx: 2 refused, 0 unknown, 0 slow in TensorRT 10.3" in printed


def test_a_file_without_findings_has_status_0(newer: Path) -> None:
    result = run(newer, "--tensorrt", "10.3")
    assert result.exit_code == 0
    assert "newer.onnx: nothing on record speaks against it in TensorRT 10.3" in words(result)


def test_without_a_version_all_are_summarised_and_one_refusal_gives_status_1(newer: Path) -> None:
    result = run(newer)
    assert result.exit_code == 1
    printed = words(result)
    assert "8.6 1 0 0 opset 10.3 0 0 0 nothing on record" in printed
    assert all(f" {version} " in printed for version in ALL)


def test_json_has_every_version_and_finding(newer: Path) -> None:
    (found,) = json.loads(run(newer, "--json").stdout)
    assert found["file"] == "newer.onnx"
    assert list(found["tensorrt"]) == ALL
    (finding,) = found["tensorrt"]["8.6"]
    assert (finding["severity"], finding["node"], finding["rule"]) == ("refused", "model", "opset")
    assert finding["message"].startswith("got opset 19, expected 1 to 17")
    assert found["tensorrt"]["11.1"] == []


def test_a_bundles_models_are_all_held_against_the_version(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    result = run(bundle.path, "--tensorrt", "10.13", "--json")
    assert result.exit_code == 0
    files = [item["file"] for item in json.loads(result.stdout)]
    assert files == [item.file for item in bundle.manifest.artifacts]


def test_the_typed_model_does_not_count_where_engines_are_built_from_the_other(
    tmp_path: Path,
) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    result = run(bundle.path, "--tensorrt", "8.6")
    assert result.exit_code == 0
    assert "model.int8.typed.onnx: not used with TensorRT 8.6, where" in words(result)
    assert run(bundle.path / "model.int8.typed.onnx", "--tensorrt", "8.6").exit_code == 1


def test_a_bundle_without_a_version_is_shown_as_before(tmp_path: Path) -> None:
    result = run(tiny_bundle(tmp_path / "bundle").path)
    assert result.exit_code == 0
    assert "all with the SHA-256 that the manifest names" in words(result)


def test_an_unknown_version_is_refused_and_the_known_are_named(newer: Path) -> None:
    with pytest.raises(UsageError, match="got TensorRT version '7', expected one of 8.6, 10.3, 10"):
        run(newer, "--tensorrt", "7")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot read .*none.onnx.*No such file.*a bundle's fold"):
        run(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"# a text\n" * 20, b"\xff" * 100])
def test_a_file_that_is_no_onnx_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.md"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="other.md' is no ONNX file .*, expected an ONNX file"):
        run(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(ExportError, match="names no ONNX opset, expected one; it is no complete"):
        run(tmp_path / "empty.onnx")


def test_weights_that_lie_in_a_missing_file_are_refused(tmp_path: Path) -> None:
    graph = model(
        [node("Add", "x w", "y")],
        [("x", FLOAT, [4])],
        [("y", FLOAT, [4])],
        {"w": np.ones(4, np.float32)},
    )
    path = tmp_path / "split.onnx"
    onnx.save(graph, path, save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "weights").unlink()
    with pytest.raises(ExportError, match="split.onnx'.*weights.*expected an ONNX file"):
        run(path)


WITHOUT_ONNX = """
import sys
sys.modules["onnx"] = None
from edge_arm.cli.main import main
sys.argv = ["edge-arm", "inspect", sys.argv[1]]
raise SystemExit(main())
"""


def test_without_onnx_the_message_says_what_to_install(newer: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ONNX, str(newer)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: the onnx package is not installed, expected it for reading a model file; "
        "run: pip install 'edge-arm[workstation]'\n"
    )


def test_the_int8_model_for_cpus_counts_for_no_tensorrt(tmp_path: Path) -> None:
    # TensorRT takes uint8 nowhere, so held against its rules the file would be refused.
    bundle = with_cpu_variant(tiny_bundle(tmp_path / "bundle"))
    result = run(bundle.path, "--tensorrt", "11.1")
    assert result.exit_code == 0
    assert "model.int8.cpu.onnx: not used with TensorRT 11.1, where" in words(result)
    assert run(bundle.path / "model.int8.cpu.onnx").exit_code == 1

"""Packages that are broken in every way, looked at for real, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.runtime.doctor.apart import look_apart
from edge_arm.runtime.doctor.modules import ModuleFinding, OnnxRuntimeFinding
from edge_arm.runtime.tensorrt_probe import TensorRTFinding


def _package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, name: str = "tensorrt", text: str = ""
) -> Path:
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    return package


BROKEN = {
    "raises": ("raise RuntimeError('no symbol\\n  _ZN8nvinfer1')", "no symbol _ZN8nvinfer1"),
    "raises without a word": ("raise OSError", "OSError"),
    "crashes": (
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "it crashed when it was loaded (SIGSEGV)",
    ),
    "calls sys.exit": ("import sys; sys.exit('no licence')", "no licence"),
    "ends the process": (
        "import os, sys; sys.stderr.write('fatal: no board\\n'); sys.stderr.flush(); os._exit(7)",
        "it ended the process that loaded it (fatal: no board)",
    ),
    "ends it in silence": (
        "import os; os._exit(0)",
        "it ended the process that loaded it (it said nothing)",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_package_is_a_finding(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, error = BROKEN[case]
    _package(tmp_path, monkeypatch, text=text)
    assert look_apart("tensorrt", TensorRTFinding) == TensorRTFinding(error=error)


def test_a_package_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _package(tmp_path, monkeypatch, text="import time; time.sleep(60)")
    found = look_apart("tensorrt", TensorRTFinding, timeout_s=1.0)
    assert found.error == "it did not answer within 1 s"


def test_what_a_package_prints_does_not_get_into_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = (
        "import os\nprint('edge-arm found: nonsense')\n"
        "os.write(1, b'edge-arm found: from C\\n')\n__version__ = '9'\n"
    )
    _package(tmp_path, monkeypatch, name="cv2", text=noise)
    assert look_apart("opencv", ModuleFinding) == ModuleFinding(version="9")
    assert capfd.readouterr() == ("", "")


def test_a_package_that_crashes_when_it_is_unloaded_has_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import atexit, os\natexit.register(os.abort)\n__version__ = '9'\n"
    _package(tmp_path, monkeypatch, name="cv2", text=text)
    assert look_apart("opencv", ModuleFinding) == ModuleFinding(version="9")


def test_an_absent_package_is_told_from_one_that_lacks_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look_apart("pycuda", ModuleFinding) == ModuleFinding(installed=False)
    _package(tmp_path, monkeypatch, name="pycuda", text="")
    (tmp_path / "pycuda/driver.py").write_text("import pytools_of_nobody\n", encoding="utf-8")
    error = "No module named 'pytools_of_nobody'"
    assert look_apart("pycuda", ModuleFinding) == ModuleFinding(error=error)


def test_the_onnxruntime_of_this_machine_is_found_with_its_providers() -> None:
    import onnxruntime

    found = look_apart("onnxruntime", OnnxRuntimeFinding)
    assert found.works
    assert found.version == onnxruntime.__version__
    assert found.providers == tuple(onnxruntime.get_available_providers())


def test_a_provider_whose_library_does_not_load_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "__version__ = '1.24.4'\n"
        "def get_available_providers():\n"
        "    return ['CUDAExecutionProvider', 'CPUExecutionProvider']\n"
    )
    package = _package(tmp_path, monkeypatch, name="onnxruntime", text=text)
    (package / "capi").mkdir()
    (package / "capi/libonnxruntime_providers_cuda.so").write_text("half a file")
    found = look_apart("onnxruntime", OnnxRuntimeFinding)
    assert "libonnxruntime_providers_cuda.so" in found.cuda_error
    assert found.tensorrt_error == ""


def test_an_onnxruntime_that_was_removed_half_way_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(tmp_path, monkeypatch, name="onnxruntime", text="")
    found = look_apart("onnxruntime", OnnxRuntimeFinding)
    assert not found.works
    assert "get_available_providers" in found.error


def test_a_plugin_that_does_not_register_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "onnxruntime_ep_nv_tensorrt_rtx"
    text = "def get_library_path():\n    return '/nowhere/libplugin.so'\n"
    _package(tmp_path, monkeypatch, name=name, text=text)
    found = look_apart("rtx", ModuleFinding)
    assert found.installed
    assert "the TensorRT-RTX plugin does not load" in found.error

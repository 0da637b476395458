"""TensorRT looked at, on fakes of each version and on modules that are broken for real."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from device_fakes import ALL_VERSIONS, FakeMachine, installed

from edge_arm.runtime.tensorrt_probe import TensorRTFinding, look_at_tensorrt


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_each_version_starts_where_a_gpu_is(version: str) -> None:
    with installed(FakeMachine(tensorrt=version)) as machine:
        assert look_at_tensorrt(gpu=True) == TensorRTFinding(version=version)
    assert machine.faults == []
    assert machine.leaks() == []


def test_dla_cores_are_told_by_versions_that_can_use_them() -> None:
    with installed(FakeMachine(tensorrt="10.3.0", num_dla_cores=2)):
        assert look_at_tensorrt(gpu=True).dla_cores == 2
    with installed(FakeMachine(tensorrt="10.13.3", num_dla_cores=2)):
        assert look_at_tensorrt(gpu=True).dla_cores == 0


def test_without_a_gpu_the_version_is_told_and_nothing_is_started() -> None:
    with installed(FakeMachine(tensorrt="10.3.0", driver="missing")):
        assert look_at_tensorrt(gpu=False) == TensorRTFinding(version="10.3.0")


def test_a_driver_that_is_too_old_is_the_reason_in_tensorrts_words() -> None:
    with installed(FakeMachine(tensorrt="10.3.0", driver="old")):
        found = look_at_tensorrt(gpu=True)
    assert found.version == "10.3.0"
    assert found.error.startswith("CUDA initialization failure with error: 35")


def test_an_absent_tensorrt_is_told_from_a_broken_one() -> None:
    with installed(FakeMachine(tensorrt=None)):
        assert not look_at_tensorrt(gpu=True).installed


def _module(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (folder / "tensorrt.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)


def test_a_tensorrt_whose_library_is_missing_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "libnvinfer.so.10: cannot open shared object file: No such file or directory"
    _module(tmp_path, monkeypatch, f"raise ImportError({text!r})\n")
    assert look_at_tensorrt(gpu=True) == TensorRTFinding(error=text)


def test_a_tensorrt_older_than_8_6_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _module(tmp_path, monkeypatch, "__version__ = '8.5.2.2'\n")
    found = look_at_tensorrt(gpu=True)
    assert found.version == ""
    assert "got TensorRT '8.5.2.2', expected 8.6 or newer" in found.error
    sys.modules.pop("tensorrt", None)

"""Environments and machines made from files, as the doctor reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

from edge_arm.runtime.doctor.environment import (
    installed_version,
    python_environment,
    surroundings,
)


def _write(root: Path, name: str, text: str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_this_python_and_its_packages_are_told(tmp_path: Path) -> None:
    found = python_environment(tmp_path)
    assert found.version == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found.prefix == sys.prefix
    assert found.packages["numpy"] == version("numpy")
    assert found.system_tensorrt == ()


def test_a_tensorrt_of_the_system_is_found_by_its_python(tmp_path: Path) -> None:
    _write(tmp_path, "usr/lib/python3.10/dist-packages/tensorrt/__init__.py")
    _write(tmp_path, "usr/lib/python3/dist-packages/tensorrt/__init__.py")
    assert python_environment(tmp_path).system_tensorrt == ("3", "3.10")


def test_metadata_that_is_half_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, "pycuda-2026.1.dist-info/METADATA", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_version("pycuda") == ""
    assert installed_version("a-package-of-nobody") == ""


def test_the_advice_to_make_an_environment_again_keeps_its_packages(tmp_path: Path) -> None:
    """The doctor's `python -m venv --system-site-packages FOLDER` on a folder that is one."""
    venv.create(tmp_path / "env", with_pip=False)
    (packages,) = (tmp_path / "env/lib").glob("python3*/site-packages")
    kept = _write(packages, "mine.py")
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", "env"],
        cwd=tmp_path,
        check=True,
    )
    text = (tmp_path / "env/pyvenv.cfg").read_text(encoding="utf-8")
    assert "include-system-site-packages = true" in text
    assert kept.exists()


def test_a_bare_machine_has_nothing(tmp_path: Path) -> None:
    found = surroundings(tmp_path)
    assert (found.toolkit, found.toolkit_version) == ("", "")
    assert not (found.nvidia_card or found.container or found.no_rights)
    assert not found.tensorrt_libraries


def test_the_toolkit_is_told_by_its_own_file(tmp_path: Path) -> None:
    _write(tmp_path, "usr/local/cuda/bin/nvcc")
    _write(tmp_path, "usr/local/cuda/include/cuda.h")
    _write(
        tmp_path,
        "usr/local/cuda/version.json",
        json.dumps({"cuda": {"name": "CUDA SDK", "version": "12.6.11"}}),
    )
    found = surroundings(tmp_path)
    assert found.toolkit == str(tmp_path / "usr/local/cuda")
    assert found.toolkit_version == "12.6.11"


def test_a_toolkit_without_that_file_is_asked(tmp_path: Path) -> None:
    nvcc = _write(
        tmp_path,
        "usr/local/cuda/bin/nvcc",
        "#!/bin/sh\necho 'Cuda compilation tools, release 12.2, V12.2.140'\n",
    )
    nvcc.chmod(0o755)
    _write(tmp_path, "usr/local/cuda/include/cuda.h")
    assert surroundings(tmp_path).toolkit_version == "12.2"


def test_a_compiler_without_headers_is_no_toolkit(tmp_path: Path) -> None:
    _write(tmp_path, "usr/local/cuda/bin/nvcc")
    assert surroundings(tmp_path).toolkit == ""


def test_a_toolkit_that_tells_no_version_is_still_one(tmp_path: Path) -> None:
    _write(tmp_path, "usr/local/cuda/bin/nvcc", "not a program")
    _write(tmp_path, "usr/local/cuda/include/cuda.h")
    _write(tmp_path, "usr/local/cuda/version.json", "{")
    found = surroundings(tmp_path)
    assert found.toolkit
    assert found.toolkit_version == ""


def _device(root: Path, name: str, vendor: str, kind: str) -> None:
    _write(root, f"sys/bus/pci/devices/{name}/vendor", f"{vendor}\n")
    _write(root, f"sys/bus/pci/devices/{name}/class", f"{kind}\n")


def test_a_card_is_a_display_controller_of_nvidia(tmp_path: Path) -> None:
    _device(tmp_path, "0000:00:02.0", "0x8086", "0x030000")
    _device(tmp_path, "0000:01:00.1", "0x10de", "0x040300")
    assert not surroundings(tmp_path).nvidia_card
    _device(tmp_path, "0000:01:00.0", "0x10de", "0x030000")
    assert surroundings(tmp_path).nvidia_card


@pytest.mark.parametrize("name", [".dockerenv", "run/.containerenv"])
def test_containers_are_told_by_their_mark(tmp_path: Path, name: str) -> None:
    _write(tmp_path, name)
    assert surroundings(tmp_path).container


@pytest.mark.parametrize(
    ("value", "hidden"), [("", True), ("-1", True), ("0", False), (None, False)]
)
def test_an_environment_that_hides_every_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, hidden: bool
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert surroundings(tmp_path).hidden == hidden


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every device")
def test_a_gpu_that_this_user_may_not_open(tmp_path: Path) -> None:
    _write(tmp_path, "dev/nvmap").chmod(0)
    assert surroundings(tmp_path).no_rights


def test_the_systems_tensorrt_libraries_are_found(tmp_path: Path) -> None:
    _write(tmp_path, "usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0")
    assert surroundings(tmp_path).tensorrt_libraries

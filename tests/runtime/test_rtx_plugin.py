"""TensorRT-RTX as ONNX Runtime's plugin: the real ONNX Runtime, a plugin that is not there."""

from __future__ import annotations

import importlib.util
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from tiny_bundle import tiny_model

from edge_arm.runtime import onnxruntime_backend
from edge_arm.runtime.errors import BackendError, BackendUnavailableError
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
from edge_arm.runtime.rtx_plugin import PROVIDER, rtx_devices

PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"


def plugin(library: Path) -> types.ModuleType:
    """The plugin's Python package, with a library of our choice."""
    module = types.ModuleType(PLUGIN)
    module.get_library_path = lambda: str(library)  # type: ignore[attr-defined]
    return module


def test_a_missing_plugin_is_said_with_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PLUGIN, None)
    path = tmp_path / "model.onnx"
    onnx.save(tiny_model(), path)
    with pytest.raises(BackendUnavailableError, match=r"run: pip install 'edge-arm\[rtx\]'"):
        OnnxRuntimeBackend(path, provider="rtx")


def test_a_library_that_does_not_load_is_told_in_onnx_runtimes_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PLUGIN, plugin(tmp_path / "missing.so"))
    with pytest.raises(BackendUnavailableError, match=r"does not load \(.*missing\.so.*\), expect"):
        rtx_devices(onnxruntime)


@pytest.mark.skipif(importlib.util.find_spec(PLUGIN) is None, reason="the plugin is not installed")
def test_the_real_plugin_without_a_driver_asks_for_one() -> None:
    with pytest.raises(BackendUnavailableError, match="install one, or choose --provider cpu"):
        rtx_devices(onnxruntime)


@dataclass(frozen=True)
class Device:
    """One device of ONNX Runtime's list."""

    ep_name: str


class Runtime:
    """An ONNX Runtime with a plugin interface and the devices that it is given."""

    __version__ = "1.24.4"

    def __init__(self, *devices: Device) -> None:
        self.devices: list[Device] = []
        self.after = list(devices)

    def get_ep_devices(self) -> list[Device]:
        return self.devices

    def register_execution_provider_library(self, name: str, path: str) -> None:
        self.registered = (name, path)
        self.devices = self.after


def test_the_plugin_is_registered_once_and_gives_its_own_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PLUGIN, plugin(tmp_path / "plugin.so"))
    card = Device(PROVIDER)
    runtime = Runtime(Device("CPUExecutionProvider"), card)
    assert rtx_devices(runtime) == [card]
    assert runtime.registered == (PROVIDER, str(tmp_path / "plugin.so"))
    del runtime.registered
    assert rtx_devices(runtime) == [card]
    assert not hasattr(runtime, "registered")


def test_a_card_that_is_not_accepted_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PLUGIN, plugin(tmp_path / "plugin.so"))
    with pytest.raises(
        BackendUnavailableError, match="accepts no GPU of this machine, expected an"
    ):
        rtx_devices(Runtime(Device("CPUExecutionProvider")))


def test_an_old_onnx_runtime_is_said() -> None:
    old = types.SimpleNamespace(__version__="1.20.0")
    with pytest.raises(BackendUnavailableError, match="got ONNX Runtime 1.20.0, expected 1.24 or"):
        rtx_devices(old)


@pytest.mark.parametrize(
    ("int8", "words"),
    [
        (True, "lists INT8 for weights only, and this is a model with INT8 activations: use fp16"),
        (False, "ONNX Runtime cannot load"),
    ],
)
def test_a_refused_int8_model_is_explained(
    int8: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(tiny_model(int8=int8), path)

    class Options:
        log_severity_level = 3

        def add_session_config_entry(self, key: str, value: str) -> None:
            """Accept anything."""

        def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
            assert devices == [Device(PROVIDER)]

    def refuse(path: str, options: Options) -> None:
        raise RuntimeError("node_of_int8: no kernel")

    runtime = Runtime()
    runtime.devices = [Device(PROVIDER)]
    runtime.SessionOptions = Options  # type: ignore[attr-defined]
    runtime.InferenceSession = refuse  # type: ignore[attr-defined]
    monkeypatch.setattr(onnxruntime_backend, "load_onnxruntime", lambda: runtime)
    with pytest.raises(BackendError, match=words):
        OnnxRuntimeBackend(path, provider="rtx")

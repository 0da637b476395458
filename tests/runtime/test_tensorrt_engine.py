"""A plan is loaded, or it is said why not; what runs of it is in `test_tensorrt_backend`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from device_fakes import ALL_VERSIONS, FakeMachine, installed
from engine_records import engine_record

from edge_arm.runtime.errors import BackendUnavailableError
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.tensorrt_engine import load_engine, rebuild_command
from edge_arm.runtime.tensorrt_library import load_tensorrt


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_a_driver_too_old_for_tensorrt_is_said_when_an_engine_is_loaded(version: str) -> None:
    with (
        installed(FakeMachine(tensorrt=version, driver="old")),
        pytest.raises(BackendUnavailableError, match=r"does not start .*error: 35.*NVIDIA driver"),
    ):
        load_engine(load_tensorrt(), b"a plan", engine_record(), command="edge-arm build")


def test_the_command_names_the_bundle_that_the_engine_lies_in(tmp_path: Path) -> None:
    plan = tmp_path / "my bundle" / "engines" / "orin-10.3.0" / "int8-dla1.plan"
    record = replace(engine_record(Precision.INT8), dla_core=1)
    bundle = tmp_path / "my bundle"
    assert rebuild_command(record, plan) == (
        f"edge-arm build --bundle '{bundle}' --precision int8 --dla 1"
    )
    assert rebuild_command(record, Path("int8.plan")) == ("edge-arm build --precision int8 --dla 1")

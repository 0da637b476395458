"""Building on a machine that is not here, and looking at what is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx
from device_fakes import FakeMachine, installed

from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_from_bundle import engine_from_bundle
from edge_arm.runtime.engine_record import EngineRecord
from edge_arm.runtime.manifest import Bundle, open_bundle, write_manifest
from edge_arm.runtime.storage import sha256_of_file


def build(machine: FakeMachine, bundle: Bundle, config: BuildConfig) -> EngineRecord:
    """Build on a machine, and hold it to having made no mistake and left nothing behind."""
    with installed(machine):
        try:
            return engine_from_bundle(bundle, config)
        finally:
            assert machine.faults == []
            assert machine.leaks() == []


def with_model(bundle: Bundle, file: str, model: onnx.ModelProto) -> Bundle:
    """The bundle with another model under this name, and a manifest that vouches for it."""
    onnx.save(model, bundle.path / file)
    artifacts = tuple(
        replace(item, sha256=sha256_of_file(bundle.path / file)) if item.file == file else item
        for item in bundle.manifest.artifacts
    )
    write_manifest(bundle.path, replace(bundle.manifest, artifacts=artifacts))
    return open_bundle(bundle.path)


def files_in(bundle: Bundle) -> Sequence[str]:
    """Names in the bundle's folders of engines, hidden ones too; the lock is no result."""
    found = [path for path in bundle.path.glob("engines/*/*") if path.name != ".lock"]
    return sorted(path.name for path in found)

"""The recorded APIs, read once: what exists in which release, with which arguments."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_FOLDER = Path(__file__).parent
_TENSORRT: Record = json.loads((_FOLDER / "tensorrt_api.json").read_text(encoding="utf-8"))

ALL_VERSIONS: tuple[str, ...] = tuple(_TENSORRT["_versions"])
"""The TensorRT releases that are recorded: JetPack 6.0, 6.1/6.2, 7.1, 7.2 and desktop 11."""


@cache
def tensorrt_record(version: str) -> dict[str, Record]:
    """The API of one TensorRT: name -> record; a class's record has its members.

    Args:
        version: one of `ALL_VERSIONS`.
    """
    if version not in ALL_VERSIONS:
        raise ValueError(f"got TensorRT {version!r}, recorded are {', '.join(ALL_VERSIONS)}")
    position = str(ALL_VERSIONS.index(version))
    found = {}
    for name, entry in _TENSORRT.items():
        if (
            name not in ("_about", "_versions")
            and (record := _of(entry["itself"], position)) is not None
        ):
            members = {
                member: known
                for member, records in entry["members"].items()
                if (known := _of(records, position)) is not None
            }
            found[name] = {**record, "members": members}
    return found


@cache
def pycuda_record() -> Record:
    """The part of pycuda.driver that edge-arm may touch."""
    record: Record = json.loads((_FOLDER / "pycuda_api.json").read_text(encoding="utf-8"))
    return record


@cache
def cuda_python_record() -> Record:
    """The part of cuda.bindings.driver that edge-arm may touch."""
    record: Record = json.loads((_FOLDER / "cuda_python_api.json").read_text(encoding="utf-8"))
    return record


def _of(records: dict[str, Record], position: str) -> Record | None:
    return next((record for releases, record in records.items() if position in releases), None)

"""Cut TensorRT's whole recorded API down to what edge-arm can touch; run by hand.

    python tests/fakes/device_fakes/make_record.py PATH/TO/tensorrt_api.json

The source lists, per release, every class, enum and function of NVIDIA's public pybind11 sources
(github NVIDIA/TensorRT, python/src at the tag of the release). Whole classes are kept, so that a
call that is new in edge-arm is held against the truth and not against what was once thought of.
A record is written once for all releases in which it is the same; its key are their numbers in
`_versions`: "014" is 8.6.1, 10.3.0 and 11.1.0.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

VERSIONS = ("8.6.1", "10.3.0", "10.13.3", "10.16.0", "11.1.0")
OUTPUT = Path(__file__).with_name("tensorrt_api.json")
KEPT = frozenset(
    [
        "Builder",
        "BuilderFlag",
        "CalibrationAlgoType",
        "DataType",
        "DeviceType",
        "Dims",
        "EngineCapability",
        "EngineInspector",
        "ErrorCode",
        "ExecutionContextAllocationStrategy",
        "HardwareCompatibilityLevel",
        "IBuilderConfig",
        "ICudaEngine",
        "IExecutionContext",
        "IHostMemory",
        "IInt8Calibrator",
        "IInt8EntropyCalibrator",
        "IInt8EntropyCalibrator2",
        "IInt8MinMaxCalibrator",
        "ILayer",
        "ILogger",
        "ILogger.Severity",
        "INetworkDefinition",
        "IOptimizationProfile",
        "ITensor",
        "ITimingCache",
        "IVersionedInterface",
        "LayerInformationFormat",
        "LayerType",
        "Logger",
        "MemoryPoolType",
        "NetworkDefinitionCreationFlag",
        "OnnxParser",
        "OnnxParserFlag",
        "ParserError",
        "ProfilingVerbosity",
        "QuantizationFlag",
        "Runtime",
        "TacticSource",
        "TensorFormat",
        "TensorIOMode",
        "TensorLocation",
        "__version__",
        "bool",
        "bfloat16",
        "e8m0",
        "float16",
        "float32",
        "fp4",
        "fp8",
        "int32",
        "int4",
        "int64",
        "int8",
        "uint8",
        "nptype",
        "volume",
    ]
)
NETWORK_MAKERS = "add_"
"""Begin of the methods of INetworkDefinition that are left out: edge-arm's come from a parser."""


def trimmed(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what says nothing."""
    return {key: value for key, value in record.items() if value not in ({}, None)}


def noted(known: dict[str, Any], record: dict[str, Any], position: int) -> None:
    """Add a record to those of the other releases: `{"releases that have it": record}`."""
    for releases, other in list(known.items()):
        if other == record:
            known[releases + str(position)] = known.pop(releases)
            return
    known[str(position)] = record


def main() -> int:
    """Write the record beside this file."""
    source = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    entries: dict[str, dict[str, Any]] = {}
    for position, version in enumerate(VERSIONS):
        for name in sorted(KEPT & source[version].keys()):
            entry = entries.setdefault(name, {"itself": {}, "members": {}})
            record = dict(source[version][name])
            members = record.pop("members", {})
            noted(entry["itself"], trimmed(record), position)
            for member in sorted(members):
                if not (name == "INetworkDefinition" and member.startswith(NETWORK_MAKERS)):
                    known = entry["members"].setdefault(member, {})
                    noted(known, trimmed(members[member]), position)
    lines = [
        f"{json.dumps(name)}: {json.dumps(entries[name], separators=(',', ':'))}"
        for name in sorted(entries)
    ]
    about = f'"_about": {json.dumps(source["_about"])}'
    versions = f'"_versions": {json.dumps(list(VERSIONS))}'
    OUTPUT.write_text("{\n" + ",\n".join([about, versions, *lines]) + "\n}\n", encoding="utf-8")
    print(f"{OUTPUT.name}: {len(entries)} entries, {OUTPUT.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What each TensorRT can do, from 8.6 to 11, as one table that building and running both go by.

Nothing else in edge-arm asks a version number or uses `hasattr`: code reads a field of
`TensorRTCapabilities`, and the conformance test holds each guarded call against the recorded API
of the versions for which the field is true.

Source: NVIDIA's public bindings at the tag of each release; docs/tensorrt.md has the evidence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_arm.runtime.errors import BackendUnavailableError

OLDEST = (8, 6)
"""JetPack 6.0. Older ones lack named tensors or uint8 inputs."""

NEWEST_RECORDED = (11, 1)
"""The newest release whose bindings are public; later ones are taken to be like it."""


@dataclass(frozen=True)
class TensorRTCapabilities:
    """One version's abilities.

    Attributes:
        version: major and minor.
        explicit_batch_flag: the network must be created with EXPLICIT_BATCH (8.x and 9.x).
        strongly_typed_flag: STRONGLY_TYPED exists and has a meaning (9.x and 10.x).
        always_typed: every network is strongly typed (11).
        builds_typed: edge-arm builds strongly typed networks: where they are complete (10.12).
        precision_flags: BuilderFlag.FP16 and INT8 exist (up to 10).
        calibrators: implicit INT8 through a calibration cache exists (up to 10).
        dla: the DLA cores of an Orin can be used (up to 10.7; 11 brings them back from 11.4.1 on
            in a form that is not recorded and not supported here).
        device_memory_size_v2: the engine tells its memory under that name (10.1).
        parser_node_names: ParserError has node_name and node_operator (9).
        cache_version: the number that a calibration cache of this version starts with.
    """

    version: tuple[int, int]
    explicit_batch_flag: bool
    strongly_typed_flag: bool
    always_typed: bool
    builds_typed: bool
    precision_flags: bool
    calibrators: bool
    dla: bool
    device_memory_size_v2: bool
    parser_node_names: bool
    cache_version: int


def capabilities_of(version_text: str) -> TensorRTCapabilities:
    """The abilities of a TensorRT.

    Args:
        version_text: `tensorrt.__version__`, such as "10.3.0" or "8.6.2.3".

    Raises:
        BackendUnavailableError: if it is older than 8.6, or no version at all.
    """
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version_text)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if match is None or version < OLDEST:
        raise BackendUnavailableError(
            f"got TensorRT {version_text!r}, expected 8.6 or newer (JetPack 6.0 or newer); "
            "on an older JetPack build the ONNX files with trtexec"
        )
    major, minor, patch = *version, int(match[3] or 0)
    return TensorRTCapabilities(
        version=version,
        explicit_batch_flag=major < 10,
        strongly_typed_flag=9 <= major < 11,
        always_typed=major >= 11,
        builds_typed=version >= (10, 12),
        precision_flags=major < 11,
        calibrators=major < 11,
        dla=version <= (10, 7),
        device_memory_size_v2=version >= (10, 1),
        parser_node_names=major >= 9,
        # NV_TENSORRT_VERSION: 8601 for 8.6.1, 100300 for 10.3.0.
        cache_version=(
            major * 1000 + minor * 100 + patch
            if major < 10
            else major * 10000 + minor * 100 + patch
        ),
    )

"""The quantizers by the name that `--peers` takes; importing this imports none of them."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "edge-arm"
FLOAT_HEAD = "+float-head"
"""Behind a peer's name: it is told to leave the head in float, as ours does by itself."""

_MODULES = {
    OURS: ("toolkit", None),
    "modelopt-max": ("model_optimizer", "max"),
    "modelopt-entropy": ("model_optimizer", "entropy"),
    "onnxruntime-minmax": ("onnx_runtime", "minmax"),
    "onnxruntime-entropy": ("onnx_runtime", "entropy"),
    "onnxruntime-percentile": ("onnx_runtime", "percentile"),
    "nncf": ("nncf_preset", "performance"),
}
PEERS = tuple(name for name in _MODULES if name != OURS)
DEFAULT = tuple(name for peer in PEERS for name in (peer, peer + FLOAT_HEAD))


@dataclass(frozen=True)
class Quantizer:
    """Which code to call.

    Attributes:
        module: in this folder.
        method: passed to its `quantize`.
        float_head: whether it is told to leave the head in float.
    """

    module: str
    method: str | None
    float_head: bool


def quantizer(name: str) -> Quantizer:
    """The quantizer of a name.

    Args:
        name: a peer's with or without `FLOAT_HEAD`, "edge-arm", or "edge-arm-METHOD".

    Raises:
        ValueError: if there is none.
    """
    if name.startswith(f"{OURS}-"):
        return Quantizer("toolkit", name.removeprefix(f"{OURS}-"), float_head=False)
    plain = name.removesuffix(FLOAT_HEAD)
    if plain not in _MODULES or (plain == OURS and plain != name):
        raise ValueError(
            f"got the quantizer {name!r}, expected one of {', '.join(_MODULES)}, a peer's name "
            f"with {FLOAT_HEAD!r} behind it, or '{OURS}-METHOD'"
        )
    module, method = _MODULES[plain]
    return Quantizer(module, method, plain != name)

"""Tensors by name from other people's files, read without running code from them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from edge_arm.runtime.errors import CheckpointError

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""What a training saves its weights under, beside its own state."""
_PREFIXES = ("module.", "model.", "encoder.")
# Positions in nn.Sequential(*list(resnet.children())[:-2]): the maximum pool is 3, a ReLU 2.
_NUMBERED = {
    "0": "conv1",
    "1": "bn1",
    "4": "layer1",
    "5": "layer2",
    "6": "layer3",
    "7": "layer4",
}
_BACKBONE = re.compile(r"(conv1|bn1|layer[1-4])\.")


def tensors_from_file(path: Path, expected: str) -> dict[str, Tensor]:
    """Everything that a file holds under a name, whatever it is wrapped in.

    Args:
        path: `.pth` / `.pt` / `.tar` of PyTorch, or safetensors.
        expected: end of an error message: what the file should be, and what to do.

    Raises:
        CheckpointError: if the file cannot be read, could run code, or holds something else.
    """
    content = _content(path, expected)
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise CheckpointError(f"{str(path)!r} holds a {type(content).__name__}, {expected}")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def our_name(name: str) -> str:
    """The name of a published tensor in our model, if it is a backbone's; its own otherwise.

    Args:
        name: torchvision's, with "module." (DataParallel) or "features." in front, or numbered
            inside "features", as in the code of ARM and DAN.
    """
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    numbered = re.match(r"features\.(\d)\.", name)
    if numbered and numbered[1] in _NUMBERED:
        name = f"{_NUMBERED[numbered[1]]}.{name[numbered.end() :]}"
    name = name.removeprefix("features.")
    return f"backbone.{name}" if _BACKBONE.match(name) else name


def _content(path: Path, expected: str) -> Any:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load(path.read_bytes())
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot read {str(path)!r} ({error.strerror or error}), {expected}"
        ) from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{str(path)!r} was refused by PyTorch's weights_only=True: it is damaged, or holds "
            "more than weights and reading it could run code; expected a state_dict alone; save it "
            "again as safetensors where you trust it"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"cannot read {str(path)!r} ({reason}), {expected}") from error

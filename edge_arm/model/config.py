"""What kind of model: the head, the number of classes and the size of the input."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from edge_arm.runtime.errors import UsageError

FEATURE_CHANNELS = 512
"""Channels behind layer4 of ResNet-18."""


class Head(Enum):
    """What stands between ResNet-18's features and the logits."""

    ARM = "arm"
    """The amend representation module."""
    POOL = "pool"
    """Global average pooling: plain ResNet-18, the baseline."""
    DA = "da"
    """De-albino alone; this and those below are for the ablation (partial_heads.py)."""
    FA_DA = "fa-da"
    """Feature arrangement and de-albino."""
    SA = "sa"
    """Sharing affinity alone."""


EXPORTABLE_HEADS = (Head.ARM, Head.POOL)
"""Heads that the ONNX graph is written for."""

_SMALLEST_SIZE = {Head.ARM: 96, Head.POOL: 32, Head.DA: 32, Head.FA_DA: 96, Head.SA: 32}


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model.

    Attributes:
        num_classes: C.
        image_size: S, height and width of the input in pixels. A multiple of 16; for ARM at
            least 96, because below that its 32-pixel kernel has no more than one position.
        head: what follows the features.
    """

    num_classes: int = 7
    image_size: int = 224
    head: Head = Head.ARM

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise UsageError(
                f"got {self.num_classes} classes, expected at least 2; "
                "train on a data set with more expressions"
            )
        smallest = _SMALLEST_SIZE[self.head]
        if self.image_size < smallest or self.image_size % 16:
            raise UsageError(
                f"got image size {self.image_size}, expected a multiple of 16 and at least "
                f"{smallest} for the head {self.head.value!r}; use --image-size 112 or 224"
            )

    @property
    def feature_size(self) -> int:
        """h: height and width of the features behind layer4, the size halved five times."""
        return -(-self.image_size // 32)


def model_config_to_json(config: ModelConfig) -> dict[str, Any]:
    """The JSON form that `model_config_from_json` reads."""
    return {
        "backbone": "resnet18",
        "num_classes": config.num_classes,
        "image_size": config.image_size,
        "head": config.head.value,
    }


def model_config_from_json(value: Any) -> ModelConfig:
    """Read the JSON form.

    Raises:
        ValueError: if the value has another form or names another backbone or head.
    """
    if not isinstance(value, dict) or value.get("backbone") != "resnet18":
        raise ValueError(f"got {value!r} as model, expected an object with backbone 'resnet18'")
    try:
        return ModelConfig(
            num_classes=int(value["num_classes"]),
            image_size=int(value["image_size"]),
            head=Head(value["head"]),
        )
    except (KeyError, TypeError, UsageError) as error:
        raise ValueError(f"got {value!r} as model: {error}") from error

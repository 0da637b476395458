"""The one preprocessing of a face, shared by training, calibration, measuring and the runtime.

A client resizes a face to the model's size and does nothing else: colour normalisation is part of
the exported graph (input contract: uint8 NHWC RGB). So the workstation and the device cannot
disagree about anything but this one function, and both call it.

Shapes: H, W picture height and width; S model input size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import BundleError

Uint8Array = npt.NDArray[np.uint8]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Interpolation(Enum):
    """How a face is resized. `AREA_OR_LINEAR`: area when both sides shrink, bilinear otherwise.

    Bilinear alone aliases when a large face shrinks by more than two; area alone shows blocks
    when a small one grows.
    """

    AREA_OR_LINEAR = "area-or-linear"


@dataclass(frozen=True)
class PreprocessSpec:
    """What turns a decoded face into the model's input. Written into every artefact.

    Attributes:
        size: S, height and width of the input in pixels.
        mean: per RGB channel, on the 0..1 scale; subtracted inside the graph.
        std: per RGB channel, on the 0..1 scale; divided inside the graph.
        interpolation: of the resize.
    """

    size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: Interpolation = Interpolation.AREA_OR_LINEAR


def resize_face(image_hwc: Uint8Array, size: int) -> Uint8Array:
    """Resize a face to the model's input; the only preprocessing there is outside the graph.

    Args:
        image_hwc: (H, W, 3) uint8 RGB, any aspect; it is not cropped, so a non-square crop is
            squeezed, as all published figures on RAF-DB, AffectNet and SFEW do.
        size: S.

    Returns:
        (S, S, 3) uint8 RGB; the input itself if it has this size already.
    """
    height, width = image_hwc.shape[:2]
    if (height, width) == (size, size):
        return image_hwc
    shrinks = height > size and width > size
    resized = cv2.resize(
        image_hwc, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return resized.astype(np.uint8, copy=False)


def preprocess_to_json(spec: PreprocessSpec) -> dict[str, Any]:
    """The JSON form, with the parts of the contract that never change spelled out for readers."""
    return {
        "size": spec.size,
        "layout": "NHWC",
        "dtype": "uint8",
        "color_order": "RGB",
        "interpolation": spec.interpolation.value,
        "mean": list(spec.mean),
        "std": list(spec.std),
    }


def preprocess_from_json(value: Any) -> PreprocessSpec:
    """Read the JSON form.

    Raises:
        BundleError: if it is another contract than the one this version computes.
    """
    try:
        fixed = {"layout": "NHWC", "dtype": "uint8", "color_order": "RGB"}
        for key, expected in fixed.items():
            if value[key] != expected:
                raise BundleError(
                    f"preprocessing has {key} {value[key]!r}, expected {expected!r}; "
                    "export the model again with this version of edge-arm"
                )
        mean_r, mean_g, mean_b = (float(item) for item in value["mean"])
        std_r, std_g, std_b = (float(item) for item in value["std"])
        size = int(value["size"])
        if size < 1 or not all(0 < item < math.inf for item in (std_r, std_g, std_b)):
            raise ValueError("size and std must be above 0")
        return PreprocessSpec(
            size=size,
            mean=(mean_r, mean_g, mean_b),
            std=(std_r, std_g, std_b),
            interpolation=Interpolation(value["interpolation"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"got {value!r} as preprocessing, expected size, layout, dtype, color_order, "
            "interpolation, mean and std; export the model again"
        ) from error

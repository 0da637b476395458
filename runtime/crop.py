"""The part of a picture that is the face, for data sets that ship whole photographs.

A face box of a data set often reaches over the edge of its picture, because detectors answer with
squares. Such a box is cut at the edge: padding would show the model pixels that nobody took. A box
with nothing of the picture in it is an error.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.errors import DataError, ImageError
from edge_arm.runtime.preprocess import Uint8Array


@dataclass(frozen=True)
class CropBox:
    """A rectangle in pixels of a picture as a viewer shows it; y counts downwards.

    Attributes:
        x: of the left column; negative if the box begins outside.
        y: of the upper row; the same.
        width: in columns, at least 1.
        height: in rows, at least 1.
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise DataError(
                f"got a face box of {self.width} x {self.height} pixels, expected at least 1 x 1; "
                "correct the box or take its row out"
            )

    @property
    def fragment(self) -> str:
        """As the end of a name, in the form of W3C Media Fragments 1.0: "#xywh=12,8,200,210"."""
        return f"#xywh={self.x},{self.y},{self.width},{self.height}"


def cropped(image_hwc: Uint8Array, box: CropBox, name: str) -> Uint8Array:
    """The part of a picture inside a box, cut at the picture's edge.

    Args:
        image_hwc: (H, W, 3) uint8.
        box: in its pixels.
        name: of the picture, for the error message.

    Returns:
        (height, width, 3) uint8 of its own, less where the box reaches over the edge.

    Raises:
        ImageError: if nothing of the picture is in the box.
    """
    height, width = image_hwc.shape[:2]
    # A negative start would count from the other end.
    left, top = max(box.x, 0), max(box.y, 0)
    right, bottom = min(box.x + box.width, width), min(box.y + box.height, height)
    if right <= left or bottom <= top:
        raise ImageError(
            f"{name!r} has {width} x {height} pixels and the face box x {box.x}, y {box.y}, width "
            f"{box.width}, height {box.height} is outside of it, expected a box on the picture; "
            "correct the row of this picture or take it out"
        )
    # A copy, so that a small face does not keep a whole photograph in memory.
    return image_hwc[top:bottom, left:right].copy()

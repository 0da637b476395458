"""What a user can say about finding faces, parsed from text once."""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.errors import UsageError

HAAR = "haar"
"""The name of the default detector: OpenCV's cascade for frontal faces, which pip brings along."""

_SMALLEST_LOOK_PX = 32


@dataclass(frozen=True)
class SmallestFace:
    """Faces below this size are left alone; of the two limits the larger counts.

    Attributes:
        pixels: side of the face in pixels of the picture.
        share: of the picture's longer side, 0..1. It keeps the time for a picture the same whatever
            the resolution: half the smallest face costs three to four times as much.
    """

    pixels: int = 0
    share: float = 0.0625

    def side_px(self, height: int, width: int) -> float:
        """The limit in a picture of this size, in its pixels."""
        return max(float(self.pixels), self.share * max(height, width))


@dataclass(frozen=True)
class DetectionConfig:
    """How faces are found.

    Attributes:
        detector: "haar", or a file: YuNet as ONNX, another cascade as XML.
        look_px: the detector sees a picture reduced to this many pixels on its longer side; None
            for all of it.
        smallest: face to look for.
        min_score: on the detector's own scale; None for what was measured to be a good limit.
    """

    detector: str = HAAR
    look_px: int | None = 640
    smallest: SmallestFace = SmallestFace()
    min_score: float | None = None

    def __post_init__(self) -> None:
        if self.look_px is not None and self.look_px < _SMALLEST_LOOK_PX:
            raise UsageError(
                f"got {self.look_px} pixels to look at, expected at least {_SMALLEST_LOOK_PX}; "
                "use 640, or None for the whole picture"
            )


def look_px_from_text(text: str) -> int | None:
    """Read how much of a picture is looked at: "640" pixels on the longer side, or "full".

    Raises:
        UsageError: if it is neither.
    """
    if text == "full":
        return None
    if text.isdecimal() and int(text) >= _SMALLEST_LOOK_PX:
        return int(text)
    raise UsageError(
        f"got {text!r} as the size to look at, expected 'full' or pixels of the longer side, "
        f"{_SMALLEST_LOOK_PX} at least; write --look-at 640"
    )


def smallest_face_from_text(text: str) -> SmallestFace:
    """Read the smallest face to look for: "40" pixels, or "5%" of the picture's longer side.

    Raises:
        UsageError: if it is neither.
    """
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
            if 0 < share <= 1:
                return SmallestFace(share=share)
        elif int(text) >= 1:
            return SmallestFace(pixels=int(text), share=0.0)
    except ValueError:
        pass
    raise UsageError(
        f"got {text!r} as the smallest face, expected pixels or a share of the picture's longer "
        "side; write --min-face 40 or --min-face 5%"
    )

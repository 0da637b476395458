"""What kind of frames a pipeline gives, read from what `gst-launch-1.0 -v` prints.

It prints the caps of each pad once they are settled, in a form that has not changed since
GStreamer 1.0: ``.../GstCapsFilter:NAME.GstPad:src: caps = video/x-raw, width=(int)640, ...``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FILTER_NAME = "edge_arm_frames"
"""Of the element whose caps count."""

_OF_THE_FILTER = f":{FILTER_NAME}.GstPad:src: caps = "


@dataclass(frozen=True)
class RawVideo:
    """Frames of RGB bytes.

    Attributes:
        width: in pixels.
        height: in pixels.
        frames_per_s: None where it varies or is not known.
    """

    width: int
    height: int
    frames_per_s: float | None

    @property
    def row_bytes(self) -> int:
        """GStreamer begins each row at a multiple of four bytes."""
        return -(-3 * self.width // 4) * 4


def raw_video_from_line(line: str) -> RawVideo | None:
    """The frames that a line of `gst-launch-1.0 -v` describes; None for any other line."""
    if _OF_THE_FILTER not in line:
        return None
    width = re.search(r"\bwidth=\(int\)(\d+)", line)
    height = re.search(r"\bheight=\(int\)(\d+)", line)
    if width is None or height is None:
        return None
    rate = re.search(r"\bframerate=\(fraction\)(\d+)/(\d+)", line)
    frames_per_s = None
    if rate is not None and int(rate[1]) > 0 and int(rate[2]) > 0:
        frames_per_s = int(rate[1]) / int(rate[2])
    return RawVideo(int(width[1]), int(height[1]), frames_per_s)

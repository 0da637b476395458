"""A window that shows the annotated frames while they are made."""

from __future__ import annotations

import os
import re
from types import TracebackType

import cv2

from edge_arm.runtime.errors import BackendUnavailableError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.live.annotation import annotated
from edge_arm.runtime.live.frame_result import FrameResult

_ENDING_KEYS = (ord("q"), ord("Q"), 27)


class Window:
    """Use it as a context manager; it is gone behind the block.

    Args:
        title: of the window.
        labels: of the model.

    Raises:
        BackendUnavailableError: if this OpenCV has no windows, or there is no screen.
    """

    def __init__(self, title: str, labels: LabelSet) -> None:
        _require_windows()
        self._title, self._labels = title, labels
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)

    def show(self, result: FrameResult, *, wait_ms: int = 1) -> bool:
        """Show a frame.

        Args:
            result: the frame and its faces.
            wait_ms: for a key; 0 waits for one, as for a single picture.

        Returns:
            Whether to go on: not after q, Esc, or the window's own button.
        """
        cv2.imshow(self._title, annotated(result, self._labels)[:, :, ::-1])
        if cv2.waitKey(wait_ms) & 0xFF in _ENDING_KEYS:
            return False
        return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        cv2.destroyAllWindows()


def _require_windows() -> None:
    built = re.search(r"^\s*GUI:\s*(\S+)", cv2.getBuildInformation(), re.MULTILINE)
    if built is None or built.group(1) == "NONE":
        raise BackendUnavailableError(
            f"OpenCV {cv2.__version__} was built without windows, expected one with them for "
            "--show; run 'pip uninstall opencv-python-headless' and then "
            "'pip install \"opencv-python<5\"', or write the video with --annotate FILE.mp4"
        )
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        raise BackendUnavailableError(
            "there is no screen (neither DISPLAY nor WAYLAND_DISPLAY is set), expected one for "
            "--show; log in at the machine or with 'ssh -X', or write the video with "
            "--annotate FILE.mp4"
        )

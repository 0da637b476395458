"""A window needs an OpenCV that has windows, and a screen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from live_fakes import result

from edge_arm.runtime.errors import BackendUnavailableError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.live.window import Window

HEADLESS = "  GUI:                           NONE\n"
WITH_WINDOWS = "  GUI:                           QT5\n"


def test_an_opencv_without_windows_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: HEADLESS)
    with pytest.raises(BackendUnavailableError, match="built without windows.*opencv-python<5"):
        Window("x", RAFDB)


def test_a_machine_without_a_screen_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: WITH_WINDOWS)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BackendUnavailableError, match="there is no screen"):
        Window("x", RAFDB)


@pytest.mark.parametrize(
    ("key", "visible", "goes_on"),
    [
        (-1, 1.0, True),
        (ord("x"), 1.0, True),
        (ord("q"), 1.0, False),
        (27, 1.0, False),
        (-1, 0.0, False),
    ],
)
def test_q_escape_and_the_windows_own_button_end(
    key: int, visible: float, goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenCV's wheels here have no windows: its functions are stood in for, as they are documented.
    shown = []
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: WITH_WINDOWS)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "namedWindow", lambda title, flags: None)
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda wait_ms: key)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda title, which: visible)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append("gone"))
    red = np.zeros((4, 5, 3), np.uint8)
    red[..., 0] = 200
    with Window("x", RAFDB) as window:
        assert window.show(result(red)) is goes_on
    picture, gone = shown
    assert picture[0, 0].tolist() == [0, 0, 200]  # BGR, as imshow wants it
    assert gone == "gone"

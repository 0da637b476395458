"""Annotated videos: every frame is in the file, or there is no file and a reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_fakes import labelled, result

from edge_arm.runtime.errors import StorageError, UsageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.live.annotated_video import VIDEO_CODECS, AnnotatedVideo
from edge_arm.runtime.preprocess import Uint8Array


def picture(number: int = 0, *, height: int = 48, width: int = 64) -> Uint8Array:
    """Grey, lighter with each number."""
    return np.full((height, width, 3), 20 + 10 * number, np.uint8)


def frames_of(path: Path) -> list[Uint8Array]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            return frames
        frames.append(frame)


def written(path: Path, pictures: list[Uint8Array], rate: float | None = 30.0) -> list[Uint8Array]:
    video = AnnotatedVideo(path, RAFDB, rate)
    for number, image_hwc in enumerate(pictures):
        video.write(result(image_hwc, number=number))
    video.close()
    return frames_of(path)


@pytest.mark.parametrize("suffix", VIDEO_CODECS)
def test_every_frame_is_in_the_file_in_order(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"видео 1 顔{suffix}"
    frames = written(path, [picture(number) for number in range(20)])
    # Grey comes back within half a step.
    assert [round(float(frame.mean())) for frame in frames] == pytest.approx(
        [20 + 10 * number for number in range(20)], abs=4.9
    )
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_face_is_marked_in_the_file(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "x.avi", RAFDB, 30.0)
    image_hwc = np.zeros((240, 320, 3), np.uint8)
    for number in range(3):
        video.write(result(image_hwc, labelled(100, 100, 80, 80), number=number))
    video.close()
    blue, green, red = frames_of(tmp_path / "x.avi")[1][75:95, 100:180].mean(axis=(0, 1))
    # Happiness is yellow: 240, 228, 66 in RGB, and a part of this are dark letters.
    assert min(red, green) > 90
    assert blue < 0.6 * red


@pytest.mark.parametrize(("height", "width"), [(241, 321), (47, 64), (48, 65), (1, 1), (2, 300)])
def test_odd_sizes_are_filled_up_and_nothing_is_cut(
    height: int, width: int, tmp_path: Path
) -> None:
    (frame,) = written(tmp_path / "x.mp4", [picture(height=height, width=width)])
    assert frame.shape == (height + height % 2, width + width % 2, 3)


def test_a_frame_of_another_size_is_fitted_in(tmp_path: Path) -> None:
    frames = written(
        tmp_path / "x.avi",
        [
            picture(20, height=40, width=80),
            picture(20, height=40, width=40),
            picture(20, width=640),
        ],
    )
    assert {frame.shape for frame in frames} == {(40, 80, 3)}
    _, square, _ = frames
    # Half as wide: black beside it.
    assert square[:, :16].max() < 20 < 200 < square[:, 24:56].min()


def test_where_frames_are_missing_the_last_one_stays_so_that_time_holds(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "x.avi", RAFDB, 30.0)
    for number in (0, 1, 2, 9, 10):
        video.write(result(picture(2 * number), number=number))
    video.close()
    levels = [round(float(frame.mean())) for frame in frames_of(tmp_path / "x.avi")]
    assert levels == pytest.approx([20, 40, *[60] * 7, 200, 220], abs=4.9)


def test_a_camera_that_was_away_for_an_hour_leaves_a_second_of_its_last_frame(
    tmp_path: Path,
) -> None:
    video = AnnotatedVideo(tmp_path / "x.avi", RAFDB, 30.0)
    for number in (0, 30 * 3600):
        video.write(result(picture(), number=number))
    video.close()
    assert len(frames_of(tmp_path / "x.avi")) == 32


@pytest.mark.parametrize("rate", [None, 0.0, 90000.0, float("nan")])
def test_a_source_without_a_rate_is_written_at_thirty(
    rate: float | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    written(tmp_path / "x.mp4", [picture()], rate)
    assert cv2.VideoCapture(str(tmp_path / "x.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(30)
    assert "is written with 30" in caplog.text


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "x.mp4", RAFDB, 30.0)
    video.close()
    video.close()
    assert not list(tmp_path.iterdir())


def test_an_unknown_suffix_is_refused_before_the_first_frame(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got '.*x\.wmv' as an annotated video, expected .*\.mp4"):
        AnnotatedVideo(tmp_path / "x.wmv", RAFDB, 30.0)


def test_a_codec_that_opencv_lacks_is_refused_before_the_first_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VIDEO_CODECS, ".mp4", "avc1")  # H.264 is not in pip's wheels
    with pytest.raises(StorageError, match=r"OpenCV cannot write .*avc1.*expected"):
        AnnotatedVideo(tmp_path / "x.mp4", RAFDB, 30.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused_before_the_first_frame(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permission is denied"):
        AnnotatedVideo(tmp_path / "x.mp4", RAFDB, 30.0)


def test_a_read_only_file_system_is_refused_before_the_first_frame() -> None:
    # The kernel's own, read-only for root as well.
    with pytest.raises(StorageError, match=r"cannot write '/proc/x\.mp4'"):
        AnnotatedVideo(Path("/proc/x.mp4"), RAFDB, 30.0)


def test_a_disk_that_fills_up_is_noticed_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 100, 0))
    video = AnnotatedVideo(tmp_path / "x.mp4", RAFDB, 30.0)
    with pytest.raises(StorageError, match="the disk is full"):
        for number in range(65):
            video.write(result(picture(), number=number))
    video.close()
    assert not list(tmp_path.iterdir())


FULL = """
import resource, sys
import numpy as np
from pathlib import Path
from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.live.annotated_video import AnnotatedVideo
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.sources.frame import Frame
video = AnnotatedVideo(Path(sys.argv[1]), RAFDB, 30.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0).integers(0, 256, (30, 240, 320, 3), np.uint8)
for number, picture in enumerate(noise):
    video.write(FrameResult(Frame("x", number, number / 30, picture), (), 0.0))
try:
    video.close()
except StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_a_file_that_the_system_cuts_off_is_an_error_and_gone(suffix: str, tmp_path: Path) -> None:
    # OpenCV's writer goes on without a word, as it does when a disk is full.
    path = tmp_path / f"x{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    )
    assert "could not be written whole: 30 frames went in" in done.stdout
    assert not list(tmp_path.iterdir())

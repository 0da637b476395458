"""What a user types, and what it is taken for."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.sources.pictures import PictureSource
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.source_from_text import (
    open_pictures,
    open_source,
    without_password,
)
from edge_arm.runtime.sources.video_file import VideoFile


def _picture(path: Path, form: str = ".png") -> Path:
    done, content = cv2.imencode(form, np.zeros((8, 12, 3), np.uint8))
    assert done
    path.write_bytes(content.tobytes())
    return path


@pytest.mark.parametrize("form", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_a_picture_is_told_by_its_content(tmp_path: Path, outcome: Callable, form: str) -> None:
    with closing(open_source(str(_picture(tmp_path / "no suffix.mp4", form)))) as source:
        assert isinstance(source, PictureSource)
        assert (source.live, source.moving, source.frames_per_s) == (False, False, None)
        assert outcome(source).frames[0].image_hwc.shape == (8, 12, 3)


def test_a_video_is_told_by_its_content(tmp_path: Path, make_video: Callable) -> None:
    path = make_video(tmp_path / "a.avi", "MJPG")
    renamed = path.rename(tmp_path / "a.jpg")
    with closing(open_source(str(renamed))) as source:
        assert isinstance(source, VideoFile)
        assert source.name == str(renamed)


def test_a_folder_named_like_a_video_is_a_folder(tmp_path: Path, outcome: Callable) -> None:
    folder = tmp_path / "x.mp4"
    folder.mkdir()
    _picture(folder / "a.png")
    with closing(open_source(str(folder))) as source:
        assert outcome(source).numbers == [0]


def test_a_quoted_pattern_works(tmp_path: Path, outcome: Callable) -> None:
    for name in ("b.png", "a.png", "c.txt"):
        _picture(tmp_path / name)
    with closing(open_source(f"{tmp_path}/*.png")) as source:
        assert [Path(frame.source).name for frame in outcome(source).frames] == ["a.png", "b.png"]


def test_a_name_with_brackets_that_exists_is_no_pattern(tmp_path: Path, outcome: Callable) -> None:
    path = _picture(tmp_path / "a[1].png")
    with closing(open_source(str(path))) as source:
        assert outcome(source).frames[0].source == str(path)


def test_other_files_in_a_folder_are_counted_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _picture(tmp_path / "a.png")
    (tmp_path / "b.txt").write_text("")
    open_source(str(tmp_path)).close()
    assert "1 pictures; 1 files of other kinds are left alone" in caplog.text


def test_several_pictures_by_name_keep_their_order(tmp_path: Path, outcome: Callable) -> None:
    paths = [_picture(tmp_path / name) for name in ("b.png", "a.png")]
    with closing(open_pictures("two", paths)) as source:
        assert [frame.source for frame in outcome(source).frames] == [str(path) for path in paths]


def test_jpegs_in_a_row_are_a_video(tmp_path: Path, outcome: Callable) -> None:
    path = _picture(tmp_path / "a.mjpeg", ".jpg")
    path.write_bytes(4 * path.read_bytes())
    with closing(open_source(str(path))) as source:
        assert outcome(source).numbers == [0, 1, 2, 3]


def test_an_animated_gif_is_a_video(tmp_path: Path, outcome: Callable) -> None:
    path = tmp_path / "a.gif"
    frames = [np.full((8, 8, 3), grey, np.uint8) for grey in (0, 100, 200)]
    if not hasattr(cv2, "imwriteanimation"):
        pytest.skip("this OpenCV writes no animations")
    animation = cv2.Animation()
    animation.frames = frames
    animation.durations = np.array([100, 100, 100])
    assert cv2.imwriteanimation(str(path), animation)
    with closing(open_source(str(path))) as source:
        assert source.moving
        assert outcome(source).numbers == [0, 1, 2]


def test_nothing_there_is_an_error_that_lists_what_could_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no '.*gone\.mp4', expected a picture, a folder"):
        open_source(str(tmp_path / "gone.mp4"))


def test_a_number_is_taken_for_a_camera_that_was_meant() -> None:
    with pytest.raises(DataError, match="there is no file '0'.*use camera:0"):
        open_source("0")


def test_an_empty_name_is_nothing() -> None:
    with pytest.raises(DataError, match="there is no ''"):
        open_source("")


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(DataError, match="has 0 bytes, expected a picture or a video"):
        open_source(str(tmp_path / "a.mp4"))


def test_what_is_neither_is_an_error_that_shows_how_it_begins(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("some text\n")
    with pytest.raises(DataError, match=r"opens neither .* \(it starts with b'some tex'\)"):
        open_source(str(tmp_path / "a.mp4"))


def test_a_damaged_picture_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("some text\n")
    with (
        closing(open_source(str(tmp_path / "a.jpg"))) as source,
        pytest.raises(DataError, match="is not a picture"),
    ):
        list(source)


def test_a_pipe_is_neither_file_nor_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is neither a file, a folder nor a camera"):
        open_source(str(tmp_path / "pipe"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    path = _picture(tmp_path / "a.png")
    path.chmod(0)
    with pytest.raises(DataError, match=r"cannot read .* \(Permission denied\)"):
        open_source(str(path))


def test_a_camera_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(DataError, match="needs '/dev/video987', which is not there; expected"):
        open_source("camera:987")


def test_a_device_that_is_no_camera_is_an_error() -> None:
    with pytest.raises(DataError, match=r"'camera:/dev/null' .* does not open, expected a camera"):
        open_source("camera:/dev/null")


def test_a_camera_by_another_name_is_refused() -> None:
    with pytest.raises(DataError, match="got the camera 'camera:front', expected a number"):
        open_source("camera:front")


def test_an_unknown_kind_of_address_is_refused_without_its_password() -> None:
    with pytest.raises(DataError, match=r"got the address 'ftp://me:\*\*\*@host/x', expected one"):
        open_source("ftp://me:secret@host/x")


def test_a_password_is_not_part_of_a_name() -> None:
    assert without_password("rtsp://me:a@b:c@host:554/x?y=1") == "rtsp://me:***@host:554/x?y=1"
    assert without_password("rtsp://host/x") == "rtsp://host/x"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"give_up_s": -1}, "got -1 seconds until a lost source is given up"),
        ({"give_up_s": float("nan")}, "got nan seconds until a lost source is given up"),
        ({"timeout_s": 0}, "got a time-out of 0 seconds, expected more than 0"),
        ({"workers": 0}, "got 0 decoding workers, expected at least 1"),
        ({"waiting_frames": 0}, "got 0 waiting frames, expected at least 1"),
        ({"max_pixels": 0}, "got a limit of 0 pixels, expected at least 1"),
    ],
)
def test_a_config_that_cannot_work_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SourceConfig(**wrong)

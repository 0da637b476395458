"""Videos that OpenCV wrote, also with bytes changed where their format says what is lost."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.sources.frame import EventKind
from edge_arm.runtime.sources.mp4_duration import shown_duration_s
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.video_file import VideoFile, open_video_file

# Of `make_video`.
NUM_FRAMES = 30
RATE = 25.0

VOP_START = b"\x00\x00\x01\xb6"  # MPEG-4 part 2, 6.2.5: each frame begins with it
AVI_FRAME = b"00dc"


def _open(path: Path, **limits: int) -> VideoFile:
    video = open_video_file(path, path.name, SourceConfig(**limits))
    assert video is not None
    return video


def _places(content: bytes, mark: bytes) -> list[int]:
    places = []
    at = content.find(mark)
    while at >= 0:
        places.append(at)
        at = content.find(mark, at + 1)
    return places


def _overwrite_frames(path: Path, first: int, count: int) -> None:
    """Zeros where MPEG-4 frames were: nothing of them can be decoded."""
    content = bytearray(path.read_bytes())
    places = _places(bytes(content), VOP_START)
    start, end = places[first], places[first + count]
    content[start:end] = bytes(end - start)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "fourcc"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v")]
)
def test_every_frame_comes_once_in_order_with_its_time(
    tmp_path: Path, make_video: Callable, outcome: Callable, name: str, fourcc: str
) -> None:
    with closing(_open(make_video(tmp_path / name, fourcc))) as video:
        assert (video.live, video.moving, video.frames_per_s) == (False, True, RATE)
        result = outcome(video)
    assert result.numbers == list(range(NUM_FRAMES))
    assert not result.events
    # Matroska keeps milliseconds.
    np.testing.assert_allclose(
        [frame.time_s for frame in result.frames], np.arange(NUM_FRAMES) / RATE, atol=0.001
    )
    # A stripe of 255 over an eighth, the rest 8 i; a lossy codec is off by a few.
    expected = [255 / 8 + 7 / 8 * 8 * i for i in range(NUM_FRAMES)]
    np.testing.assert_allclose(result.greys, expected, atol=6)


def test_the_picture_is_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))  # OpenCV's order: blue, green, red
    writer.release()
    with closing(_open(path)) as video:
        frame = next(iter(video))
    assert frame.image_hwc[24, 32].tolist() == pytest.approx([255, 0, 0], abs=4)


@pytest.mark.parametrize("size", [(321, 241), (1, 1), (1, 37), (640, 2)])
def test_odd_sizes_are_read_as_they_are(
    tmp_path: Path, outcome: Callable, size: tuple[int, int]
) -> None:
    # OpenCV's own writer makes sizes even, so this is the plainest video of all: JPEGs in a row.
    path = tmp_path / "a.mjpeg"
    done, picture = cv2.imencode(".jpg", np.full((size[1], size[0], 3), 90, np.uint8))
    assert done
    path.write_bytes(5 * picture.tobytes())
    with closing(_open(path)) as video:
        result = outcome(video)
    assert result.numbers == list(range(5))
    assert {frame.image_hwc.shape for frame in result.frames} == {(size[1], size[0], 3)}


def test_a_broken_frame_is_an_event_at_its_place_and_the_rest_goes_on(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v")
    _overwrite_frames(path, first=10, count=1)
    with closing(_open(path)) as video:
        result = outcome(video)
    assert [(event.kind, event.number, event.count) for event in result.events] == [
        (EventKind.BROKEN, 10, 1)
    ]
    assert "frame 10 of 'a.mp4' cannot be decoded" in result.events[0].reason
    assert result.numbers == [*range(10), *range(11, NUM_FRAMES)]
    assert result.frames[10].time_s == pytest.approx(11 / RATE, abs=0.001)


def test_broken_frames_in_a_row_are_one_event(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v")
    _overwrite_frames(path, first=3, count=5)
    with closing(_open(path)) as video:
        result = outcome(video)
    assert [(event.number, event.count) for event in result.events] == [(3, 5)]
    assert "frames 3 to 7" in result.events[0].reason
    assert result.accounted() == list(range(NUM_FRAMES))


def test_a_long_broken_part_is_not_taken_for_the_end(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", count=120)
    _overwrite_frames(path, first=5, count=110)
    with closing(_open(path)) as video:
        result = outcome(video)
    assert result.numbers == [*range(5), *range(115, 120)]
    assert result.accounted() == list(range(120))


def test_a_long_broken_part_of_a_matroska_is_not_taken_for_the_end(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    path = make_video(tmp_path / "a.mkv", "mp4v", count=120)
    content = bytearray(path.read_bytes())
    for place in _places(bytes(content), VOP_START)[40:80]:  # the blocks around them stay
        content[place : place + 8] = bytes(8)
    path.write_bytes(content)
    with closing(_open(path)) as video:
        result = outcome(video)
    assert [(event.number, event.count) for event in result.events] == [(40, 40)]
    assert result.accounted() == list(range(120))


def test_the_tail_of_an_avi_that_was_cut_off_is_counted(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    path = make_video(tmp_path / "a.avi", "MJPG")
    content = path.read_bytes()
    path.write_bytes(content[: _places(content, AVI_FRAME)[17]])
    with closing(_open(path)) as video:
        result = outcome(video)
    # Whether the last frame before the cut is given is FFmpeg's affair.
    assert result.numbers in (list(range(16)), list(range(17)))
    assert result.kinds == [EventKind.BROKEN]
    assert result.accounted() == list(range(NUM_FRAMES))
    assert "announces 30 frames and ended after 1" in result.events[0].reason


def test_a_matroska_that_ends_far_too_early_is_reported(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    path = make_video(tmp_path / "a.mkv", "mp4v")
    content = path.read_bytes()
    path.write_bytes(content[: _places(content, VOP_START)[15]])
    with closing(_open(path)) as video:
        result = outcome(video)
    assert result.kinds == [EventKind.BROKEN]
    assert result.accounted() == list(range(NUM_FRAMES))


def test_a_matroska_that_ends_a_little_early_is_no_cry_of_wolf(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    # As if its sound track were longer: the announced duration is that of the longest track.
    path = make_video(tmp_path / "a.mkv", "mp4v", count=100)
    content = path.read_bytes()
    path.write_bytes(content[: _places(content, VOP_START)[90]])
    with closing(_open(path)) as video:
        result = outcome(video)
    assert len(result.frames) in (89, 90)
    assert not result.events


def _trim(path: Path, start: int, shown: int) -> None:
    """Let the edit list of an MP4 show some frames only, as a phone's trimming does."""
    content = bytearray(path.read_bytes())
    # ISO 14496-12: the edit list's entry is (duration in movie time, start in media time), the
    # track header's duration is the sum of the first; movie time is in mvhd, media time in mdhd.
    movie_scale = struct.unpack_from(">I", content, content.find(b"mvhd") + 4 + 12)[0]
    media_scale = struct.unpack_from(">I", content, content.find(b"mdhd") + 4 + 12)[0]
    duration = round(shown / RATE * movie_scale)
    struct.pack_into(">I", content, content.find(b"tkhd") + 4 + 20, duration)
    entry = content.find(b"elst") + 4 + 8
    struct.pack_into(">II", content, entry, duration, round(start / RATE * media_scale))
    path.write_bytes(content)


def test_a_trimmed_mp4_has_no_frames_missing(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v")
    _trim(path, start=0, shown=15)
    assert shown_duration_s(path) == pytest.approx(0.6)
    with closing(_open(path)) as video:
        result = outcome(video)
    assert len(result.frames) < NUM_FRAMES - 10
    assert not result.events


def test_a_trimmed_mp4_with_a_broken_frame_reports_that_one(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v")
    _trim(path, start=0, shown=15)
    _overwrite_frames(path, first=4, count=1)
    with closing(_open(path)) as video:
        result = outcome(video)
    assert [(event.number, event.count) for event in result.events] == [(4, 1)]


def test_an_mp4_whose_data_end_early_is_reported(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    # As a download that broke off: the index stands in front, the last frames are not there.
    path = make_video(tmp_path / "a.mp4", "mp4v")
    content = path.read_bytes()
    moov, mdat = content.find(b"moov") - 4, content.find(b"mdat") - 4
    index = bytearray(content[moov:])
    chunks = index.find(b"stco") + 4 + 4
    for chunk in range(struct.unpack_from(">I", index, chunks)[0]):
        at = chunks + 4 + 4 * chunk
        struct.pack_into(">I", index, at, struct.unpack_from(">I", index, at)[0] + len(index))
    cut = _places(content, VOP_START)[20]
    path.write_bytes(content[:mdat] + index + content[mdat:cut])
    with closing(_open(path)) as video:
        result = outcome(video)
    assert result.kinds == [EventKind.BROKEN]
    assert 18 <= len(result.frames) <= 20
    assert result.accounted() == list(range(NUM_FRAMES))


@pytest.mark.parametrize("content", [b"", b"\0\0\0\x08ftyp", b"\0\0\0\x0cmoovxxxx", bytes(100)])
def test_what_has_no_duration_has_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    assert shown_duration_s(tmp_path / "a.mp4") is None


def test_an_mp4_without_its_index_does_not_open(tmp_path: Path, make_video: Callable) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v")
    content = path.read_bytes()
    path.write_bytes(content[: content.find(b"moov")])
    assert open_video_file(path, "a.mp4", SourceConfig()) is None


def test_text_named_like_a_video_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("not a video\n" * 100)
    assert open_video_file(path, "a.mp4", SourceConfig()) is None


def test_a_video_without_one_decodable_frame_is_an_error(
    tmp_path: Path, make_video: Callable
) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v")
    content = bytearray(path.read_bytes())
    places = _places(bytes(content), VOP_START)
    end = content.find(b"moov")
    content[places[0] : end] = bytes(end - places[0])
    path.write_bytes(content)
    with (
        closing(_open(path)) as video,
        pytest.raises(DataError, match=r"no frame of 'a\.mp4' can be deco"),
    ):
        list(video)


def test_a_video_with_too_large_frames_is_refused(tmp_path: Path, make_video: Callable) -> None:
    path = make_video(tmp_path / "a.avi")
    with pytest.raises(DataError, match="announces frames of 64 x 48 pixels, expected at most 100"):
        open_video_file(path, "a.avi", SourceConfig(max_pixels=100))


def test_a_name_with_spaces_a_colon_and_other_letters_is_only_a_name(
    tmp_path: Path, make_video: Callable, outcome: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v")
    odd = tmp_path / "http: ünï 日本 %03d.mp4"
    path.rename(odd)
    monkeypatch.chdir(tmp_path)
    with closing(_open(Path(odd.name))) as video:
        assert outcome(video).numbers == list(range(NUM_FRAMES))


def test_a_phone_held_upright_gives_upright_pictures(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", size=(64, 48))
    content = bytearray(path.read_bytes())
    # ISO 14496-12, 8.3.2: in the track header, 40 bytes behind its version, lies a matrix of nine
    # 32-bit numbers; a quarter turn to the right is a, b, c, d = 0, 1, -1, 0 (16.16).
    matrix = content.find(b"tkhd") + 4 + 40
    one = 1 << 16
    content[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 << 16, 0, 1 << 30)
    path.write_bytes(content)
    with closing(_open(path)) as video:
        frame = outcome(video).frames[0]
    assert frame.image_hwc.shape == (64, 48, 3)
    # The white stripe at the left stands at the top now.
    assert frame.image_hwc[:6].mean() > 200
    assert frame.image_hwc[10:].mean() < 50


def test_closing_from_another_thread_ends_the_iteration(
    tmp_path: Path, make_video: Callable
) -> None:
    video = _open(make_video(tmp_path / "a.avi", count=200))
    threading.Timer(0.05, video.close).start()
    seen = 0
    for _ in video:
        seen += 1
        time.sleep(0.005)
    assert 0 < seen < 200
    video.close()

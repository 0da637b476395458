"""Pictures one by one and in folders; the bomb is a PNG whose header alone is large."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.runtime.errors import DataError, ImageError
from edge_arm.runtime.sources import pictures
from edge_arm.runtime.sources.frame import EventKind, Frame
from edge_arm.runtime.sources.picture_list import pictures_of_folder, pictures_of_pattern
from edge_arm.runtime.sources.pictures import PictureSource, read_picture
from edge_arm.runtime.sources.source_config import SourceConfig


def _picture(path: Path, grey: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # imencode, because imwrite knows no other letters than those of the system's code page.
    done, content = cv2.imencode(path.suffix, np.full((8, 12, 3), grey, np.uint8))
    assert done
    path.write_bytes(content.tobytes())
    return path


def _bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of less than a kilobyte that announces any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    return path


def _source(paths: list[Path], **limits: int) -> PictureSource:
    return PictureSource("pictures", paths, config=SourceConfig(**limits))


def test_pictures_come_in_order_whatever_the_threads_do(tmp_path: Path, outcome: Callable) -> None:
    paths = [_picture(tmp_path / f"{i:02}.png", grey=10 * i) for i in range(20)]
    result = outcome(_source(paths, workers=3))
    assert result.numbers == list(range(20))
    assert result.greys == [10.0 * i for i in range(20)]
    assert [frame.source for frame in result.frames] == [str(path) for path in paths]
    assert not result.events


def test_a_broken_picture_is_an_event_at_its_place(tmp_path: Path, outcome: Callable) -> None:
    paths = [_picture(tmp_path / f"{name}.jpg") for name in "abc"]
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    items = list(_source(paths))
    assert [type(item) is Frame for item in items] == [True, False, True]
    event = items[1]
    assert (event.kind, event.number, event.count) == (EventKind.BROKEN, 1, 1)
    assert event.source == str(paths[1])
    assert "ends before its picture is complete" in event.reason


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path, outcome: Callable) -> None:
    paths = [_bomb(tmp_path / "a.png", 60_000, 50_000), _picture(tmp_path / "b.png")]
    result = outcome(_source(paths))
    assert result.kinds == [EventKind.BROKEN]
    assert "announces 60000 x 50000 pixels, expected at most 100000000" in result.events[0].reason
    assert result.numbers == [1]


def test_the_limit_is_on_pixels_and_inclusive(tmp_path: Path) -> None:
    path = _picture(tmp_path / "a.png")  # 12 x 8
    assert read_picture(path, max_pixels=96).shape == (8, 12, 3)
    with pytest.raises(ImageError, match="announces 12 x 8 pixels, expected at most 95"):
        read_picture(path, max_pixels=95)


def test_a_file_too_large_for_any_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 30)  # sparse: it takes no room on the disk
    with pytest.raises(ImageError, match="has 1073741824 bytes, expected at most"):
        read_picture(path, max_pixels=1_000_000)


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot read .*gone\.png.*No such file"):
        read_picture(tmp_path / "gone.png", max_pixels=100)


def test_the_only_picture_must_be_readable(tmp_path: Path) -> None:
    path = _picture(tmp_path / "a.jpg")
    path.write_bytes(b"")
    with pytest.raises(ImageError, match="has 0 bytes"):
        list(_source([path]))


def test_some_picture_must_be_readable(tmp_path: Path) -> None:
    paths = [_bomb(tmp_path / f"{i}.png", 20_000, 20_000) for i in range(3)]
    with pytest.raises(DataError, match=r"none of the 3 pictures .* the first: .*0\.png"):
        list(_source(paths))


def test_closing_ends_the_iteration(tmp_path: Path) -> None:
    source = _source([_picture(tmp_path / f"{i:03}.png") for i in range(50)])
    seen = 0
    for _ in source:
        seen += 1
        if seen == 3:
            source.close()
    assert seen == 3


def test_few_pictures_are_decoded_ahead(tmp_path: Path) -> None:
    paths = [_picture(tmp_path / f"{i:03}.png") for i in range(30)]
    frames = iter(_source(paths, workers=2))
    next(frames)
    for path in paths[10:]:  # whatever was read ahead by now cannot miss these
        path.unlink()
    with pytest.raises(StopIteration):
        while isinstance(item := next(frames), Frame):
            last = item.number
        assert item.number == 10
        assert last == 9
        raise StopIteration


def test_large_pictures_are_not_decoded_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [_picture(tmp_path / f"{i:03}.png") for i in range(10)]
    monkeypatch.setattr(pictures, "AHEAD_BYTES", 8 * 12 * 3)  # one of these
    frames = iter(_source(paths, workers=4))
    next(frames)
    next(frames)
    for path in paths[3:]:  # the third may be on its way
        path.unlink()
    assert [type(item) is Frame for item in frames] == [True, *[False] * 7]


def test_a_folder_is_read_with_what_is_below_it(tmp_path: Path) -> None:
    wanted = [
        _picture(tmp_path / "a" / "2.JPG"),
        _picture(tmp_path / "a" / "ünï 日本" / "x y.png"),
        _picture(tmp_path / "b.bmp"),
    ]
    _picture(tmp_path / ".hidden.png")
    _picture(tmp_path / ".thumbnails" / "t.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "clip.mp4").write_bytes(b"\0")
    found = pictures_of_folder(tmp_path)
    assert list(found.paths) == wanted
    assert found.left_alone == 2


def test_a_pattern_reaches_any_depth(tmp_path: Path) -> None:
    wanted = [_picture(tmp_path / "a" / "b" / "1.png"), _picture(tmp_path / "c.png")]
    _picture(tmp_path / "a" / "2.jpg")
    assert list(pictures_of_pattern(f"{tmp_path}/**/*.png").paths) == wanted


def test_a_pattern_takes_pictures_only_and_counts_the_rest(tmp_path: Path) -> None:
    wanted = _picture(tmp_path / "a.png")
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "c").mkdir()
    found = pictures_of_pattern(f"{tmp_path}/*")
    assert found.paths == (wanted,)
    assert found.left_alone == 1


def test_a_folder_without_pictures_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0")
    with pytest.raises(DataError, match="found 1 files of other kinds and no picture in the fold"):
        pictures_of_folder(tmp_path)


def test_a_pattern_without_a_match_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no file and no picture in '.*\*\.png'"):
        pictures_of_pattern(f"{tmp_path}/*.png")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot list '.*gone' \(No such file"):
        pictures_of_folder(tmp_path / "gone")

"""What `--annotate OUT` means for a source, and which names are refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from live_fakes import ListedSource, labelled

from edge_arm.runtime.errors import StorageError, UsageError
from edge_arm.runtime.images import IMAGE_SUFFIXES
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.live.annotated_output import AnnotatedOutput, WrittenNames, annotated_output
from edge_arm.runtime.live.annotated_pictures import AnnotatedPictures
from edge_arm.runtime.live.annotated_video import AnnotatedVideo
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.sources.frame import Frame, FrameSource
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.source_from_text import open_pictures, open_source


def put_picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.full((60, 80, 3), 90, np.uint8))[1].tobytes())
    return path


def opened(
    out: Path, source: FrameSource, *, alone: bool = True, names: WrittenNames | None = None
) -> AnnotatedOutput:
    return annotated_output(out, source, RAFDB, alone=alone, names=names or WrittenNames())


def annotate_all(
    out: Path, source: FrameSource, *, alone: bool = True, names: WrittenNames | None = None
) -> None:
    output = opened(out, source, alone=alone, names=names)
    for item in source:
        assert isinstance(item, Frame)
        output.write(FrameResult(item, (labelled(10, 10, 40, 40),), 0.0))
    output.close()


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_marked(path: Path) -> bool:
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return picture.shape == (60, 80, 3) and int(picture.max()) > 200


def test_a_picture_becomes_a_picture(tmp_path: Path) -> None:
    photo = put_picture(tmp_path / "a photo 猫.jpg")
    annotate_all(tmp_path / "new" / "out 猫.png", open_source(str(photo)))
    assert is_marked(tmp_path / "new" / "out 猫.png")


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_kind_of_picture_can_be_written(suffix: str, tmp_path: Path) -> None:
    photo = put_picture(tmp_path / "a.png")
    annotate_all(tmp_path / f"out{suffix}", open_source(str(photo)))
    assert is_marked(tmp_path / f"out{suffix}")


def test_a_picture_goes_into_a_folder_that_exists_under_its_own_name(tmp_path: Path) -> None:
    photo = put_picture(tmp_path / "in" / "a.jpg")
    (tmp_path / "out").mkdir()
    annotate_all(tmp_path / "out", open_source(str(photo)))
    assert files_below(tmp_path / "out") == ["a.jpg"]


def test_a_folder_becomes_a_folder_with_the_same_names(tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/a.jpg", "sub/deep/b.png"):
        put_picture(tmp_path / "in" / name)
    annotate_all(tmp_path / "out", open_source(str(tmp_path / "in")))
    assert files_below(tmp_path / "out") == ["a.jpg", "sub/a.jpg", "sub/deep/b.png"]
    assert is_marked(tmp_path / "out" / "sub" / "deep" / "b.png")


def test_pictures_of_a_pattern_keep_what_tells_them_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one/x.jpg", "two/x.jpg"):
        put_picture(tmp_path / "in" / name)
    monkeypatch.chdir(tmp_path)
    annotate_all(tmp_path / "out", open_source("in/*/*.jpg"))
    assert files_below(tmp_path / "out") == ["one/x.jpg", "two/x.jpg"]


def test_pictures_that_were_named_one_by_one_go_into_one_folder(tmp_path: Path) -> None:
    paths = [put_picture(tmp_path / "in" / name) for name in ("a.jpg", "b.jpg")]
    annotate_all(tmp_path / "out", open_pictures("2 pictures", paths, SourceConfig()))
    assert files_below(tmp_path / "out") == ["a.jpg", "b.jpg"]


def test_two_files_of_one_name_are_not_written_over_each_other(tmp_path: Path) -> None:
    names = WrittenNames()
    for folder in ("one", "two"):
        put_picture(tmp_path / folder / "x.jpg")
    annotate_all(tmp_path / "out", open_source(str(tmp_path / "one")), alone=False, names=names)
    with pytest.raises(UsageError, match=r"would be written for '.*one.*' and again for '.*two"):
        annotate_all(tmp_path / "out", open_source(str(tmp_path / "two")), alone=False, names=names)


def test_a_moving_source_becomes_a_video(tmp_path: Path) -> None:
    output = opened(tmp_path / "x.mp4", ListedSource([]))
    assert isinstance(output, AnnotatedVideo)
    output.close()


def test_several_videos_go_into_a_folder_under_their_own_names(tmp_path: Path) -> None:
    (tmp_path / "clip.webm").write_bytes(b"x")
    source = ListedSource([], name=str(tmp_path / "clip.webm"))
    output = opened(tmp_path / "out", source, alone=False)
    output.write(FrameResult(Frame("x", 0, 0.0, np.zeros((48, 64, 3), np.uint8)), (), 0.0))
    output.close()
    assert files_below(tmp_path / "out") == ["clip.mp4"]


def test_a_camera_has_no_name_for_a_folder(tmp_path: Path) -> None:
    source = ListedSource([], name="camera:0", live=True)
    with pytest.raises(UsageError, match="got a folder for the annotated video of 'camera:0'"):
        opened(tmp_path, source)


def test_a_pipeline_too_long_for_a_file_name_can_be_recorded(tmp_path: Path) -> None:
    source = ListedSource([], name="gst:" + "videotestsrc!" * 50, live=True)
    output = opened(tmp_path / "x.mp4", source)
    assert isinstance(output, AnnotatedVideo)
    output.close()


def test_the_picture_that_is_read_is_never_written(tmp_path: Path) -> None:
    photo = put_picture(tmp_path / "a.jpg")
    (tmp_path / "link.jpg").symlink_to(photo)
    with pytest.raises(UsageError, match="which is the one that is read"):
        opened(tmp_path / "link.jpg", open_source(str(photo)))


def test_the_folder_of_the_picture_that_is_read_is_refused(tmp_path: Path) -> None:
    photo = put_picture(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match="that is read"):
        opened(tmp_path, open_source(str(photo)))


def test_the_video_that_is_read_is_never_written(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    source = ListedSource([], name=str(tmp_path / "clip.mp4"))
    with pytest.raises(UsageError, match="which is the one that is read"):
        opened(tmp_path / "clip.mp4", source)


@pytest.mark.parametrize("out", ["in", "in/annotated"])
def test_a_folder_that_is_read_takes_no_annotated_pictures(out: str, tmp_path: Path) -> None:
    put_picture(tmp_path / "in" / "a.jpg")
    with pytest.raises(UsageError, match="the next run would read them too"):
        opened(tmp_path / out, open_source(str(tmp_path / "in")))


def test_a_picture_of_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    photo = put_picture(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match=r"got '.*out\.gif' as an annotated picture, expected"):
        opened(tmp_path / "out.gif", open_source(str(photo)))


def test_pictures_do_not_make_a_video(tmp_path: Path) -> None:
    put_picture(tmp_path / "in" / "a.jpg")
    with pytest.raises(UsageError, match="expected the name of a folder; pictures do not make"):
        opened(tmp_path / "out.mp4", open_source(str(tmp_path / "in")))


def test_a_place_where_nothing_may_be_written_is_refused_at_once(tmp_path: Path) -> None:
    put_picture(tmp_path / "in" / "a.jpg")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        opened(tmp_path / "file" / "out", open_source(str(tmp_path / "in")))


def test_a_picture_larger_than_its_format_holds_is_an_error_and_no_file(tmp_path: Path) -> None:
    pictures = AnnotatedPictures(lambda name: tmp_path / "out.webp", RAFDB)
    wide = Frame("x", 0, 0.0, np.zeros((1, 16_384, 3), np.uint8))
    with pytest.raises(StorageError, match="OpenCV cannot write 16384 x 1 pixels as 'out.webp'"):
        pictures.write(FrameResult(wide, (), 0.0))
    assert not list(tmp_path.iterdir())

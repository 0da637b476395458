from __future__ import annotations

import json
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_arm.cli.main import app
from edge_arm.data import clip_file
from edge_arm.data.clip import ClipConfig, clip_frames
from edge_arm.data.clip_file import truth_path, write_clip
from edge_arm.runtime.errors import StorageError, UsageError

SMALL = ClipConfig(width=160, height=120, frames_per_s=10.0, seconds=1.0, faces=1, seed=2)


def frames_of(path: Path) -> list[np.ndarray]:
    reader = cv2.VideoCapture(str(path))
    frames = []
    while True:
        read, image = reader.read()
        if not read:
            return frames
        frames.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "Vidéo mit Lücke.mp4"])
def test_the_video_holds_the_drawn_frames(tmp_path: Path, name: str) -> None:
    steps: list[int] = []
    path = write_clip(SMALL, tmp_path / name, progress=steps.append)
    stored, drawn = frames_of(path), list(clip_frames(SMALL))
    assert len(stored) == len(drawn) == sum(steps) == 10
    # What compression takes; another frame order or swapped colours differ by far more.
    difference = np.abs(stored[0].astype(int) - drawn[0].image_hwc).mean()
    assert difference < 6.0


def test_the_truth_beside_the_video_is_that_of_the_frames(tmp_path: Path) -> None:
    path = write_clip(SMALL, tmp_path / "clip.mp4")
    assert truth_path(path) == tmp_path / "clip.mp4.truth.json"
    truth = json.loads(truth_path(path).read_text(encoding="utf-8"))
    assert (truth["width"], truth["height"], truth["frames_per_s"]) == (160, 120, 10.0)
    expected = [
        [(face.identity, face.label, face.box.x, face.in_transition) for face in frame.faces]
        for frame in clip_frames(SMALL)
    ]
    assert [
        [(face["identity"], face["label"], face["box"][0], face["in_transition"]) for face in frame]
        for frame in truth["frames"]
    ] == expected


def test_a_name_without_a_known_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected one that ends in \.mp4 or \.avi; choose"):
        write_clip(SMALL, tmp_path / "clip.webm")


def test_odd_sides_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got frames of 161 x 120 pixels .* expected even sides"):
        write_clip(ClipConfig(161, 120, 10.0, 1.0, 1), tmp_path / "clip.mp4")


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_drawn(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("in the way")
    steps: list[int] = []
    with pytest.raises(StorageError, match="cannot write"):
        write_clip(SMALL, tmp_path / "file" / "clip.mp4", progress=steps.append)
    assert steps == []


def test_an_interrupted_clip_leaves_no_file(tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip(SMALL, tmp_path / "clip.mp4", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_the_command_draws_what_it_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "clip.avi"
    options = ["--seconds", "0.5", "--faces", "1", "--size", "160x120", "--fps", "8", "--seed", "3"]
    result = CliRunner().invoke(app, ["data", "clip", "--out", str(out), *options])
    assert result.exit_code == 0, result.output
    assert "4 frames, 1 faces, seed 3" in result.output
    assert len(frames_of(out)) == 4


def test_a_size_that_is_none_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["data", "clip", "--out", str(tmp_path / "x.mp4"), "--size", "big"]
    )
    assert isinstance(result.exception, UsageError)
    assert "got the size 'big', expected width x height" in str(result.exception)


def test_a_codec_that_opencv_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clip_file._CODECS, ".avi", "zzzz")
    with pytest.raises(StorageError, match=r"could not begin the video .* with the codec zzzz"):
        write_clip(SMALL, tmp_path / "clip.avi")
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_the_disk_had_no_room_for_is_refused(tmp_path: Path) -> None:
    # The system refuses to let a file of this process grow, as a full disk would.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"came out with \d+ frames, expected 10: the disk"):
            write_clip(SMALL, tmp_path / "clip.avi")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []

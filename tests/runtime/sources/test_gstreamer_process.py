"""Pipelines as processes: the real gst-launch-1.0, and a stand-in that misbehaves on demand."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.sources.frame import EventKind
from edge_arm.runtime.sources.gstreamer_process import pipeline_words, reads_files
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.source_from_text import open_source

# A real process under the real name. Its pipeline is a list of steps: "frames=3" writes three grey
# frames, "caps=64x48" announces their size, "say=WORDS" prints, "sleep=S", "exit=N"; "deaf" ignores
# interrupts, "child" starts a process, "again=STEP" is done from the second start on. It notes its
# process id in a file beside it.
STAND_IN = """#!{python}
import os, signal, subprocess, sys, time
from pathlib import Path

starts = Path(__file__).with_name("starts")
with starts.open("a") as file:
    print(os.getpid(), file=file)
first_start = len(starts.read_text().split()) == 1
out = os.fdopen(int(sys.argv[-1].removeprefix("fd=")), "wb", buffering=0)
width, height = 15, 8


def announce():
    print(
        "/GstPipeline:pipeline0/GstCapsFilter:edge_arm_frames.GstPad:src: caps = video/x-raw, "
        f"format=(string)RGB, width=(int){{width}}, height=(int){{height}}, "
        "framerate=(fraction)20/1",
        flush=True,
    )


for step in sys.argv[2 : sys.argv.index("!")]:
    if step.startswith("again="):
        if first_start:
            continue
        step = step.removeprefix("again=")
    name, _, value = step.partition("=")
    if name == "caps":
        if value:
            width, height = (int(side) for side in value.split("x"))
        announce()
    elif name == "frames":
        for _ in range(int(value)):
            out.write(bytes([128]) * (-(-3 * width // 4) * 4 * height))
    elif name == "say":
        print(value, file=sys.stderr, flush=True)
    elif name == "sleep":
        time.sleep(float(value))
    elif name == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    elif name == "child":
        subprocess.Popen(["sleep", "60"])
    elif name == "exit":
        sys.exit(int(value))
"""

needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None, reason="gst-launch-1.0 is not installed"
)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the stand-in notes its process ids."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "gst-launch-1.0"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def _process_ids(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "starts").read_text().split()]


def _group_is_gone(leader: int) -> bool:
    """Nobody of a process group runs, and we have left no zombie."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # proc(5): behind the name in brackets come state, parent and group.
            state, parent, group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        # A dead grandchild waits for init, which a container may not have.
        if int(group) == leader and (state != "Z" or int(parent) == os.getpid()):
            return False
    return True


def _config(**limits: float) -> SourceConfig:
    return SourceConfig(waiting_frames=100, **limits)


def test_frames_of_a_pipeline_come_with_its_rate(stand_in: Path, outcome: Callable) -> None:
    with closing(
        open_source("gst:num-buffers=3 caps sleep=0.2 frames=3 exit=0", _config())
    ) as source:
        assert (source.live, source.frames_per_s) == (True, 20.0)
        result = outcome(source)
    assert result.numbers == [0, 1, 2]
    assert not result.events  # exit status 0 is the end, and no loss
    assert _group_is_gone(_process_ids(stand_in)[0])


def test_what_the_pipeline_prints_does_not_get_between_the_frames(
    stand_in: Path, outcome: Callable
) -> None:
    text = "gst:num-buffers=2 say=GST_ARGUS caps sleep=0.2 frames=1 say=CONSUMER frames=1 exit=0"
    with closing(open_source(text, _config())) as source:
        assert outcome(source).numbers == [0, 1]


def test_a_pipeline_that_dies_is_started_again(stand_in: Path, outcome: Callable) -> None:
    text = (
        "gst:num-buffers=4 caps sleep=0.2 frames=2 again=exit=0 "
        "'say=ERROR: the sensor fell off' exit=3"
    )
    with closing(open_source(text, _config())) as source:
        result = outcome(source)
    assert result.kinds == [EventKind.LOST, EventKind.RECONNECTED]
    assert "exit status 3: ERROR: the sensor fell off" in result.events[0].reason
    assert result.numbers == [0, 1, 2, 3]
    assert all(_group_is_gone(leader) for leader in _process_ids(stand_in))


def test_a_camera_whose_pipeline_just_ends_is_lost(stand_in: Path, outcome: Callable) -> None:
    text = "gst:caps sleep=0.2 frames=2 'say=Error generated: no capture' say=other exit=0"
    with closing(open_source(text, _config())) as source:
        result = outcome(islice(source, 6))  # it would come back for ever
    assert result.kinds == [EventKind.LOST, EventKind.RECONNECTED]
    assert "exit status 0: Error generated: no capture" in result.events[0].reason
    assert result.numbers == [0, 1, 2, 3]


def test_a_pipeline_that_stalls_is_ended_and_started_again(
    stand_in: Path, outcome: Callable
) -> None:
    text = "gst:num-buffers=4 deaf caps sleep=0.2 frames=2 again=exit=0 sleep=30"
    start = time.monotonic()
    with closing(open_source(text, _config(timeout_s=0.6))) as source:
        result = outcome(source)
    assert result.kinds == [EventKind.LOST, EventKind.RECONNECTED]
    assert "no frame came for 0.6 s" in result.events[0].reason
    assert result.numbers == [0, 1, 2, 3]
    assert all(_group_is_gone(leader) for leader in _process_ids(stand_in))
    assert time.monotonic() - start < 15


def test_closing_ends_the_process_and_its_children(stand_in: Path) -> None:
    source = open_source("gst:child caps frames=5 sleep=60", _config())
    threading.Timer(0.3, source.close).start()
    start = time.monotonic()
    list(source)
    source.close()
    assert time.monotonic() - start < 5
    assert _group_is_gone(_process_ids(stand_in)[0])


def test_a_pipeline_that_does_not_start_says_why(stand_in: Path) -> None:
    text = "gst:'say=WARNING: erroneous pipeline: no element x' say=later exit=1"
    with pytest.raises(
        DataError,
        match=r"does not start \(exit status 1: WARNING: erroneous pipeline: no element x\)",
    ):
        open_source(text, _config())
    assert _group_is_gone(_process_ids(stand_in)[0])


def test_a_pipeline_that_gives_nothing_in_time_is_an_error(stand_in: Path) -> None:
    with pytest.raises(DataError, match=r"does not start \(no frame came for 0\.3 s\)"):
        open_source("gst:sleep=60", _config(timeout_s=0.3))
    assert _group_is_gone(_process_ids(stand_in)[0])


def test_too_large_frames_are_refused_before_they_are_read(stand_in: Path) -> None:
    with pytest.raises(DataError, match="announces frames of 50000 x 50000 pixels, expected at"):
        open_source("gst:caps=50000x50000 sleep=60", _config())
    assert _group_is_gone(_process_ids(stand_in)[0])


def test_frames_that_change_their_size_start_the_pipeline_again(
    stand_in: Path, outcome: Callable
) -> None:
    text = (
        "gst:num-buffers=2 caps sleep=0.2 frames=1 again=exit=0 "
        "caps=20x8 sleep=0.3 frames=5 sleep=60"
    )
    with closing(open_source(text, _config())) as source:
        result = outcome(source)
    assert result.kinds == [EventKind.LOST, EventKind.RECONNECTED]
    assert "its frames are no longer 15 x 8 pixels" in result.events[0].reason


def test_a_pipeline_over_a_file_waits_for_whoever_is_slow(
    stand_in: Path, outcome: Callable
) -> None:
    text = "gst:filesrc caps frames=3000 exit=0"  # a pipe holds less
    with closing(open_source(text, SourceConfig(waiting_frames=1))) as source:
        assert not source.live
        time.sleep(0.2)
        result = outcome(source)
    assert result.numbers == list(range(3000))
    assert not result.events
    assert result.frames[20].time_s == pytest.approx(1.0)


def test_a_pipeline_over_a_file_that_dies_is_reported(stand_in: Path, outcome: Callable) -> None:
    with closing(
        open_source("gst:filesrc caps frames=4 'say=ERROR: damaged' exit=1", _config())
    ) as source:
        result = outcome(source)
    assert [(event.kind, event.number, event.count) for event in result.events] == [
        (EventKind.BROKEN, 4, 0)
    ]
    assert "stopped after 4 frames (exit status 1: ERROR: damaged)" in result.events[0].reason


def test_a_pipeline_over_a_file_without_a_frame_is_an_error(stand_in: Path) -> None:
    with (
        closing(open_source("gst:filesrc caps exit=1", _config())) as source,
        pytest.raises(DataError, match=r"gave no frame \(exit status 1, without a word\)"),
    ):
        list(source)


def test_a_missing_gstreamer_is_named_with_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="apt-get install gstreamer1.0-tools gstreamer1.0-plugins"):
        open_source("gst:videotestsrc", _config())


def test_a_pipeline_is_split_as_a_shell_does() -> None:
    text = "filesrc location='a b.mp4' ! video/x-raw(memory:NVMM),width=1280 ! nvvidconv !"
    assert pipeline_words(text) == [
        "filesrc",
        "location=a b.mp4",
        "!",
        "video/x-raw(memory:NVMM),width=1280",
        "!",
        "nvvidconv",
    ]


@pytest.mark.parametrize("text", ["", "  ", " ! "])
def test_an_empty_pipeline_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="got gst: and nothing behind it"):
        pipeline_words(text)


def test_quotes_that_do_not_match_are_refused() -> None:
    with pytest.raises(UsageError, match="No closing quotation"):
        pipeline_words("filesrc location='a b.mp4")


def test_a_sink_is_left_to_us() -> None:
    with pytest.raises(UsageError, match="leave out '! appsink drop=1'"):
        pipeline_words("videotestsrc ! appsink drop=1")


def test_pipelines_over_files_are_known_by_their_elements() -> None:
    assert reads_files(pipeline_words("filesrc location=a.mp4 ! qtdemux"))
    assert reads_files(pipeline_words("uridecodebin uri=file:///a.mp4"))
    assert not reads_files(pipeline_words("v4l2src device=/dev/video0"))


@needs_gstreamer
@pytest.mark.parametrize("size", [(64, 48), (321, 241)])
def test_a_real_pipeline_gives_right_colours_at_any_size(
    outcome: Callable, size: tuple[int, int]
) -> None:
    text = (
        "gst:videotestsrc num-buffers=8 is-live=true pattern=red ! "
        f"video/x-raw,width={size[0]},height={size[1]},framerate=20/1"
    )
    with closing(open_source(text, _config())) as source:
        assert source.frames_per_s == 20.0
        result = outcome(source)
    assert result.accounted() == list(range(len(result.frames)))
    assert len(result.frames) >= 4  # those from before the first was asked for do not count
    for frame in result.frames:
        assert frame.image_hwc.shape == (size[1], size[0], 3)
        np.testing.assert_allclose(
            frame.image_hwc, np.broadcast_to((255, 0, 0), frame.image_hwc.shape), atol=3
        )


@needs_gstreamer
def test_a_real_pipeline_of_hd_size_keeps_its_colours(outcome: Callable) -> None:
    text = (
        "gst:videotestsrc num-buffers=4 is-live=true pattern=red ! "
        "video/x-raw,width=1280,height=720,framerate=10/1"
    )
    with closing(open_source(text, _config())) as source:
        result = outcome(source)
    middle = result.frames[-1].image_hwc[360, 640]
    np.testing.assert_allclose(middle, (255, 0, 0), atol=3)


@needs_gstreamer
def test_a_real_pipeline_reads_a_video_to_its_end(
    tmp_path: Path, make_video: Callable, outcome: Callable
) -> None:
    path = make_video(tmp_path / "a b.avi", "MJPG")
    with closing(
        open_source(f"gst:filesrc location='{path}' ! avidemux ! jpegdec", _config())
    ) as source:
        result = outcome(source)
    assert result.numbers == list(range(30))
    assert result.frames[25].time_s == pytest.approx(1.0)
    np.testing.assert_allclose(result.greys, [255 / 8 + 7 / 8 * 8 * i for i in range(30)], atol=6)


@needs_gstreamer
def test_a_real_pipeline_with_a_wrong_element_says_so() -> None:
    with pytest.raises(DataError, match='no element "nosuchelement"'):
        open_source("gst:nosuchelement", _config())

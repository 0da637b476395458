"""Lines as gst-launch-1.0 1.22 printed them."""

from __future__ import annotations

import pytest

from edge_arm.runtime.sources.gstreamer_caps import RawVideo, raw_video_from_line

LINE = (
    "/GstPipeline:pipeline0/GstCapsFilter:edge_arm_frames.GstPad:src: caps = video/x-raw, "
    "format=(string)RGB, width=(int)33, height=(int)7, framerate=(fraction)30000/1001, "
    "multiview-mode=(string)mono, pixel-aspect-ratio=(fraction)1/1"
)


def test_size_and_rate_are_read() -> None:
    video = raw_video_from_line(LINE)
    assert video is not None
    assert (video.width, video.height) == (33, 7)
    assert video.frames_per_s == pytest.approx(29.97, abs=0.001)


@pytest.mark.parametrize("rate", ["framerate=(fraction)0/1", "framerate=(fraction)0/0", "x=1"])
def test_a_rate_that_varies_is_none(rate: str) -> None:
    video = raw_video_from_line(LINE.replace("framerate=(fraction)30000/1001", rate))
    assert video is not None
    assert video.frames_per_s is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        LINE.replace("edge_arm_frames", "capsfilter0"),
        LINE.replace("GstPad:src", "GstPad:sink"),
        LINE.replace("width=(int)33", "width=(int)[ 1, 2147483647 ]"),
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert raw_video_from_line(line) is None


# `gst-launch-1.0 videotestsrc num-buffers=2 ! video/x-raw,width=33,height=7 ! videoconvert !
# video/x-raw,format=RGB ! filesink location=o` wrote 1400 bytes: 2 frames of 7 rows of 100 bytes.
@pytest.mark.parametrize(("width", "num_bytes"), [(33, 100), (32, 96), (1, 4), (4, 12)])
def test_rows_begin_at_multiples_of_four_bytes(width: int, num_bytes: int) -> None:
    assert RawVideo(width, 7, None).row_bytes == num_bytes

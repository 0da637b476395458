"""A GStreamer pipeline as a connection: run by gst-launch-1.0, its frames read from a pipe.

Pip's OpenCV has no GStreamer, and installing it hides JetPack's OpenCV, which has. A process of its
own needs neither, and a driver that hangs or crashes in it takes nothing with it.

The user's text gets an end: conversion to RGB, then the bytes into a pipe. Not into the standard
output: NVIDIA's camera library prints there ("GST_ARGUS: ..."). Size and rate are in what
`gst-launch-1.0 -v` prints. Two self-describing ways were tried and left: YUV4MPEG2 needs I420, and
from I420 to I420 GStreamer (1.22) ignores the range, so that pictures of a JPEG camera came out too
dark; its encoder also pads odd sizes, which the format does not know.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shlex
import shutil
import signal
import subprocess
import time
from collections import deque
from threading import Event, Thread

import numpy as np

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.sources.gstreamer_caps import FILTER_NAME, RawVideo, raw_video_from_line
from edge_arm.runtime.sources.live_stream import Connect, Gone, Reading
from edge_arm.runtime.sources.source_config import SourceConfig

PROGRAM = "gst-launch-1.0"
PACKAGES = "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
"""Of Debian, Ubuntu and JetPack."""

_FILE_ELEMENTS = frozenset({"filesrc", "multifilesrc", "splitmuxsrc", "imagesequencesrc"})
_ERRORS = ("ERROR", "Error generated", "(Argus) Error")
_PIPE_BYTES = 1 << 20
_KEPT_LINES = 40
_LOOK_UP_S = 0.1
"""How soon it is noticed that nobody wants frames any more."""
_PATIENCE_S = 2.0
"""NVIDIA's camera daemon wants a camera to be given back; killed at once, it stays taken."""


class GStreamerProcess:
    """A running pipeline.

    Attributes:
        frames_per_s: as the pipeline announces it.
    """

    def __init__(self, words: list[str], config: SourceConfig, stopped: Event) -> None:
        """Start it and wait until it knows what its frames are.

        Args:
            words: the pipeline, as `pipeline_words` gives it.
            config: time-out and largest frame.
            stopped: set when nobody wants frames any more.

        Raises:
            DataError: if GStreamer is not here, the pipeline does not start, or its frames are too
                large.
        """
        program = shutil.which(PROGRAM)
        if program is None:
            raise DataError(
                f"found no {PROGRAM}, which gst: sources need; "
                f"install it (sudo apt-get install {PACKAGES})"
            )
        self._timeout_s = config.timeout_s
        # NVIDIA's camera source ends its stream, with exit status 0, when the camera fails.
        self._finite = reads_files(words) or any(word.startswith("num-buffers=") for word in words)
        self._stopped = stopped
        self._silent = False
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._announced: RawVideo | None = None
        self._frames_fd, write_fd = os.pipe()
        try:
            with contextlib.suppress(OSError):  # beyond the user's limit the usual 64 KB do
                fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            # A session of its own: Ctrl-C in the terminal is ours to handle, and the whole group
            # can be ended.
            self._process = subprocess.Popen(
                [program, "-v", *words, *_end(write_fd)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(write_fd,),
                start_new_session=True,
                env={**os.environ, "LC_ALL": "C.UTF-8"},  # its errors are looked for by their words
            )
        except BaseException:
            os.close(self._frames_fd)
            raise
        finally:
            os.close(write_fd)
        self._listener = Thread(target=self._listen, name=f"{PROGRAM} says", daemon=True)
        self._listener.start()
        try:
            self._video = self._first_announcement(words, config.max_pixels)
        except BaseException:
            self.close()
            raise
        self.frames_per_s = self._video.frames_per_s

    def read(self) -> Reading:
        """See `Connection`."""
        video = self._video
        if self._announced != video:
            return Gone(f"its frames are no longer {video.width} x {video.height} pixels")
        rows = np.empty((video.height, video.row_bytes), np.uint8)
        if self._fill(rows):
            image_hwc = rows[:, : 3 * video.width].reshape(video.height, video.width, 3)
            return np.ascontiguousarray(image_hwc)
        if self._stopped.is_set():
            return Gone("nobody wants frames any more", ended=True)
        reason = self._why_it_stopped()
        return Gone(reason, ended=self._finite and self._process.returncode == 0)

    def close(self) -> None:
        """End the process and everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join(_PATIENCE_S)
        if self._frames_fd >= 0:
            os.close(self._frames_fd)
            self._frames_fd = -1

    def _first_announcement(self, words: list[str], max_pixels: int) -> RawVideo:
        until_s = time.monotonic() + self._timeout_s
        while self._announced is None and self._listener.is_alive() and not self._stopped.is_set():
            if time.monotonic() > until_s:
                self._silent = True
                break
            self._listener.join(_LOOK_UP_S / 10)
        video = self._announced
        if video is None:
            raise DataError(
                f"the pipeline does not start ({self._why_it_stopped()}), expected raw video; "
                f"try it alone: {PROGRAM} {_typed(words)} ! fakesink"
            )
        if video.width * video.height > max_pixels:
            raise DataError(
                f"the pipeline announces frames of {video.width} x {video.height} pixels, expected "
                f"at most {max_pixels} in all; scale them in the pipeline, or raise --max-pixels"
            )
        return video

    def _fill(self, rows: Uint8Array) -> bool:
        """Read one frame; False at the end, after too long a silence, or when nobody wants more.

        Args:
            rows: (H, bytes of a row) uint8, written.
        """
        view = rows.data.cast("B")
        got = 0
        until_s = time.monotonic() + self._timeout_s
        while got < len(view) and not self._stopped.is_set():
            ready, _, _ = select.select([self._frames_fd], [], [], _LOOK_UP_S)
            if ready:
                num_bytes = os.readv(self._frames_fd, [view[got:]])
                if num_bytes == 0:
                    return False
                got += num_bytes
            elif time.monotonic() > until_s:
                self._silent = True
                return False
        return got == len(view)

    def _why_it_stopped(self) -> str:
        if self._silent:
            return f"no frame came for {self._timeout_s:g} s"
        try:
            status = self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return "it closed its output and runs on"
        self._listener.join(_PATIENCE_S)
        said = _telling_line(tuple(self._said))
        return f"exit status {status}: {said}" if said else f"exit status {status}, without a word"

    def _listen(self) -> None:
        output = self._process.stdout
        assert output is not None
        with output:
            for raw_line in output:
                line = raw_line.decode(errors="replace").strip()
                self._announced = raw_video_from_line(line) or self._announced
                if line and not line.startswith("/GstPipeline"):  # what -v adds
                    self._said.append(line)


def gstreamer_connection(words: list[str], name: str, config: SourceConfig) -> Connect:
    """How a pipeline is started.

    Args:
        words: of `pipeline_words`.
        name: as the user wrote it.
        config: time-out and largest frame.
    """

    def connect(stopped: Event) -> GStreamerProcess:
        try:
            return GStreamerProcess(words, config, stopped)
        except DataError as error:
            raise DataError(f"{name!r}: {error}") from error

    return connect


def pipeline_words(pipeline: str) -> list[str]:
    """A pipeline as the arguments of gst-launch-1.0, split as a shell does.

    Raises:
        UsageError: if it is empty, its quotes do not match, or it ends in a sink already.
    """
    try:
        words = shlex.split(pipeline)
    except ValueError as error:
        raise UsageError(
            f"got the pipeline {pipeline!r} ({error}), expected matching quotes; close them"
        ) from error
    while words and words[-1] == "!":
        words.pop()
    if not words:
        raise UsageError(
            "got gst: and nothing behind it, expected a pipeline; "
            "for example 'gst:v4l2src device=/dev/video0'"
        )
    last = words[_last_link(words) + 1]
    if last.endswith("sink"):
        raise UsageError(
            f"got a pipeline that ends in {last!r}, expected one that ends in raw video: edge-arm "
            f"adds the sink; leave out '! {' '.join(words[_last_link(words) + 1 :])}'"
        )
    return words


def reads_files(words: list[str]) -> bool:
    """Whether a pipeline reads files, which wait for whoever is slow; a camera does not."""
    return any(word in _FILE_ELEMENTS or "file://" in word for word in words)


def _last_link(words: list[str]) -> int:
    return max((place for place, word in enumerate(words) if word == "!"), default=-1)


def _end(write_fd: int) -> list[str]:
    frames = ["capsfilter", f"name={FILTER_NAME}", "caps=video/x-raw,format=RGB"]
    return ["!", "videoconvert", "!", *frames, "!", "fdsink", f"fd={write_fd}"]


def _typed(words: list[str]) -> str:
    return " ".join(word if word == "!" else shlex.quote(word) for word in words)


def _telling_line(said: tuple[str, ...]) -> str:
    """The line that says why: the first error, else the last line that is no progress."""
    for line in said:
        if line.startswith(_ERRORS) or "erroneous pipeline" in line:
            return line
    return next((line for line in reversed(said) if not line.endswith("...")), "")

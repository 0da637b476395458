"""A GStreamer pipeline as a connection: run by gst-launch-1.0, its frames read from a pipe.

Pip's OpenCV has no GStreamer, and installing it hides JetPack's OpenCV, which has. A process of its
own needs neither, and a driver that hangs or crashes in it takes nothing with it.

The user's text gets an end: conversion to I420, then YUV4MPEG2 into a pipe. Not into the standard
output: NVIDIA's camera library prints there ("GST_ARGUS: ..."). The colour matrix is fixed to the
one that OpenCV converts back with (BT.601); left open, pictures of HD size would come with BT.709.
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

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.sources.live_stream import Connect, Gone, Reading
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.y4m import Y4mReader

PROGRAM = "gst-launch-1.0"
PACKAGES = "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
"""Of Debian, Ubuntu and JetPack."""

_FILE_ELEMENTS = frozenset({"filesrc", "multifilesrc", "splitmuxsrc", "imagesequencesrc"})
_PIPE_BYTES = 1 << 20
_KEPT_LINES = 40
_LOOK_UP_S = 0.2
"""How soon it is noticed that nobody wants frames any more."""
_PATIENCE_S = 3.0
"""NVIDIA's camera daemon wants a camera to be given back; killed at once, it stays taken."""


class GStreamerProcess:
    """A running pipeline.

    Attributes:
        frames_per_s: as its header says.
    """

    def __init__(self, arguments: list[str], config: SourceConfig, stopped: Event) -> None:
        """Start it and wait for the header of its frames.

        Args:
            arguments: the pipeline, in words, as `pipeline_words` gives it.
            config: time-out and largest frame.
            stopped: set when nobody wants frames any more.

        Raises:
            DataError: if GStreamer is not here or the pipeline does not start.
        """
        program = shutil.which(PROGRAM)
        if program is None:
            raise DataError(
                f"found no {PROGRAM}, which gst: sources need; "
                f"install it (sudo apt-get install {PACKAGES})"
            )
        self._timeout_s = config.timeout_s
        self._stopped = stopped
        self._silent = False
        self._frames_fd, write_fd = os.pipe()
        with contextlib.suppress(OSError):  # beyond the user's limit the usual 64 KB do
            fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            # A session of its own: Ctrl-C in the terminal is ours to handle, and the whole group
            # can be ended.
            self._process = subprocess.Popen(
                [program, "-q", *arguments, *_end(write_fd)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(write_fd,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._frames_fd)
            raise
        finally:
            os.close(write_fd)
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listener = Thread(target=self._listen, name=f"{PROGRAM} says", daemon=True)
        self._listener.start()
        try:
            self._reader = Y4mReader(self._read_bytes, max_pixels=config.max_pixels)
        except DataError as error:
            reason = self._why_it_stopped()
            self.close()
            if self._began:  # it wrote something, and that was not Y4M
                raise
            raise DataError(
                f"the pipeline does not start ({reason}), expected frames of raw video; "
                f"try it alone: {PROGRAM} {_typed(arguments)} ! fakesink"
            ) from error
        except BaseException:
            self.close()
            raise
        self.frames_per_s = self._reader.frames_per_s

    _began = False

    def read(self) -> Reading:
        """See `Connection`."""
        try:
            picture = self._reader.next_picture()
        except DataError as error:
            return Gone(str(error))
        if picture is not None:
            return picture
        if self._stopped.is_set():
            return Gone("nobody wants frames any more", ended=True)
        reason = self._why_it_stopped()
        return Gone(reason, ended=self._process.returncode == 0)

    def close(self) -> None:
        """End the process and everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join()
        if self._frames_fd >= 0:
            os.close(self._frames_fd)
            self._frames_fd = -1

    def _read_bytes(self, count: int) -> bytearray:
        """So many bytes; fewer at the end, after too long a silence, or when nobody wants more."""
        content = bytearray(count)
        view = memoryview(content)
        got = 0
        until_s = time.monotonic() + self._timeout_s
        while got < count and not self._stopped.is_set():
            ready, _, _ = select.select([self._frames_fd], [], [], _LOOK_UP_S)
            if not ready:
                if time.monotonic() > until_s:
                    self._silent = True
                    break
                continue
            num_bytes = os.readv(self._frames_fd, [view[got:]])
            if num_bytes == 0:
                break
            got += num_bytes
            self._began = True
        view.release()
        del content[got:]
        return content

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
            for line in output:
                if text := line.decode(errors="replace").strip():
                    self._said.append(text)


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
    if last.endswith("sink") or last == "y4menc":
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
    caps = "video/x-raw,format=I420,colorimetry=bt601"
    return ["!", "videoconvert", "!", caps, "!", "y4menc", "!", "fdsink", f"fd={write_fd}"]


def _typed(words: list[str]) -> str:
    return " ".join(word if word == "!" else shlex.quote(word) for word in words)


def _telling_line(said: tuple[str, ...]) -> str:
    """The line that says why: GStreamer's first error, else the last line."""
    errors = (line for line in said if line.startswith("ERROR") or "erroneous pipeline" in line)
    return next(errors, said[-1] if said else "")

"""An endless source for long runs: passes over sources that open, break, go away and close.

Kinds of passes, each once and then in random order:

- whole: a drawn clip with two people, 300 frames
- broken: the same with zeros in the place of some frames
- cut: the same as AVI, cut off somewhere
- network: a camera that sends JPEGs over HTTP, closes the connection, comes back, and goes for good
- pictures: a folder in which one picture is damaged
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2

from edge_arm.data.clip import ClipConfig, clip_frames
from edge_arm.data.clip_file import write_clip
from edge_arm.runtime.sources.frame import Frame, SourceEvent
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.source_from_text import open_source

CLIP = ClipConfig(width=320, height=240, seconds=10.0, faces=2)
VIDEO_RATE = 30.0
"""Frames in a second of simulated video."""

NETWORK_FRAMES = 60
PICTURES = 12
_PASSES = {"whole": 10, "broken": 4, "cut": 3, "network": 2, "pictures": 2}
_VOP_START = b"\x00\x00\x01\xb6"  # each MPEG-4 frame begins with it (ISO 14496-2, 6.2.5)
_AVI_FRAME = b"00dc"


class NetworkCamera:
    """Sends JPEGs over HTTP to one client after the other: so many frames, then it closes.

    It is there for as many clients as were allowed, and refuses everybody afterwards.
    """

    def __init__(self, jpegs: Sequence[bytes]) -> None:
        self._jpegs = jpegs
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()  # the thread's; each has one of its own
        with self._listener(0) as listener:
            self._port = listener.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._port}/video"

    def allow(self, clients: int) -> None:
        """Take so many calls, from now on."""
        self.close()
        self._ended = threading.Event()
        listener = self._listener(self._port)
        self._thread = threading.Thread(
            target=self._serve, args=(listener, clients), name="camera", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Take no further call."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    @staticmethod
    def _listener(port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        listener.settimeout(0.1)
        return listener

    def _serve(self, listener: socket.socket, clients: int) -> None:
        with listener:
            while clients and not self._ended.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                clients -= 1
                with client:
                    try:
                        self._send(client)
                    except OSError:
                        continue  # the pipeline has left

    def _send(self, client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(
            b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n--f\r\n"
        )
        for number in range(NETWORK_FRAMES):
            jpeg = self._jpegs[number % len(self._jpegs)]
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            client.sendall(head.encode() + jpeg + b"\r\n--f\r\n")
            if self._ended.wait(0.01):
                return


class EndlessSource:
    """Passes over other sources as one, until the time is over.

    Attributes:
        name: for results.
        live: no: of the network camera, its own source drops frames, and says so.
        moving: yes.
        frames_per_s: of the clip.
        given: how many frames it gave or counted by events, and how many passes; an event that
            counts no frame is one.
        faults: sentences about passes that did not account for their frames.
    """

    name = "endless"
    live = False
    moving = True
    frames_per_s: float | None = VIDEO_RATE

    def __init__(self, folder: Path, *, seconds: float, seed: int, clip: ClipConfig = CLIP) -> None:
        """Draw what the passes read.

        Args:
            folder: to write into.
            seconds: after which no further pass begins, once each kind has had its turn.
            seed: of the order of passes, and of what is broken in them.
            clip: that the files hold.
        """
        self.given: Counter[str] = Counter()
        self.faults: list[str] = []
        self._random = random.Random(seed)
        self._folder = folder
        self._seconds = seconds
        self._num_frames = clip.num_frames
        self._mp4 = write_clip(clip, folder / "clip.mp4")
        self._avi = write_clip(clip, folder / "clip.avi")
        self._closed = threading.Event()
        jpegs = []
        for image, _ in clip_frames(replace(clip, seconds=1.0)):
            jpegs.append(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
        (folder / "pictures").mkdir()
        for number in range(PICTURES):
            jpeg = jpegs[number] if number != PICTURES // 2 else jpegs[number][:500]
            (folder / "pictures" / f"{number:02}.jpg").write_bytes(jpeg)
        self._camera = NetworkCamera(jpegs)

    def close(self) -> None:
        """End at the next frame."""
        self._closed.set()
        self._camera.close()

    def __iter__(self) -> Iterator[Frame | SourceEvent]:
        end_s = time.monotonic() + self._seconds
        number, time_s = 0, 0.0
        once_each = self._random.sample(tuple(_PASSES), len(_PASSES))
        while (once_each or time.monotonic() < end_s) and not self._closed.is_set():
            kinds = once_each or self._random.choices(tuple(_PASSES), tuple(_PASSES.values()))
            kind = kinds.pop()
            first, first_s = number, time_s
            last_s = 0.0
            for item in self._pass(kind):
                if item.number + first != number:
                    self.faults.append(
                        f"a pass of the kind {kind!r} went from frame {number - first} to "
                        f"{item.number}, expected every number once"
                    )
                count = 1 if isinstance(item, Frame) else item.count
                number += count
                last_s = item.time_s
                self.given["frame" if isinstance(item, Frame) else item.kind.value] += count or 1
                yield replace(item, number=item.number + first, time_s=item.time_s + first_s)
                if self._closed.is_set():
                    return
            time_s = first_s + last_s + 1 / VIDEO_RATE
            self.given[f"pass: {kind}"] += 1
            expected = {"network": None, "pictures": PICTURES}.get(kind, self._num_frames)
            if expected is not None and number - first != expected:
                self.faults.append(
                    f"a pass of the kind {kind!r} accounted for {number - first} frames, "
                    f"expected {expected}"
                )

    def _pass(self, kind: str) -> Iterator[Frame | SourceEvent]:
        text = str(self._mp4)
        if kind == "broken":
            text = str(self._broken_clip())
        elif kind == "cut":
            text = str(self._cut_clip())
        elif kind == "pictures":
            text = str(self._folder / "pictures")
        elif kind == "network":
            text = self._camera.url
            self._camera.allow(2)
        with closing(open_source(text, SourceConfig(give_up_s=1.0))) as source:
            yield from source

    def _broken_clip(self) -> Path:
        """The MP4 with zeros instead of some frames; not the first, which carries the header."""
        content = bytearray(self._mp4.read_bytes())
        places = _places(content, _VOP_START)
        for _ in range(self._random.randint(1, 4)):
            start = self._random.randrange(1, len(places) - 8)
            end = places[start + self._random.randint(1, 6)]
            content[places[start] : end] = bytes(end - places[start])
        return self._written("broken.mp4", content)

    def _cut_clip(self) -> Path:
        """The AVI, which has its header in front, up to some frame."""
        content = bytearray(self._avi.read_bytes())
        places = _places(content, _AVI_FRAME)[: self._num_frames]
        del content[places[self._random.randrange(len(places) // 10, len(places))] :]
        return self._written("cut.avi", content)

    def _written(self, name: str, content: bytearray) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path


def _places(content: bytearray, mark: bytes) -> list[int]:
    places = []
    at = content.find(mark)
    while at >= 0:
        places.append(at)
        at = content.find(mark, at + 1)
    return places

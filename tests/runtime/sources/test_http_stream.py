"""A camera on the network: a real server that sends JPEGs, closes, comes back, and stalls."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import cv2
import numpy as np
import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.sources.frame import EventKind, Frame
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.source_from_text import open_source

HEADER = (
    b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n--frame\r\n"
)
PAUSE_S = 0.01


def _part(grey: int) -> bytes:
    done, content = cv2.imencode(".jpg", np.full((48, 64, 3), grey, np.uint8))
    assert done
    jpeg = content.tobytes()
    length = str(len(jpeg)).encode()
    return b"Content-Type: image/jpeg\r\nContent-Length: " + length + b"\r\n\r\n" + jpeg


class Camera:
    """Serves one connection after the other: `frames` each, then it closes, or sends no more."""

    def __init__(self, *, frames: tuple[int, ...], stall: bool = False) -> None:
        self._frames = frames
        self._stall = stall
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.connections = 0
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/video"

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        for count in self._frames:
            while not self._stop.is_set():
                try:
                    client, _ = self._listener.accept()
                    break
                except TimeoutError:
                    continue
            else:
                return
            self.connections += 1
            with client:
                self._send(client, count)

    def _send(self, client: socket.socket, count: int) -> None:
        client.recv(4096)
        try:
            client.sendall(HEADER)
            for number in range(count):
                if self._stop.wait(PAUSE_S):
                    return
                client.sendall(_part(8 * number % 256) + b"\r\n--frame\r\n")
            if self._stall:
                self._stop.wait(30)
        except OSError:
            return  # the other side has gone


@pytest.fixture
def camera() -> Iterator[Callable[..., Camera]]:
    cameras: list[Camera] = []

    def start(**script: object) -> Camera:
        cameras.append(Camera(**script))
        return cameras[-1]

    yield start
    for started in cameras:
        started.stop()


def test_a_stream_that_closes_and_comes_back_is_survived(
    camera: Callable[..., Camera], outcome: Callable
) -> None:
    started = camera(frames=(30, 30))
    config = SourceConfig(give_up_s=1.0, timeout_s=1.5, waiting_frames=100)
    with closing(open_source(started.url, config)) as source:
        assert (source.live, source.moving) == (True, True)
        result = outcome(source)
    assert started.connections == 2
    # LOST, back again, LOST for good.
    assert result.kinds == [
        EventKind.LOST,
        EventKind.RECONNECTED,
        EventKind.LOST,
        EventKind.LOST,
    ]
    assert "is given up" in result.events[3].reason
    assert result.accounted() == list(range(len(result.frames)))
    assert len(result.frames) > 40
    assert result.frames[0].image_hwc.shape == (48, 64, 3)


def test_a_stream_that_stalls_is_lost_in_time(
    camera: Callable[..., Camera], outcome: Callable
) -> None:
    started = camera(frames=(30,), stall=True)
    config = SourceConfig(give_up_s=0.0, timeout_s=1.0, waiting_frames=100)
    start = time.monotonic()
    with closing(open_source(started.url, config)) as source:
        result = outcome(source)
    assert time.monotonic() - start < 6
    assert result.kinds[0] is EventKind.LOST
    assert len(result.frames) > 15


def test_a_slow_reader_gets_new_frames_and_every_number_once(
    camera: Callable[..., Camera],
) -> None:
    started = camera(frames=(60,))
    numbers: list[int] = []
    with closing(open_source(started.url, SourceConfig(give_up_s=0.0, timeout_s=3))) as source:
        for item in source:
            if isinstance(item, Frame):
                numbers.append(item.number)
                time.sleep(0.1)
            else:
                numbers += range(item.number, item.number + item.count)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 40


def test_an_address_where_nobody_answers_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DataError, match=r"rtsp://me:\*\*\*@127\.0\.0\.1:.* does not open"):
        open_source(f"rtsp://me:secret@127.0.0.1:{port}/x", SourceConfig())


def test_a_server_that_accepts_and_is_silent_is_an_error_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        start = time.monotonic()
        with pytest.raises(DataError, match=r"does not open \(tried for 1\.\d s\)"):
            open_source(
                f"http://127.0.0.1:{listener.getsockname()[1]}/x", SourceConfig(timeout_s=1.0)
            )
        assert time.monotonic() - start < 5


def test_a_finite_video_behind_a_url_is_read_as_a_file(
    tmp_path: object, make_video: Callable, outcome: Callable
) -> None:
    import functools
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    make_video(tmp_path / "a.avi", "MJPG")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/a.avi"
        with closing(open_source(url, SourceConfig())) as source:
            assert not source.live
            assert outcome(source).numbers == list(range(30))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

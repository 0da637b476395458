"""`edge-arm run` on real pictures and clips, with a model that tells expressions apart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from expression_bundle import expression_bundle

from edge_arm.cli.main import main
from edge_arm.data.clip import ClipConfig, ClipFrame, FaceTruth, clip_frames
from edge_arm.data.clip_file import write_clip
from edge_arm.runtime.crop import CropBox

CLIPS = tuple(ClipConfig(640, 480, 5.0, 4.0, 3, seed) for seed in (0, 7))
"""Of several, the two that this model finds hardest. Sixty faces each."""
PHOTO = ClipConfig(640, 480, 2.0, 4.0, 3, 14)
"""Its last frame: three people, three expressions."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return expression_bundle(tmp_path_factory.mktemp("model") / "bundle").path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("ролики 顔")
    paths = tuple(folder / f"clip {config.seed}.mp4" for config in CLIPS)
    for config, path in zip(CLIPS, paths, strict=True):
        write_clip(config, path)
    return paths


@pytest.fixture(scope="module")
def photo() -> ClipFrame:
    return list(clip_frames(PHOTO))[-1]


@dataclass(frozen=True)
class Ran:
    status: int
    lines: list[dict[str, Any]]
    stderr: str

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "event" not in line]


class Runner:
    def __init__(
        self,
        bundle: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        self._bundle, self._monkeypatch, self._capfd = bundle, monkeypatch, capfd

    def __call__(self, *words: object) -> Ran:
        command = ["edge-arm", "run", "--bundle", self._bundle, *words]
        self._monkeypatch.setattr(sys, "argv", [str(word) for word in command])
        status = main()
        out, err = self._capfd.readouterr()
        return Ran(status, [json.loads(line) for line in out.splitlines()], err)


@pytest.fixture
def run(bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Runner:
    return Runner(bundle, monkeypatch, capfd)


def overlap(a: CropBox, b: CropBox) -> float:
    """Intersection over union."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    both = max(width, 0) * max(height, 0)
    return both / (a.width * a.height + b.width * b.height - both)


def face_at(truth: FaceTruth, frame: dict[str, Any]) -> dict[str, Any] | None:
    for face in frame["faces"]:
        if overlap(CropBox(*face["box"]), truth.box) > 0.5:
            found: dict[str, Any] = face
            return found
    return None


def test_faces_of_generated_clips_are_found_and_labelled(
    run: Runner, clips: tuple[Path, ...], tmp_path: Path
) -> None:
    whole = found = settled = right = boxes = 0
    tracks_of_people = 0
    for config, clip in zip(CLIPS, clips, strict=True):
        ran = run(clip, "--no-smoothing", "--annotate", tmp_path / f"{config.seed}.mp4")
        assert ran.status == 0, ran.stderr
        assert len(ran.frames) == config.num_frames
        boxes += sum(len(frame["faces"]) for frame in ran.frames)
        tracks: dict[int, set[int]] = {}
        for frame, (_, truths) in zip(ran.frames, clip_frames(config), strict=True):
            for truth in truths:
                if truth.visible < 1:
                    continue
                whole += 1
                face = face_at(truth, frame)
                if face is None:
                    continue
                found += 1
                tracks.setdefault(truth.identity, set()).add(face["track"])
                if not truth.in_transition:
                    settled += 1
                    right += face["label"] == truth.label
        tracks_of_people += sum(len(numbers) for numbers in tracks.values())
    assert whole >= 100
    # Seen: 1.00 and 0.88; the limits leave room for another OpenCV.
    assert found / whole >= 0.93
    assert right / settled >= 0.8
    assert boxes - found <= 0.05 * whole
    # Six people; one who was lost and found again has two numbers.
    assert 6 <= tracks_of_people <= 9


def test_the_annotated_clip_has_every_frame_and_marks_every_face(
    run: Runner, clips: tuple[Path, ...], tmp_path: Path
) -> None:
    out = tmp_path / "выход 顔.avi"
    ran = run(clips[0], "--annotate", out)
    before, after = (cv2.VideoCapture(str(path)) for path in (clips[0], out))
    for frame in ran.frames:
        (_, plain), (there, marked) = before.read(), after.read()
        assert there
        changed = np.abs(plain.astype(int) - marked).max(axis=2) > 60
        for face in frame["faces"]:
            x, y, width, height = face["box"]
            edge = slice(max(y - 3, 0), y + 4), slice(max(x, 0), x + width)
            assert changed[edge].any(axis=0).mean() > 0.5
    assert not after.read()[0]


def test_a_photograph_of_a_face_is_labelled(
    run: Runner, photo: ClipFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a photo 顔.png"
    image_hwc, truths = photo
    path.write_bytes(cv2.imencode(".png", image_hwc[:, :, ::-1])[1].tobytes())
    ran = run(path, "--annotate", tmp_path / "out.jpg")
    assert ran.status == 0, ran.stderr
    start, frame, end = ran.lines
    assert (start["model"], start["precision"]) == ("model.fp32.onnx", "fp32")
    assert start["detector"] == "haar"
    assert (frame["width"], frame["height"]) == (640, 480)
    assert all(face["track"] is None for face in frame["faces"])
    labels = [face["label"] for truth in truths if (face := face_at(truth, frame)) is not None]
    assert labels == [truth.label for truth in truths]
    assert len(set(labels)) == 3
    assert (end["frames"], end["faces"]) == (1, len(truths))
    assert (tmp_path / "out.jpg").is_file()
    # Said in one line, and why.
    assert [text for text in caplog.messages if "FP32" in text and start["choice"] in text]


def test_aligned_faces_are_one_face_each(run: Runner, tmp_path: Path) -> None:
    for number in range(3):
        picture = np.full((100, 90, 3), 40 * number, np.uint8)
        (tmp_path / f"{number}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    ran = run(tmp_path, "--faces", "aligned")
    assert [frame["faces"][0]["box"] for frame in ran.frames] == [[0, 0, 90, 100]] * 3
    assert ran.lines[0]["detector"] is None


def test_pictures_that_the_shell_wrote_out_are_one_run(run: Runner, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in (2, 0, 1)]
    for path in paths:
        path.write_bytes(cv2.imencode(".png", np.zeros((50, 50, 3), np.uint8))[1].tobytes())
    paths[1].write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    ran = run(*paths, "--faces", "aligned")
    assert ran.status == 0
    assert [line.get("event", line.get("source")) for line in ran.lines[1:-1]] == [
        str(paths[0]),
        "broken",
        str(paths[2]),
    ]
    assert "2 frames, 2 faces" in ran.stderr
    assert "1 broken" in ran.stderr


def test_lines_can_go_to_a_file(run: Runner, clips: tuple[Path, ...], tmp_path: Path) -> None:
    ran = run(clips[0], "--max-frames", "3", "--json-lines", tmp_path / "x.jsonl")
    assert ran.lines == []
    lines = (tmp_path / "x.jsonl").read_text().splitlines()
    assert [json.loads(line).get("frame") for line in lines] == [None, 0, 1, 2, None]


def test_smoothing_is_in_the_head_of_the_lines(run: Runner, clips: tuple[Path, ...]) -> None:
    def smoothing(*words: object) -> object:
        return run(clips[0], "--max-frames", "1", *words).lines[0]["smoothing"]

    assert smoothing("--smooth", "2", "--hysteresis", "0.3") == {"seconds": 2, "hysteresis": 0.3}
    assert smoothing("--no-smoothing") is None


@dataclass(frozen=True)
class Refused:
    id: str
    words: tuple[str, ...]
    message: str


REFUSED = (
    Refused("no such file", ("{folder}/no.mp4",), "there is no '"),
    Refused("zero length", ("{folder}/empty.mp4",), "has 0 bytes, expected a picture or a video"),
    Refused("text called a video", ("{folder}/text.mp4",), "neither as a picture nor as a video"),
    Refused("cut off video", ("{folder}/cut.mp4",), "neither as a picture nor as a video"),
    Refused("broken picture", ("{folder}/broken.png",), "expected a whole file"),
    Refused("huge picture", ("{clip}", "--max-pixels", "1000"), "expected at most 1000"),
    Refused("unknown codec", ("{clip}", "--annotate", "{folder}/x.wmv"), "expected a name that"),
    Refused("read-only output", ("{clip}", "--annotate", "/proc/x.mp4"), "cannot write '/proc"),
    Refused("onto itself", ("{clip}", "--annotate", "{clip}"), "which is the one that is read"),
    Refused("lines onto itself", ("{clip}", "--json-lines", "{clip}"), "which is the file that is"),
    Refused(
        "one name for two",
        ("{clip}", "--json-lines", "{folder}/x.mp4", "--annotate", "{folder}/x.mp4"),
        "expected two names",
    ),
    Refused("no window", ("{clip}", "--show"), "built without windows"),
    Refused("no detector", ("{clip}", "--detector", "{folder}/no.onnx"), "no.onnx'"),
    Refused("both", ("{clip}", "--no-smoothing", "--smooth", "1"), "got --no-smoothing together"),
    Refused("no camera", ("camera:77",), "/dev/video77"),
)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_bad_input_is_one_line_and_leaves_nothing(
    case: Refused, run: Runner, clips: tuple[Path, ...], tmp_path: Path
) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video at all, and long enough to be read as one")
    whole = clips[0].read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    png = cv2.imencode(".png", np.zeros((50, 50, 3), np.uint8))[1].tobytes()
    (tmp_path / "broken.png").write_bytes(png[:-20])
    before = sorted(tmp_path.iterdir())
    words = [word.format(folder=tmp_path, clip=clips[0]) for word in case.words]
    ran = run(*words)
    assert ran.status == 2
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert case.message in last
    assert "Traceback" not in ran.stderr
    assert sorted(tmp_path.iterdir()) == before
    assert clips[0].read_bytes() == whole


def test_a_picture_without_faces_is_an_answer(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(
        cv2.imencode(".png", np.full((240, 321, 3), 90, np.uint8))[1].tobytes()
    )
    ran = run(tmp_path / "x.png", "--annotate", tmp_path / "out.png")
    assert ran.status == 0
    assert [frame["faces"] for frame in ran.frames] == [[]]


def test_one_missing_source_of_several_is_status_2_and_the_others_run(
    run: Runner, clips: tuple[Path, ...], tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_bytes(
        cv2.imencode(".png", np.zeros((50, 50, 3), np.uint8))[1].tobytes()
    )
    ran = run(tmp_path / "no.mp4", tmp_path / "x.png", "--faces", "aligned")
    assert ran.status == 2
    assert len(ran.frames) == 1
    assert "error: there is no" in ran.stderr


def test_thousands_of_faces_in_one_picture_are_all_labelled(
    run: Runner, photo: ClipFrame, tmp_path: Path
) -> None:
    image_hwc, truths = photo
    box = max((truth.box for truth in truths), key=lambda box: box.width)
    margin = box.width // 4
    face = image_hwc[
        box.y - margin : box.y + box.height + margin, box.x - margin : box.x + box.width + margin
    ]
    tile = cv2.resize(face, (48, 48), interpolation=cv2.INTER_AREA)[:, :, ::-1]
    crowd = np.tile(tile, (46, 46, 1))
    (tmp_path / "crowd.png").write_bytes(cv2.imencode(".png", crowd)[1].tobytes())
    ran = run(
        *(tmp_path / "crowd.png", "--look-at", "full", "--min-face", "32"),
        *("--annotate", tmp_path / "out.png"),
    )
    assert ran.status == 0, ran.stderr
    (frame,) = ran.frames
    assert len(frame["faces"]) >= 1800  # of 2,116
    assert {face["label"] for face in frame["faces"]} <= set(ran.lines[0]["labels"])


class TwiceThere(BaseHTTPRequestHandler):
    """A camera on the network: twenty JPEGs, gone, twenty more, gone for good."""

    visits = 0

    def do_GET(self) -> None:  # noqa: N802 - the name is the base class's
        type(self).visits += 1
        if self.visits > 2:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
        for _ in range(20):
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
            time.sleep(0.01)

    def log_message(self, *arguments: object) -> None:
        """Stay quiet."""


def test_a_camera_that_goes_away_is_reported_survived_and_recorded(
    run: Runner, tmp_path: Path
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), TwiceThere) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}/video"
        out = tmp_path / "out.avi"
        ran = run(url, "--faces", "aligned", "--give-up", "1", "--annotate", out)
        server.shutdown()
        serving.join()
    assert ran.status == 0, ran.stderr
    events = [line["event"] for line in ran.lines[1:-1] if "event" in line]
    assert events[:2] == ["lost", "reconnected"]
    assert events[-1] == "lost"
    end = ran.lines[-1]
    assert end["frames"] + end["dropped"] >= 30
    # Frame numbers and those of dropped frames leave nothing out.
    seen = [line["frame"] for line in ran.frames]
    for line in ran.lines[1:-1]:
        if line.get("event") == "dropped":
            seen += range(line["frame"], line["frame"] + line["count"])
    assert sorted(seen) == list(range(len(seen)))
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FRAME_COUNT) >= end["frames"]


def slow_clip(path: Path) -> Path:
    """Four thousand frames of noise without a face: long enough to be interrupted."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (160, 120))
    noise = np.random.default_rng(0).integers(0, 256, (8, 120, 160, 3), np.uint8)
    for number in range(4000):
        writer.write(noise[number % 8])
    writer.release()
    return path


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_a_video_that_plays_and_says_so(
    sign: signal.Signals, bundle: Path, tmp_path: Path
) -> None:
    clip, out = slow_clip(tmp_path / "long.avi"), tmp_path / "out.mp4"
    command = [sys.executable, "-m", "edge_arm", "run", str(clip), "--bundle", str(bundle)]
    process = subprocess.Popen(
        [*command, "--annotate", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(2)]
    process.send_signal(sign)
    rest, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    lines = [json.loads(line) for line in [*first, *rest.splitlines()]]
    assert lines[-1]["event"] == "end"
    assert 0 < lines[-1]["frames"] < 4000
    assert f"{lines[-1]['frames']} frames, " in stderr
    assert "Traceback" not in stderr
    capture = cv2.VideoCapture(str(out))
    # The signal may come between a frame's picture and its line.
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) - lines[-1]["frames"] in (0, 1)
    assert capture.read()[0]


def test_a_reader_that_leaves_ends_the_run_quietly(bundle: Path, tmp_path: Path) -> None:
    clip = slow_clip(tmp_path / "long.avi")
    command = [sys.executable, "-m", "edge_arm", "run", str(clip), "--bundle", str(bundle)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    stderr = process.stderr.read()
    process.stderr.close()
    assert "Traceback" not in stderr
    assert "error" not in stderr

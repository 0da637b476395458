"""A run as JSON lines: what stands in them, and what is said when they cannot be written."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_fakes import GridDetector, labelled, result

from edge_arm.runtime.detection.framing import FaceFraming
from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.live.frame_faces import FaceFinding
from edge_arm.runtime.live.json_lines import JsonLines
from edge_arm.runtime.live.run_header import RunHeader
from edge_arm.runtime.live.run_summary import RunSummary
from edge_arm.runtime.sources.frame import EventKind, SourceEvent
from edge_arm.runtime.tracking.smoothing import SmoothingConfig

HEADER = RunHeader(
    model="model.int8.cpu.onnx",
    precision="int8",
    variant="cpu",
    sha256="ab12",
    backend="onnxruntime/cpu",
    choice="INT8 for CPUs: named",
    labels=RAFDB,
    find=FaceFinding(GridDetector, FaceFraming("grid", 0.04, 0.031234, 0.91, 0.91, faces=180)),
    smoothing=SmoothingConfig(0.5, 0.1),
)
SUMMARY = RunSummary(
    frames=30,
    faces=61,
    broken=1,
    dropped=2,
    lost=0,
    seconds=1.23456,
    flips_per_minute=3.14159,
    frame_flips_per_minute=None,
)
PICTURE = np.zeros((48, 64, 3), np.uint8)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_the_first_line_says_what_runs(tmp_path: Path) -> None:
    with JsonLines(tmp_path / "deep" / "x.jsonl", RAFDB) as lines:
        lines.start(HEADER)
    assert lines_of(tmp_path / "deep" / "x.jsonl") == [
        {
            "event": "start",
            "model": "model.int8.cpu.onnx",
            "precision": "int8",
            "variant": "cpu",
            "sha256": "ab12",
            "backend": "onnxruntime/cpu",
            "choice": "INT8 for CPUs: named",
            "labels": list(RAFDB.classes),
            "detector": "grid",
            "framing": {
                "left": 0.04,
                "top": 0.0312,
                "width": 0.91,
                "height": 0.91,
                "aspect": 1.0,
                "faces": 180,
            },
            "smoothing": {"seconds": 0.5, "hysteresis": 0.1},
        }
    ]


def test_a_frame_is_a_line_with_its_faces(tmp_path: Path) -> None:
    face = labelled(3, 4, 20, 21, label="anger", track=7)
    with JsonLines(tmp_path / "x.jsonl", RAFDB) as lines:
        lines.write(result(PICTURE, face, number=10), flush=False)
    (line,) = lines_of(tmp_path / "x.jsonl")
    (written,) = line.pop("faces")
    assert line == {
        "source": "clip.mp4",
        "frame": 10,
        "time_s": 0.333,
        "width": 64,
        "height": 48,
    }
    probabilities = written.pop("probabilities")
    assert written == {
        "box": [3, 4, 20, 21],
        "score": 1.5,
        "track": 7,
        "label": "anger",
        "probability": 0.93,
        "frame_label": "anger",
    }
    assert list(probabilities) == list(RAFDB.classes)
    assert probabilities["fear"] == 0.0117  # 0.07 / 6


def test_an_event_is_a_line_at_its_place(tmp_path: Path) -> None:
    event = SourceEvent(EventKind.DROPPED, "camera:0", 12, 3, 0.4, "nobody had time")
    with JsonLines(tmp_path / "x.jsonl", RAFDB) as lines:
        lines.write(event, flush=True)
        lines.write(result(PICTURE, number=15), flush=True)
    first, second = lines_of(tmp_path / "x.jsonl")
    assert first == {
        "event": "dropped",
        "source": "camera:0",
        "frame": 12,
        "count": 3,
        "time_s": 0.4,
        "reason": "nobody had time",
    }
    assert second["faces"] == []


def test_the_last_line_sums_up(tmp_path: Path) -> None:
    with JsonLines(tmp_path / "x.jsonl", RAFDB) as lines:
        lines.end(SUMMARY)
    assert lines_of(tmp_path / "x.jsonl") == [
        {
            "event": "end",
            "frames": 30,
            "faces": 61,
            "broken": 1,
            "dropped": 2,
            "lost": 0,
            "seconds": 1.235,
            "frames_per_s": 24.3,  # 30 / 1.23456
            "flips_per_minute": 3.14,
            "frame_flips_per_minute": None,
        }
    ]


def test_a_line_of_a_live_source_can_be_read_at_once(tmp_path: Path) -> None:
    with JsonLines(tmp_path / "x.jsonl", RAFDB) as lines:
        lines.write(result(PICTURE), flush=True)
        assert len(lines_of(tmp_path / "x.jsonl")) == 1


def test_a_name_that_is_no_text_stays_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", stdout)
    name = os.fsdecode(b"\xff photo \xe7\x8c\xab.jpg")
    event = SourceEvent(EventKind.BROKEN, name, 0, 1, 0.0, "damaged")
    with JsonLines(None, RAFDB) as lines:
        lines.write(event, flush=False)
    written = json.loads(stdout.buffer.getvalue())  # type: ignore[attr-defined]
    assert os.fsencode(written["source"]) == b"\xff photo \xe7\x8c\xab.jpg"


def test_a_file_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"cannot write .*out\.jsonl.*part of the path is a"):
        JsonLines(tmp_path / "file" / "out.jsonl", RAFDB)


def test_a_full_disk_is_said_with_the_name() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with (
        pytest.raises(StorageError, match="cannot write '/dev/full': the disk is full"),
        JsonLines(full, RAFDB) as lines,
    ):
        lines.start(HEADER)

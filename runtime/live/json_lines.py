"""A run as JSON lines, one object a line, for programs that read along.

The first line says what ran, one line follows for each frame and each event of a source, and the
last line sums up. A file without the line `{"event": "end", ...}` is of a run that was cut off; so
the file is written under its own name from the start, and a camera's lines can be followed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.live.frame_result import FrameResult, LabelledFace
from edge_arm.runtime.live.run_header import RunHeader, run_header_to_json
from edge_arm.runtime.live.run_summary import RunSummary
from edge_arm.runtime.sources.frame import SourceEvent
from edge_arm.runtime.storage import storage_error

# Milliseconds; a probability by which an INT8 model's step is seen; a hundredth of a flip.
_TIME, _PROBABILITY, _SCORE, _RATE = 3, 4, 4, 2


class JsonLines:
    """Writes the lines of a run; use it as a context manager.

    Args:
        path: of the file, whose old content goes; None for stdout.
        labels: names of the probabilities.

    Raises:
        StorageError: if the operating system refuses the file, now or with any line.
    """

    def __init__(self, path: Path | None, labels: LabelSet) -> None:
        self._path, self._labels = path, labels
        with self._refusals_named():
            self._file = sys.stdout if path is None else _opened(path)

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *error: object) -> None:
        # Closing writes what is left in the buffer, and a full disk may only show then.
        with self._refusals_named():
            self._file.flush() if self._path is None else self._file.close()

    def start(self, header: RunHeader) -> None:
        """The first line."""
        self._line({"event": "start", **run_header_to_json(header)})

    def write(self, item: FrameResult | SourceEvent, *, flush: bool) -> None:
        """The line of a frame or event.

        Args:
            item: the frame or event.
            flush: whether the reader gets it at once, as for a live source.
        """
        line = self._of_frame(item) if isinstance(item, FrameResult) else _of_event(item)
        self._line(line, flush=flush)

    def end(self, summary: RunSummary) -> None:
        """The last line."""
        self._line(
            {
                "event": "end",
                "frames": summary.frames,
                "faces": summary.faces,
                "broken": summary.broken,
                "dropped": summary.dropped,
                "lost": summary.lost,
                "seconds": round(summary.seconds, _TIME),
                "frames_per_s": round(summary.frames_per_s, _RATE),
                "flips_per_minute": _rounded(summary.flips_per_minute),
                "frame_flips_per_minute": _rounded(summary.frame_flips_per_minute),
            }
        )

    def _of_frame(self, result: FrameResult) -> dict[str, Any]:
        height, width = result.frame.image_hwc.shape[:2]
        return {
            "source": result.frame.source,
            "frame": result.frame.number,
            "time_s": round(result.frame.time_s, _TIME),
            "width": width,
            "height": height,
            "faces": [self._of_face(face) for face in result.faces],
        }

    def _of_face(self, face: LabelledFace) -> dict[str, Any]:
        values = [round(value, _PROBABILITY) for value in face.probabilities]
        by_name = dict(zip(self._labels.classes, values, strict=True))
        return {
            "box": [face.box.x, face.box.y, face.box.width, face.box.height],
            "score": None if face.score is None else round(face.score, _SCORE),
            "track": face.track,
            "label": face.label,
            "probability": by_name[face.label],
            "probabilities": by_name,
            "frame_label": face.frame_label,
        }

    def _line(self, value: dict[str, Any], *, flush: bool = True) -> None:
        # Plain ASCII: a name that the terminal's encoding lacks, or that is no text at all, as
        # file names may be, stays exact.
        line = json.dumps(value, allow_nan=False) + "\n"
        with self._refusals_named():
            self._file.write(line)
            if flush:
                self._file.flush()

    @contextmanager
    def _refusals_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._path is None:
                raise  # of a closed pipe the command line makes a quiet end
            raise storage_error(self._path, error) from error


def _opened(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8")


def _of_event(event: SourceEvent) -> dict[str, Any]:
    return {
        "event": event.kind.value,
        "source": event.source,
        "frame": event.number,
        "count": event.count,
        "time_s": round(event.time_s, _TIME),
        "reason": event.reason,
    }


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, _RATE)

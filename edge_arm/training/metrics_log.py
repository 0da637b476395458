"""One line of JSON for every epoch, beside the checkpoint, for people and other tools to follow.

`checkpoint.metrics.jsonl` grows by whole lines: each is written by one call at the end of the
file, so a reader never meets half of one. An epoch stands in it once. A training that goes on
after an interrupt first takes away the lines of epochs that it will do again (a power cut after
the line and before the state was saved), and half a line, should a full disk have left one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime, timezone
from pathlib import Path

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.storage import storage_error, write_text
from edge_arm.training.observer import EpochMetrics, Observer, Plan

SCHEMA_VERSION = 1


def metrics_path(out_path: Path) -> Path:
    """Where the metrics of a training to `out_path` lie."""
    return out_path.with_name(f"{out_path.stem}.metrics.jsonl")


def metrics_log(path: Path) -> Observer:
    """Writes a line per epoch.

    Args:
        path: of the file; what an earlier training left there is replaced when a new one begins.

    Returns:
        An observer that raises StorageError if the file cannot be written, at the latest before
        the first step, and DataError if what an interrupted training left there is broken.
    """

    def on_begin(plan: Plan) -> None:
        kept = [
            line
            for line, metrics in (_lines(path) if plan.epochs_done else ())
            if metrics.epoch <= plan.epochs_done
        ]
        write_text(path, "".join(f"{line}\n" for line in kept))

    def on_epoch(metrics: EpochMetrics) -> None:
        _append(path, _line(metrics))

    return Observer(on_begin=on_begin, on_epoch=on_epoch)


def read_metrics(path: Path) -> tuple[EpochMetrics, ...]:
    """The epochs so far, in order; none if there is no such file.

    Raises:
        DataError: if a line is not one that `metrics_log` writes, naming it.
    """
    return tuple(metrics for _, metrics in _lines(path))


def _line(metrics: EpochMetrics) -> str:
    value = {
        "schema_version": SCHEMA_VERSION,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **asdict(metrics),
        "images_per_second": metrics.images_per_second,
        "waited_share": metrics.waited_share,
    }
    return json.dumps(value, allow_nan=False)


def _append(path: Path, line: str) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            # Not through a buffer, which may hand a line over in two parts.
            os.write(file, f"{line}\n".encode())
        finally:
            os.close(file)
    except OSError as error:
        raise storage_error(path, error) from error


def _lines(path: Path) -> Sequence[tuple[str, EpochMetrics]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read {str(path)!r} ({error}), expected the metrics of a training; "
            "remove the file"
        ) from error
    names = [field.name for field in fields(EpochMetrics)]
    found = []
    # What stands behind the last end of line is not a whole line.
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            value = json.loads(line)
            if value["schema_version"] != SCHEMA_VERSION:
                raise ValueError(f"schema version {value['schema_version']}")
            found.append((line, EpochMetrics(**{name: value[name] for name in names})))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{str(path)!r}, line {number}, cannot be used ({error}), expected the metrics of "
                "an epoch by this version of edge-arm; remove the file"
            ) from error
    return found

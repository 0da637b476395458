"""Reading a JSON report back, as far as a comparison needs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_arm.runtime.errors import UsageError

SCHEMA_VERSION = 1
"""Of the reports that are written and read; new fields do not change it."""


@dataclass(frozen=True)
class OlderReport:
    """A report that was read back.

    Attributes:
        path: of its file.
        content: its JSON, checked to be a report of a version that can be read.
    """

    path: Path
    content: Mapping[str, Any]


def read_older_report(path: Path) -> OlderReport:
    """Read a report that `write_json_report` wrote, before anything is measured in vain.

    Args:
        path: of a JSON report.

    Raises:
        UsageError: if it cannot be read, is no report, or is of another schema version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise UsageError(
            f"cannot read {str(path)!r} ({error.strerror}), expected an older report; make one "
            "with 'edge-arm measure --json FILE'"
        ) from error
    except ValueError as error:  # no JSON, or no UTF-8
        raise UsageError(
            f"{str(path)!r} is not JSON ({error}), expected an older report; give the file that "
            "'edge-arm measure --json FILE' wrote"
        ) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version is None:
        raise UsageError(
            f"{str(path)!r} is JSON without a schema_version, expected a report of 'edge-arm "
            "measure --json FILE'; give that file"
        )
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{str(path)!r} is a report of schema version {version!r}, expected "
            f"{SCHEMA_VERSION}; measure again with this version of edge-arm"
        )
    missing = _missing_part(content)
    if missing:
        raise UsageError(
            f"{str(path)!r} has no usable {missing!r}, expected a whole report; measure again "
            "with 'edge-arm measure --json FILE'"
        )
    return OlderReport(path, content)


def _refuse_constant(word: str) -> None:
    """NaN and infinities are Python's extension; no report has one, and none can be written."""
    raise ValueError(f"it has the number {word}")


def _missing_part(content: Mapping[str, Any]) -> str | None:
    """The first part of a report that is not there or has another form."""
    for name in ("data", "reference", "provenance"):
        if not isinstance(content.get(name), dict):
            return name
    data = content["data"]
    for name, form in (("name", str), ("split", str), ("num_images", int), ("sha256", str)):
        if not isinstance(data.get(name), form):
            return f"data.{name}"
    if not isinstance(data.get("class_counts"), dict):
        return "data.class_counts"
    candidates = content.get("candidates")
    if not isinstance(candidates, list) or not all(
        isinstance(item, dict) and isinstance(item.get("precision"), str) for item in candidates
    ):
        return "candidates"
    return None

"""What changed since an older report of the same faces.

Works on the JSON form, so a report of last year is enough and no model has to run again. A report
holds no answers by face, so nothing here says whether a change is more than chance; the intervals
of both drops stand beside it. Speed is left out: it differs from run to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import MAIN_VARIANT
from edge_arm.runtime.report.reading import OlderReport

Value = str | float | int | bool | None


class Kind(Enum):
    """How the values of a change are to be read."""

    SHARE = "share"
    """0..1, such as an accuracy."""
    POINTS = "points"
    """Percentage points."""
    NUMBER = "number"
    VERDICT = "verdict"
    TEXT = "text"


@dataclass(frozen=True)
class Change:
    """One field of the report that is not what it was.

    Attributes:
        field: where it is in the JSON, candidates by model: "candidates.int8.accuracy".
        before: in the older report; None if it was not there.
        after: in this one; None if it is not there.
        kind: of both.
    """

    field: str
    before: Value
    after: Value
    kind: Kind


@dataclass(frozen=True)
class Comparison:
    """This report beside an older one of the same faces.

    Attributes:
        older_name: file name of the older one.
        older_created_at: when it was made.
        figures: results that changed, in the order of the report.
        ingredients: models, calibration, versions and limits that changed.
        same_models: models whose file is the same to the byte.
    """

    older_name: str
    older_created_at: str
    figures: tuple[Change, ...]
    ingredients: tuple[Change, ...]
    same_models: tuple[str, ...]


_FIGURES = {
    "verdict": Kind.VERDICT,
    "accuracy": Kind.SHARE,
    "drop_pp": Kind.POINTS,
    "agreement": Kind.SHARE,
    "mean_class_accuracy": Kind.SHARE,
    "macro_f1": Kind.SHARE,
    "ece": Kind.SHARE,
    "nll": Kind.NUMBER,
    "class_verdict": Kind.VERDICT,
    "size_bytes": Kind.NUMBER,
    "minimum_detectable_drop_pp": Kind.NUMBER,
    "temperature": Kind.NUMBER,
}
"""Results by the last part of their field; of a class, the drop alone."""

_INGREDIENTS = ("sha256", "backend", "backend_version", "batch_size", "confidence")
_INGREDIENT_GROUPS = (
    "gate.",
    "reference_origin",
    "provenance.source.",
    "provenance.calibration.",
    "provenance.versions.",
    "provenance.bundle_versions.",
)


def comparison_with(older: OlderReport, current: Mapping[str, Any]) -> Comparison:
    """Compare a report with an older one.

    Args:
        older: as `read_older_report` gives it.
        current: the new one, as `report_to_json` gives it.

    Raises:
        DataError: if they are about different faces, naming the first difference.
    """
    _require_same_data(older, current)
    before, after = dict(_fields(older.content)), dict(_fields(current))
    names = [*after, *(name for name in before if name not in after)]
    figures, ingredients = [], []
    for name in names:
        if before.get(name) == after.get(name) or _came_later(name, before):
            continue
        kind = _figure_kind(name)
        if kind is not None:
            figures.append(Change(name, before.get(name), after.get(name), kind))
        elif _is_ingredient(name):
            ingredients.append(Change(name, before.get(name), after.get(name), Kind.TEXT))
    return Comparison(
        older_name=older.path.name,
        older_created_at=str(older.content["provenance"].get("created_at", "not recorded")),
        figures=tuple(figures),
        ingredients=tuple(ingredients),
        same_models=tuple(
            name.split(".")[1]
            if name.startswith("candidates.")
            else str(after["reference.precision"])
            for name in after
            if name.endswith(".sha256")
            and name.startswith(("reference.", "candidates."))
            and before.get(name) == after[name]
        ),
    )


def require_same_set(older: OlderReport, index: FaceIndex) -> None:
    """Refuse an older report of another set before any model runs.

    Numbers and contents of the faces are compared by `comparison_with`, when they are known.

    Args:
        older: as `read_older_report` gives it.
        index: the faces that are about to be measured on.

    Raises:
        DataError: if data set, split or classes differ.
    """
    before = older.content["data"]
    _refuse_first(
        older,
        (
            ("data set", before["name"], index.name),
            ("split", before["split"], index.split.value),
            ("classes", ", ".join(before["class_counts"]), ", ".join(index.labels.classes)),
        ),
    )


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """The JSON form of a comparison: what changed, by field.

    Args:
        comparison: of two reports.
    """
    return {
        "older_file": comparison.older_name,
        "older_created_at": comparison.older_created_at,
        "figures": [_change_to_json(change) for change in comparison.figures],
        "ingredients": [_change_to_json(change) for change in comparison.ingredients],
        "same_models": list(comparison.same_models),
    }


def _change_to_json(change: Change) -> dict[str, Value]:
    return {"field": change.field, "before": change.before, "after": change.after}


def _require_same_data(older: OlderReport, current: Mapping[str, Any]) -> None:
    before, after = older.content["data"], current["data"]
    differences = (
        ("data set", before["name"], after["name"]),
        ("split", before["split"], after["split"]),
        ("classes", ", ".join(before["class_counts"]), ", ".join(after["class_counts"])),
        ("number of faces", before["num_images"], after["num_images"]),
        *(
            (f"number of faces of {name!r}", before["class_counts"][name], count)
            for name, count in after["class_counts"].items()
            if name in before["class_counts"]
        ),
        ("pictures or labels (SHA-256)", before["sha256"], after["sha256"]),
    )
    _refuse_first(older, differences)


def _refuse_first(older: OlderReport, differences: Iterable[tuple[str, object, object]]) -> None:
    for what, old, new in differences:
        if old != new:
            raise DataError(
                f"the older report {str(older.path)!r} and this one are of different data, they "
                f"differ first in the {what}: {old!r} and {new!r}, expected the same faces; "
                "compare reports of one test set"
            )


def _fields(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Every single value by its place; candidates by model and classes by name."""
    for name, item in value.items():
        place = f"{prefix}{name}"
        if isinstance(item, Mapping):
            yield from _fields(item, f"{place}.")
        elif isinstance(item, list):
            for entry in item:
                key = _key(entry) if isinstance(entry, dict) else None
                if name in ("candidates", "per_class") and isinstance(key, str):
                    yield from _fields(entry, f"{place}.{key}.")
        elif item is None or isinstance(item, str | int | float | bool):
            yield place, item


def _key(entry: Mapping[str, Any]) -> Any:
    """What tells an entry from its neighbours: "int8", "int8 (cpu)", "fear"."""
    variant = entry.get("variant", MAIN_VARIANT)
    key = entry.get("precision", entry.get("name"))
    return key if variant == MAIN_VARIANT else f"{key} ({variant})"


def _figure_kind(name: str) -> Kind | None:
    if name == "batch_invariance.holds":
        return Kind.TEXT
    group, _, last = name.rpartition(".")
    if ".per_class." in name:
        return Kind.POINTS if last == "drop_pp" else None
    if group == "" or group == "reference" or name.startswith("candidates."):
        return _FIGURES.get(last)
    return None


def _came_later(name: str, before: Mapping[str, Value]) -> bool:
    """Whether an older edge-arm wrote the model or the report, but not yet this figure of it.

    A figure that was not measured is there as null, and that is a change.
    """
    if name in before or _figure_kind(name) is None:
        return False
    precision = name.split(".")[1] if name.startswith("candidates.") else ""
    return not precision or f"candidates.{precision}.precision" in before


def _is_ingredient(name: str) -> bool:
    last = name.rpartition(".")[2]
    of_model = name.startswith(("reference.", "candidates.")) and ".per_class." not in name
    return (of_model and last in _INGREDIENTS) or name.startswith(_INGREDIENT_GROUPS)

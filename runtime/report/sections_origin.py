"""The sections about the report itself: what changed, how it came about, what it does not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_arm.runtime.report.compare import Change, Comparison, Kind
from edge_arm.runtime.report.document import Cell, Section, Table, Topic, plain_row
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.text import (
    model_name,
    names_text,
    not_said,
    percent,
    signed_pp,
)


def changes_section(comparison: Comparison) -> Section:
    """What is not as it was in the older report."""
    by_emotion = [change for change in comparison.figures if ".per_class." in change.field]
    others = [change for change in comparison.figures if ".per_class." not in change.field]
    groups = (
        ("Results", others),
        ("Drop by emotion, pp", by_emotion),
        ("What it was made of", comparison.ingredients),
    )
    return Section(
        Topic.CHANGES,
        "What changed",
        lead=(comparison_sentence(comparison),),
        tables=tuple(_changes_table(heading, group) for heading, group in groups if group),
        notes=(
            "Reports hold no answers by face, so whether a change is more than chance is not "
            "judged here. Speed is left out.",
        ),
    )


def _changes_table(heading: str, changes: Sequence[Change]) -> Table:
    rows = tuple(
        plain_row(change_name(change), (_value(change.before, change.kind), _after(change)))
        for change in changes
    )
    return Table(heading, "Only what changed", ("", "Then", "Now"), rows)


def comparison_sentence(comparison: Comparison) -> str:
    """Since when, how much changed, and which models are the same."""
    since = f"Since {comparison.older_name} of {comparison.older_created_at}"
    same = names_text([name.upper() for name in comparison.same_models])
    models = f"; {same} is the same file" if same else "; no model file is the same"
    if len(comparison.same_models) > 1:
        models = f"; {same} are the same files"
    results = (
        f"{len(comparison.figures)} results changed" if comparison.figures else "no result changed"
    )
    return f"{since}, on the same faces: {results}{models}."


_WORDS = {
    "drop_pp": "drop, pp",
    "mean_class_accuracy": "mean class accuracy",
    "macro_f1": "macro F1",
    "ece": "calibration error",
    "nll": "NLL",
    "size_bytes": "size in bytes",
    "class_verdict": "verdict by emotion",
    "minimum_detectable_drop_pp": "smallest limit to certify, pp",
    "sha256": "model file (SHA-256)",
    "backend": "run by",
    "backend_version": "version of what ran",
    "batch_size": "batch",
    "reference_origin": "FP32's answers",
    "batch_invariance.holds": "batch invariance holds",
}


def change_name(change: Change) -> str:
    """A field of the JSON as people read it: "INT8 fear drop, pp"."""
    parts = change.field.split(".")
    if parts[0] == "reference" and len(parts) == 2:
        return f"FP32 {_WORDS.get(parts[1], parts[1])}"
    if ".per_class." in change.field:
        return f"{parts[1].upper()} {parts[3]}"
    if parts[0] == "candidates":
        middle = parts[2:-1]
        return " ".join([parts[1].upper(), *middle, _WORDS.get(parts[-1], parts[-1])])
    if parts[0] == "provenance":
        return ".".join(parts[1:]).replace("_", " ")
    name = _WORDS.get(change.field, change.field.replace("_", " "))
    return name[0].upper() + name[1:]


def change_text(change: Change) -> str:
    """A change in one line: "INT8 accuracy: 87.68 %, now 89.08 % (+1.40 pp)"."""
    after = _after(change)
    distance = f" ({after.small})" if after.small else ""
    return (
        f"{change_name(change)}: {_value(change.before, change.kind)}, now {after.text}{distance}"
    )


def _value(value: object, kind: Kind) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value).replace("_", " ") if kind is Kind.VERDICT else str(value)
    if kind is Kind.SHARE:
        return percent(value)
    if kind is Kind.POINTS:
        return signed_pp(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _after(change: Change) -> Cell:
    """The new value with its distance from the old one, where both are shares or points."""
    text = _value(change.after, change.kind)
    before, after = change.before, change.after
    numbers = isinstance(before, int | float) and isinstance(after, int | float)
    if not numbers or change.kind not in (Kind.SHARE, Kind.POINTS):
        return Cell(text)
    assert isinstance(before, int | float) and isinstance(after, int | float)
    scale = 100.0 if change.kind is Kind.SHARE else 1.0
    return Cell(text, f"{signed_pp(scale * (after - before))} pp")


def provenance_section(report: Report) -> Section:
    """Every hash, version and seed, and the command."""
    data, origin = report.data, report.provenance
    points = [
        ("Command", origin.command),
        ("Date", origin.created_at),
        (
            "Faces",
            f"{data.num_images:,} of {data.name}, {data.split.value} split; SHA-256 over names, "
            f"labels and pictures {data.sha256}",
        ),
        ("FP32's answers", report.reference_origin),
    ]
    points += [
        (
            model_name(model),
            f"{_file(model.info.file)}{model.info.model_sha256}, {model.info.name} "
            f"{model.info.version}, batch {model.batch_size}",
        )
        for model in report.models
    ]
    points.append(("Measured with", _versions(origin.versions)))
    points.append(("Models made with", _versions(origin.bundle_versions)))
    points += [(f"Source: {name}", text) for name, text in _flat(origin.source)]
    points += [(f"Calibration: {name}", text) for name, text in _flat(origin.calibration or {})]
    return Section(Topic.PROVENANCE, "Provenance", points=tuple(points))


def _file(name: str) -> str:
    return f"{name}, SHA-256 " if name else ""  # an older edge-arm recorded answers without it


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "not recorded"


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, item in value.items():
        if isinstance(item, Mapping):
            rows += _flat(item, f"{prefix}{name}.")
        elif isinstance(item, list | tuple) and len(item) > 8:
            rows.append((f"{prefix}{name}", f"{len(item):,} entries, in the bundle's manifest"))
        else:
            text = f"{item:.6g}" if isinstance(item, float) else str(item)
            rows.append((f"{prefix}{name}", text))
    return rows


def limits_section(report: Report) -> Section:
    """What a reader might take from the report although it is not in it."""
    points = []
    for line in not_said(report):
        head, rest = line.split(". ", 1)
        points.append((head, rest))
    return Section(Topic.LIMITS, "What this does not say", points=tuple(points))

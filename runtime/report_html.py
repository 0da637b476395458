"""The report as one HTML file, for people: it opens with the verdict and ends with its limits.

Self-contained: no script, no picture, nothing from the network, and a content security policy
that holds a browser to it. Everything that comes from outside (names, versions, commands) is
escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.accuracy_drop import AccuracyDrop, ModelAccuracy
from edge_arm.runtime.report import Report
from edge_arm.runtime.report_plots import class_drop_plot, drop_plot, legend
from edge_arm.runtime.report_style import STYLE
from edge_arm.runtime.report_text import (
    JUDGEABLE_PP,
    METHOD_WORDS,
    VERDICT_WORDS,
    cannot_judge,
    confidence_text,
    gate_remarks,
    limits_pp,
    not_said,
    p_value,
    percent,
    precision_name,
    rate_text,
    signed_pp,
    size_text,
    speed_note,
    verdict_sentence,
)
from edge_arm.runtime.storage import write_text


def write_html_report(report: Report, path: Path) -> None:
    """Write `html_from_report` to a file, atomically.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_text(path, html_from_report(report))


def html_from_report(report: Report) -> str:
    """The whole page.

    Args:
        report: what was measured.
    """
    sections = [_verdict(report)]
    if report.drops:
        plots = _drops(report) + _class_plot(report)
        sections.append(f'<div class="grid">{_models(report)}<div>{plots}</div></div>')
        sections += [_class_tables(report), _flips(report)]
    else:
        sections.append(_models(report))
    sections += [_confusions(report), _provenance(report), _limits(report)]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>Accuracy drop: {escape(report.data.name)}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(sections) + "\n</body>\n</html>\n"
    )


def _verdict(report: Report) -> str:
    verdict = report.verdict
    css = "none" if verdict is None else verdict.value
    word = "No verdict" if verdict is None else VERDICT_WORDS[verdict].capitalize()
    remarks = "".join(f"<p>{escape(line)}</p>" for line in gate_remarks(report))
    return (
        f"<header><h1>Accuracy-drop report, {escape(report.data.name)} "
        f"({escape(report.data.split.value)})</h1>"
        f'<div class="verdict {css}"><p><strong>{word}</strong>'
        f"{escape(verdict_sentence(report))}</p></div>{remarks}</header>"
    )


def _models(report: Report) -> str:
    """Models as columns: two or three fit a phone, their ten figures would not."""
    models = report.models
    drops: tuple[AccuracyDrop | None, ...] = (None, *report.drops)
    head = "".join(f'<th scope="col">{precision_name(item.precision)}</th>' for item in models)

    def row(name: str, cells: Iterable[str]) -> str:
        return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{c}</td>" for c in cells)}</tr>'

    def of_drops(text: Callable[[AccuracyDrop], str]) -> list[str]:
        return ["" if drop is None else text(drop) for drop in drops]

    rows = [row("Accuracy", (_accuracy(model) for model in models))]
    if report.drops:
        rows.append(
            row(
                "Drop, pp",
                of_drops(
                    lambda drop: (
                        f"{signed_pp(drop.drop_pp)}"
                        f"<small>{limits_pp(drop.drop_pp_interval)}</small>"
                    )
                ),
            )
        )
    if report.gate is not None:
        rows.append(row(f"Below {100.0 * report.gate.max_drop:g} pp", of_drops(_verdict_cell)))
    if report.drops:
        rows += [
            row("Same answer as FP32", of_drops(lambda d: percent(d.agreement.agreement))),
            row("Changed answers", of_drops(lambda d: f"{len(d.agreement.flipped_faces):,}")),
            row("Right only in FP32", of_drops(lambda d: f"{d.counts.reference_only_right:,}")),
            row("Right only here", of_drops(lambda d: f"{d.counts.candidate_only_right:,}")),
            row("McNemar p", of_drops(lambda d: escape(p_value(d.mcnemar_p)))),
            row(
                "Smallest limit these faces can certify, pp",
                of_drops(lambda d: f"{100.0 * d.minimum_detectable_drop:.2f}"),
            ),
        ]
    rows += [
        row("Mean class accuracy", (percent(item.scores.mean_class_accuracy) for item in models)),
        row("Macro F1", (percent(item.scores.macro_f1) for item in models)),
        row("Calibration error", (percent(item.confidence_quality.ece) for item in models)),
    ]
    rows += [
        row("File", (size_text(item.info.size_bytes) for item in models)),
        row("Images/s", (rate_text(item.images_per_second) for item in models)),
    ]
    confidence = confidence_text(report.confidence)
    note = speed_note(report)
    return (
        f"<section><h2>Precisions</h2>"
        f'<div class="scroll"><table class="wide"><caption>{report.data.num_images:,} faces, '
        f"small print: {confidence} intervals</caption>"
        f'<thead><tr><th scope="col"></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        + (f'<p class="quiet">{escape(note)}</p>' if note else "")
        + "</section>"
    )


def _accuracy(model: ModelAccuracy) -> str:
    low, high = 100.0 * model.interval.low, 100.0 * model.interval.high
    return f"{percent(model.accuracy)}<small>{low:.2f} to {high:.2f}</small>"


def _verdict_cell(drop: AccuracyDrop) -> str:
    if drop.verdict is None:
        return ""
    return f'<b class="{drop.verdict.value}">{VERDICT_WORDS[drop.verdict]}</b>'


def _drops(report: Report) -> str:
    methods = ", ".join(
        f"{precision_name(drop.candidate.precision)}: {METHOD_WORDS[drop.interval.method]}"
        for drop in report.drops
    )
    limit = (
        ""
        if report.gate is None
        else f'<p class="quiet"><span class="key"></span> limit of '
        f"{100.0 * report.gate.max_drop:g} pp. Pass: the whole interval is left of it. Fail: none "
        "of it is. Otherwise these faces cannot tell.</p>"
    )
    return (
        "<section><h2>Drop in accuracy</h2><p>Paired: only faces that exactly one of the two "
        f"models gets right decide. {escape(methods)}.</p>"
        f"<figure>{drop_plot(report)}</figure>{limit}</section>"
    )


def _class_plot(report: Report) -> str:
    faint = any(
        one is not None and cannot_judge(one) for drop in report.drops for one in drop.classes.drops
    )
    note = (
        '<p class="quiet">Faint: too few faces to show either a drop or that it is below '
        f"{JUDGEABLE_PP:g} pp.</p>"
        if faint
        else ""
    )
    return (
        f"<section><h2>Drop in recall by emotion</h2>{legend(report)}"
        f"<figure>{class_drop_plot(report)}</figure>{note}</section>"
    )


def _class_tables(report: Report) -> str:
    tables = "".join(f"<div>{_class_table(drop)}</div>" for drop in report.drops)
    return (
        f'<section><h2>Recall by emotion</h2><div class="grid">{tables}</div>'
        '<p class="quiet">p: one-sided, of no drop, after Holm over the emotions. Intervals are '
        "of each emotion by itself.</p></section>"
    )


def _class_table(drop: AccuracyDrop) -> str:
    name = precision_name(drop.candidate.precision)
    rows = []
    for label, emotion in enumerate(drop.labels.classes):
        one = drop.classes.drops[label]
        head = f'<tr><th scope="row">{escape(emotion)}</th>'
        if one is None:
            rows.append(f'{head}<td>0</td><td colspan="4">no face, nothing known</td></tr>')
            continue
        limits = 100.0 * one.interval.low, 100.0 * one.interval.high
        rows.append(
            f"{head}<td>{one.counts.num_faces:,}</td>"
            f"<td>{100.0 * one.counts.reference_accuracy:.1f}</td>"
            f"<td>{100.0 * one.counts.candidate_accuracy:.1f}</td>"
            f"<td>{signed_pp(100.0 * one.counts.drop, 1)}<small>{limits_pp(limits, 1)}</small></td>"
            f"<td>{escape(p_value(one.drop_p))}</td></tr>"
        )
    return (
        f'<h3>{name}</h3><div class="scroll"><table class="wide">'
        f"<caption>Recall in %, drop in pp</caption>"
        '<thead><tr><th scope="col">Emotion</th><th scope="col">Faces</th>'
        f'<th scope="col">FP32</th><th scope="col">{name}</th><th scope="col">Drop</th>'
        f'<th scope="col">p</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _flips(report: Report) -> str:
    tables = []
    for drop in report.drops:
        name = precision_name(drop.candidate.precision)
        flipped = len(drop.agreement.flipped_faces)
        words = (
            f"FP32's answer (row) and {name}'s (column): {flipped:,} "
            f"{'face' if flipped == 1 else 'faces'} changed"
        )
        tables.append(
            f"<div><h3>{name}</h3>{_matrix(drop.labels.classes, drop.agreement.flips, words)}</div>"
        )
    return (
        "<section><h2>Changed answers</h2><p>Equal accuracies can hide changed answers: what one "
        f'face loses another wins.</p><div class="grid">{"".join(tables)}</div></section>'
    )


def _confusions(report: Report) -> str:
    tables = [
        f"<div><h3>{precision_name(model.precision)}</h3>"
        + _matrix(report.labels.classes, model.confusion, "True emotion (row) and answer (column)")
        + "</div>"
        for model in report.models
    ]
    return f'<section><h2>Right and wrong</h2><div class="grid">{"".join(tables)}</div></section>'


def _matrix(names: tuple[str, ...], counts: npt.NDArray[np.int64], caption: str) -> str:
    """Counts as a table, shaded off the diagonal where they are large."""
    off_diagonal = counts - np.diag(np.diag(counts))
    largest = max(1, int(off_diagonal.max()))
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = []
    for row, name in enumerate(names):
        cells = []
        for column in range(len(names)):
            count = int(counts[row, column])
            if row == column:
                cells.append(f'<td class="same">{count:,}</td>')
            elif not count:
                cells.append('<td class="zero">0</td>')
            else:
                shade = 0.12 + 0.43 * count / largest
                cells.append(
                    f'<td style="background: rgb(var(--heat) / {shade:.2f})">{count:,}</td>'
                )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="scroll"><table class="matrix"><caption>{escape(caption)}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _provenance(report: Report) -> str:
    data, origin = report.data, report.provenance
    rows = [
        ("Command", f"<code>{escape(origin.command)}</code>"),
        ("Date", escape(origin.created_at)),
        (
            "Faces",
            f"{data.num_images:,} of {escape(data.name)}, {data.split.value} split; SHA-256 over "
            f"names, labels and pictures <code>{data.sha256}</code>",
        ),
    ]
    rows += [
        (
            precision_name(model.precision),
            f"<code>{escape(model.info.model_sha256)}</code>, {escape(model.info.name)} "
            f"{escape(model.info.version)}, batch {model.batch_size}",
        )
        for model in report.models
    ]
    rows.append(("Measured with", escape(_versions(origin.versions))))
    rows.append(("Models made with", escape(_versions(origin.bundle_versions))))
    rows += [(f"Source: {escape(name)}", escape(text)) for name, text in _flat(origin.source)]
    rows += [
        (f"Calibration: {escape(name)}", escape(text))
        for name, text in _flat(origin.calibration or {})
    ]
    body = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f"<section><h2>Provenance</h2><dl>{body}</dl></section>"


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


def _limits(report: Report) -> str:
    items = []
    for line in not_said(report):
        head, rest = line.split(". ", 1)
        items.append(f"<li><b>{escape(head)}.</b> {escape(rest)}</li>")
    return f"<section><h2>What this does not say</h2><ul>{''.join(items)}</ul></section>"

"""The sections that say how far the figures can be trusted, and where a drop comes from."""

from __future__ import annotations

from edge_arm.runtime.baselines import Protocol
from edge_arm.runtime.batch_invariance import InvarianceCheck
from edge_arm.runtime.leaks import LeakCheck
from edge_arm.runtime.report.document import (
    Cell,
    Section,
    Table,
    Tone,
    Topic,
    paragraphs,
    plain_row,
)
from edge_arm.runtime.report.findings import (
    PROTOCOL_WORDS,
    baseline_sentence,
    confidence_sentence,
    explanation_sentence,
    invariance_sentence,
    leak_sentence,
)
from edge_arm.runtime.report.published import published_accuracies
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.text import (
    confidence_text,
    limits_pp,
    model_name,
    percent,
    signed_pp,
    small_number,
)

MOST_DUPLICATES = 20
"""Listed by name; the JSON has all of them."""


def confidence_section(report: Report) -> Section:
    """How far probabilities can be believed, before and after, as they are and tempered."""
    rows = []
    for model in report.models:
        name = model_name(model)
        quality, tempered = model.confidence_quality, model.tempered
        rows.append(plain_row(name, (percent(quality.ece), f"{quality.nll:.4f}", "1")))
        if tempered is not None and model.temperature is not None:
            rows.append(
                plain_row(
                    f"{name}, tempered",
                    (percent(tempered.ece), f"{tempered.nll:.4f}", f"{model.temperature:.3g}"),
                )
            )
    has_temperature = any(model.tempered is not None for model in report.models)
    columns = ("", "Calibration error", "NLL", "Temperature")
    return Section(
        Topic.CONFIDENCE,
        "Confidence",
        lead=paragraphs(confidence_sentence(report)),
        tables=(
            Table("", "Calibration error (15 bins) and NLL, lower is better", columns, tuple(rows)),
        ),
        notes=(
            "A temperature divides the logits and changes no answer. It is stored in the bundle "
            f"and was fitted on {report.temperature_origin or 'other faces'}, never on test faces."
            if has_temperature
            else "No temperature is stored in the bundle, so probabilities are as the model gives "
            "them.",
            "The calibration error is never 0 on few faces, even of a perfect model: compare two "
            "values on the same faces and do not read one alone.",
        ),
    )


def sources_section(report: Report) -> Section | None:
    """One source of error at a time."""
    if not report.explanation:
        return None
    rows = tuple(
        plain_row(
            item.name,
            (
                f"{item.flips:,}",
                Cell(
                    signed_pp(100.0 * item.drop),
                    limits_pp((100.0 * item.interval.low, 100.0 * item.interval.high)),
                ),
                small_number(item.mean_kl),
            ),
        )
        for item in report.explanation
    )
    faces = max(item.num_faces for item in report.explanation)
    return Section(
        Topic.SOURCES,
        "Where the drop comes from",
        lead=paragraphs(explanation_sentence(report)),
        tables=(
            Table(
                "",
                f"Against FP32 on {faces:,} faces, one source at a time; drop in pp, small print: "
                f"{confidence_text(report.confidence)} intervals; KL in nats",
                ("Source", "Changed answers", "Drop, pp", "Mean KL"),
                rows,
            ),
        ),
        points=tuple((item.name, item.meaning) for item in report.explanation),
        notes=(
            "The sources need not add up: one rounding can undo or feed another. What the control "
            "shows is the noise below which nothing can be told.",
        ),
    )


def baselines_section(report: Report) -> Section | None:
    """Which FP32 is meant, and what papers print beside it."""
    published = published_accuracies(report.data.name, len(report.labels))
    if not report.baselines and not published:
        return None
    measured = [
        plain_row(
            PROTOCOL_WORDS[item.protocol],
            (
                Cell(
                    percent(item.accuracy),
                    f"{100.0 * item.interval.low:.2f} to {100.0 * item.interval.high:.2f}",
                ),
                f"{item.batch_size}",
                "measured, the reference"
                if item.protocol is Protocol.DEPLOYABLE
                else "from the reference's logits",
            ),
        )
        for item in report.baselines
    ]
    printed = [
        plain_row(
            item.model,
            (
                percent(item.accuracy),
                "",
                Cell("published, paper protocol", item.source, Tone.QUIET),
            ),
        )
        for item in published
    ]
    return Section(
        Topic.BASELINES,
        "Which FP32",
        lead=paragraphs(
            baseline_sentence(report)
            or "Only the deployable FP32 was measured, not by the paper's protocol.",
        ),
        tables=(
            Table(
                "",
                "Accuracy of FP32 by protocol",
                ("Protocol", "Accuracy", "Batch", "Where from"),
                (*measured, *printed),
            ),
        ),
        notes=paragraphs(
            "Paper protocol: the mean over the batch enters each answer, so it depends on which "
            "faces share a batch; a device that sees one face at a time cannot have it. The "
            "deployable model uses a stored mean. Behind the backbone all is affine, so the "
            "paper's answers follow from these logits exactly."
            if report.baselines
            else "Paper protocol: the mean over the batch enters each answer; the deployable model "
            "uses a stored mean.",
            "Published figures are of other weights and of the best epoch on the test part; they "
            "are no measure of this model."
            if published
            else None,
        ),
    )


def invariance_section(report: Report) -> Section | None:
    """Whether a face is answered alike in any company."""
    checks = report.invariance
    if not checks:
        return None
    models = list(dict.fromkeys(model_name(check) for check in checks))
    arrangements = list(dict.fromkeys(check.arrangement for check in checks))
    found = {(check.arrangement, model_name(check)): check for check in checks}
    rows = [
        plain_row(
            arrangement,
            (_invariance_cell(found.get((arrangement, model))) for model in models),
        )
        for arrangement in arrangements
    ]
    limits = [
        max(check.limit for check in checks if model_name(check) == model) for model in models
    ]
    rows.append(plain_row("Accepted at most", (small_number(limit) for limit in limits)))
    return Section(
        Topic.INVARIANCE,
        "Does company change an answer?",
        lead=paragraphs(invariance_sentence(report)),
        tables=(
            Table(
                "",
                "Largest move of any logit against the faces one by one; small print: changed "
                "answers",
                ("Arrangement", *models),
                tuple(rows),
            ),
        ),
        notes=(
            "A kernel may add up in another order for another batch size, so logits may move by "
            "rounding; a model whose answers depend on other faces moves them by far more.",
        ),
    )


def _invariance_cell(check: InvarianceCheck | None) -> Cell:
    if check is None:
        return Cell("", "not run", Tone.QUIET)
    text = small_number(check.max_logit_difference)
    small = f"{check.changed_answers:,} changed" if check.changed_answers else ""
    return Cell(text, small) if check.holds else Cell(f"{text}, fails", small, Tone.FAIL)


def leaks_section(report: Report) -> Section | None:
    """Faces that calibration and test set share."""
    leaks = report.leaks
    if leaks is None:
        return None
    shown = leaks.duplicates[:MOST_DUPLICATES]
    rest = len(leaks.duplicates) - len(shown)
    return Section(
        Topic.LEAKS,
        "Leaks from calibration",
        lead=paragraphs(leak_sentence(report)),
        tables=(_duplicates_table(leaks),) if shown else (),
        notes=paragraphs(
            f"And {rest:,} more; the JSON has all of them." if rest else None,
            "A near duplicate is another crop or encoding of the same photograph, or the next "
            "frame of a film; two faces that merely look alike can be among them."
            if shown
            else None,
        ),
    )


def _duplicates_table(leaks: LeakCheck) -> Table:
    rows = tuple(
        plain_row(
            item.test_id,
            (
                item.calibration_id,
                Cell("same file", "", Tone.FAIL)
                if item.distance is None
                else f"{item.distance} bits",
            ),
        )
        for item in leaks.duplicates[:MOST_DUPLICATES]
    )
    return Table("", "Test faces and what they repeat", ("Test", "Calibration", "Distance"), rows)

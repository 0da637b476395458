"""The search as one HTML file, for people: the goal first, then the layers.

Self-contained as the accuracy report is: no script, nothing from the network, no picture of anyone.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from edge_arm.calibration.search.mixed import MixedPrecision, Outcome, Point
from edge_arm.calibration.search.plots import (
    ALONE,
    CANDIDATE,
    CHOSEN,
    GAIN,
    pareto_plot,
    sensitivity_plot,
)
from edge_arm.calibration.search.search import SearchResult
from edge_arm.calibration.search.words import (
    LATENCY,
    PROOF,
    cost_sentence,
    drop_text,
    goal_sentence,
    interval_text,
    kl_text,
)
from edge_arm.runtime.report.page import framed_page, plain_table
from edge_arm.runtime.report.plots import legend_of
from edge_arm.runtime.report.svg import REFERENCE_SERIES
from edge_arm.runtime.report.text import VERDICT_WORDS
from edge_arm.runtime.storage import write_text

_TITLE = "Which layers cost what in int8"
_TONES = {
    Outcome.MET: "pass",
    Outcome.OUT_OF_REACH: "fail",
    Outcome.TOO_FEW_FACES: "cannot_tell",
}


def write_search_page(result: SearchResult, path: Path) -> None:
    """Write `page_from_search` to a file, atomically.

    Args:
        result: of the search.
        path: of the file.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_text(path, page_from_search(result))


def page_from_search(result: SearchResult) -> str:
    """The whole page.

    Args:
        result: of the search.
    """
    goal = "" if result.mixed is None else _goal(result.mixed)
    header = "" if result.mixed is None else _verdict(result.mixed)
    return framed_page(
        _TITLE,
        header=f"<header><h1>{_TITLE}</h1>{header}</header>",
        main=f"{goal}{_layers(result)}",
    )


def _verdict(mixed: MixedPrecision) -> str:
    title, _, rest = goal_sentence(mixed).partition(": ")
    return (
        f'<div class="verdict {_TONES[mixed.outcome]}"><p><strong>{escape(title)}</strong>'
        f"{escape(rest[:1].upper() + rest[1:])}</p></div>"
    )


def _goal(mixed: MixedPrecision) -> str:
    rows = [_candidate(str(len(item.in_float)), item, mixed) for item in mixed.points]
    series = {"candidate, by layers in FP16": CANDIDATE, "chosen": CHOSEN}
    if mixed.half is not None:
        rows.append(_candidate("everything", mixed.half, mixed))
        series["everything in FP16"] = REFERENCE_SERIES
    table = plain_table(
        ("in FP16", "time", "changed", "drop pp", "interval", "gate"),
        rows,
    )
    return (
        '<section id="goal"><h2>Layers in FP16 against the drop</h2>'
        f"<p>{escape(PROOF)} {escape(LATENCY)}</p>"
        f'<div class="grid"><figure>{pareto_plot(mixed)}{legend_of(series)}</figure>'
        f"<div>{table}</div></div></section>"
    )


def _candidate(name: str, item: Point, mixed: MixedPrecision) -> tuple[str, ...]:
    chosen = " (chosen)" if item is mixed.final else ""
    return (
        f"{name}{chosen}",
        f"{item.latency:.2f}",
        f"{item.flips:,}",
        drop_text(item),
        interval_text(item),
        VERDICT_WORDS[item.verdict],
    )


def _layers(result: SearchResult) -> str:
    found = result.sensitivity
    rows = [
        (
            layer.layer.removeprefix("/"),
            f"{kl_text(layer.alone.mean_kl)} / {layer.alone.flips:,}",
            f"{kl_text(found.gain(layer))} / {layer.without.flips:,}",
            f"{result.latency[layer.layer]:.2f}",
        )
        for layer in found.ranked()
    ]
    table = plain_table(("layer", "alone", "won", "time"), rows)
    series = {"alone in int8": ALONE, "won, alone in float": GAIN}
    return (
        '<section id="layers"><h2>Layer by layer</h2>'
        f"<p>{escape(cost_sentence(result))}</p>"
        f'<div class="grid"><figure>{sensitivity_plot(found)}{legend_of(series)}</figure>'
        f"<div>{table}</div></div>"
        '<p class="quiet">KL in thousandths of a nat / faces with another answer than FP32\u2019s. '
        "Alone: this layer in int8, all others in float. Won: what goes away when this layer is in "
        "float and all others in int8; below zero it grows, because errors make up for one "
        "another; beside it the faces that answer otherwise even so. Time: estimated, with this "
        "layer in FP16, by that of all in int8. The table has the largest gain first, the plot "
        "the order of the network.</p>"
        "</section>"
    )

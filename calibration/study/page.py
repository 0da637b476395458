"""The study as one HTML file, for people: the answer first, then the curve, then the pairs.

Self-contained as the accuracy report is: no script, nothing from the network, no picture of anyone.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from edge_arm.calibration.study.plots import (
    DRAW,
    MEDIAN,
    WORST,
    agreement_plot,
    spread_plot,
)
from edge_arm.calibration.study.study import Study
from edge_arm.calibration.study.words import (
    HOW,
    agreement_text,
    cross_sentence,
    enough_sentence,
    spread_text,
)
from edge_arm.runtime.report.page import framed_page, plain_table
from edge_arm.runtime.report.plots import legend_of
from edge_arm.runtime.storage import write_text

_TITLE = "Which faces a calibration needs"


def write_study_page(study: Study, path: Path) -> None:
    """Write `page_from_study` to a file, atomically.

    Args:
        study: to show.
        path: of the file.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_text(path, page_from_study(study))


def page_from_study(study: Study) -> str:
    """The whole page.

    Args:
        study: to show.
    """
    title, _, rest = enough_sentence(study).partition(": ")
    return framed_page(
        _TITLE,
        header=(
            f'<header><h1>{_TITLE}</h1><div class="verdict quiet"><p><strong>{escape(title)}'
            f"</strong>{escape(rest[:1].upper() + rest[1:])}</p></div></header>"
        ),
        main=f"{_curve(study)}{_pairs(study)}",
    )


def _curve(study: Study) -> str:
    curve, draws = study.curve, study.config.draws
    rows = [
        (
            str(size.num_faces),
            agreement_text(size),
            spread_text(size.median_spread),
            spread_text(size.spread[size.worst]),
            f"{size.median_relative:.3f}",
        )
        for size in curve.sizes
    ]
    columns = ("faces", "agreement", "scales vary", "at worst", "scale, by the pool\u2019s")
    what = (
        f"{draws.ranges} draws of each size from {curve.pool} faces of {study.sets[0].label}, "
        f"method {study.method.value}; {draws.answers} of each answered "
        f"{curve.held_out} held-out faces."
    )
    series = {"tensor in the middle": MEDIAN, "tensor that varies most": WORST}
    return (
        '<section id="faces"><h2>How many faces</h2>'
        f"<p>{escape(what)} {escape(HOW)}</p>"
        f'<div class="grid"><figure>{agreement_plot(curve)}'
        f"{legend_of({'one calibration': DRAW})}</figure>"
        f"<figure>{spread_plot(curve)}{legend_of(series)}</figure></div>"
        f"{plain_table(columns, rows)}"
        '<p class="quiet">The line joins the mean agreements; what lies below the dashed one is '
        "worse than the largest size by more than so few faces leave to chance. The last column: a "
        "scale on average, by the scale that the whole pool gives.</p></section>"
    )


def _pairs(study: Study) -> str:
    if not study.cells:
        return ""
    labels = [item.label for item in study.sets]
    cells = {(cell.calibrated_on, cell.measured_on): cell for cell in study.cells}
    rows = [
        (
            row,
            *(
                f"{100 * cells[row, column].agreement:.2f} % ({cells[row, column].flips})"
                for column in labels
            ),
        )
        for row in labels
    ]
    return (
        '<section id="sets"><h2>From set to set</h2>'
        f"<p>{escape(cross_sentence(study))}</p>{plain_table(('calibrated on', *labels), rows)}"
        '<p class="quiet">Agreement with FP32 on held-out training faces of the set at the top, '
        "and how many answers changed.</p></section>"
    )

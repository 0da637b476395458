"""The reliability diagram: how often a model is right when it says that it is so sure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.svg import (
    NUM_SERIES,
    REFERENCE_SERIES,
    RIGHT,
    figure,
    line,
    point,
    series_css,
    text,
)
from edge_arm.runtime.report.text import model_name, percent
from edge_arm.runtime.statistics import ConfidenceQuality

_LEFT, _TOP, _BOTTOM = 44.0, 12.0, 300.0
_HEIGHT = 342.0
_SMALLEST, _LARGEST = 2.0, 7.0  # radius of a point, by the square root of its faces


@dataclass(frozen=True)
class ReliabilityCurve:
    """One curve of the diagram.

    Attributes:
        name: of the model.
        series: its colour and form.
        quality: its bins.
    """

    name: str
    series: int
    quality: ConfidenceQuality


def reliability_curves(report: Report, row: int) -> tuple[ReliabilityCurve, ...]:
    """Before, after, and after with the stored temperature, as far as there are such.

    Args:
        report: with its models.
        row: of the candidate among `report.drops`; -1 for FP32 alone.
    """
    reference = report.reference
    name = model_name(reference)
    curves = [ReliabilityCurve(name, REFERENCE_SERIES, reference.confidence_quality)]
    last = reference
    if row >= 0:
        last = report.drops[row].candidate
        name = model_name(last)
        curves.append(ReliabilityCurve(name, row, last.confidence_quality))
    if last.tempered is not None:
        # The diamond, or the square where a third candidate has the diamond.
        tempered = 1 if row >= 0 and row % NUM_SERIES == NUM_SERIES - 1 else NUM_SERIES - 1
        curves.append(ReliabilityCurve(f"{name} tempered", tempered, last.tempered))
    return tuple(curves)


def reliability_plot(name: str, curves: Sequence[ReliabilityCurve]) -> str:
    """Accuracy against confidence by bin, the diagonal being what a model should do.

    The area of a point grows with its faces, because a bin of three faces is noise.

    Args:
        name: unique on the page.
        curves: up to three.

    Returns:
        An SVG element.
    """
    most = max(item.num_faces for curve in curves for item in curve.quality.bins)
    parts = []
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(line((_x(tick), _TOP), (_x(tick), _BOTTOM), "grid"))
        parts.append(line((_x(0), _y(tick)), (_x(1), _y(tick)), "grid"))
        label = f"{100 * tick:g}"
        parts.append(text((_x(tick), _BOTTOM + 16), label, css="tick", anchor="middle"))
        parts.append(text((_LEFT - 6, _y(tick) + 4), label, css="tick", anchor="end"))
    parts.append(line((_x(0), _y(0)), (_x(1), _y(1)), "ideal"))
    parts.append(text((RIGHT, _HEIGHT - 8), "confidence, % \u2192", css="tick", anchor="end"))
    parts.append(text((_x(0) + 6, _TOP + 14), "\u2191 right, %", css="tick"))
    parts += [_curve(curve, most) for curve in curves]
    words = " ".join(
        f"{curve.name}: calibration error {percent(curve.quality.ece)}, NLL "
        f"{curve.quality.nll:.4f}; {_bins_in_words(curve.quality)}."
        for curve in curves
    )
    title = f"Reliability: {', '.join(curve.name for curve in curves)}"
    return figure(name, (title, words), _HEIGHT, parts)


def _bins_in_words(quality: ConfidenceQuality) -> str:
    return ", ".join(
        f"{100 * item.mean_confidence:.0f} % sure and {100 * item.accuracy:.0f} % right "
        f"({item.num_faces:,})"
        for item in quality.bins
        if item.mean_confidence is not None and item.accuracy is not None
    )


def _curve(curve: ReliabilityCurve, most: int) -> str:
    places = [
        ((_x(item.mean_confidence), _y(item.accuracy)), item.num_faces)
        for item in curve.quality.bins
        if item.mean_confidence is not None and item.accuracy is not None
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for (x, y), _ in places)
    marks = "".join(
        point(
            place, curve.series, radius=_SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(count / most)
        )
        for place, count in places
    )
    return f'<g class="{series_css(curve.series)}"><polyline points="{path}"/>{marks}</g>'


def _x(share: float) -> float:
    return _LEFT + share * (RIGHT - _LEFT)


def _y(share: float) -> float:
    return _BOTTOM - share * (_BOTTOM - _TOP)

"""The plots of the study: spread of the scales, and agreement, against the number of faces.

Drawn with the report's own pieces, so they follow its colours in the light and in the dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

from edge_arm.calibration.study.curve import Curve
from edge_arm.calibration.study.words import agreement_text, spread_text
from edge_arm.runtime.report.svg import (
    LEFT,
    RIGHT,
    figure,
    line,
    point,
    series_css,
    text,
    ticks,
)

MEDIAN, WORST = 0, 1
"""Series of the spread: the tensor in the middle, and the one that varies most."""

DRAW = 0
"""Series of the agreement: one draw that answered."""

_HEIGHT = 220.0
_PLOT_LEFT = 52.0
_AXIS = 42.0
_ROOM = 14.0


def spread_plot(curve: Curve) -> str:
    """Relative spread of the scales, a line for the middle tensor and one for the worst.

    Args:
        curve: of at least one size.

    Returns:
        An SVG element.
    """
    rows = [(size.median_spread, size.spread[size.worst]) for size in curve.sizes]
    axes = _Axes(curve, (0.0, 100 * max(max(pair) for pair in rows)), "scales vary by, %")
    parts = axes.parts()
    for series in (MEDIAN, WORST):
        places = [
            axes.at(size.num_faces, 100 * pair[series])
            for size, pair in zip(curve.sizes, rows, strict=True)
        ]
        parts.append(_joined(places, series))
    words = " ".join(
        f"{size.num_faces} faces: {spread_text(pair[MEDIAN])}, at worst {spread_text(pair[WORST])}."
        for size, pair in zip(curve.sizes, rows, strict=True)
    )
    title = "How much scales vary from draw to draw, by number of faces"
    return figure("plot-spread", (title, words), axes.height, parts)


def agreement_plot(curve: Curve) -> str:
    """Agreement with FP32, a point for each draw that answered, a line through their means.

    Args:
        curve: of at least one size.

    Returns:
        An SVG element.
    """
    values = [100 * share for size in curve.sizes for share in size.agreements]
    tolerated = 100 * (curve.sizes[-1].agreement - curve.tolerance)
    axes = _Axes(curve, (min(*values, tolerated), max(values)), "agreement with FP32, %")
    parts = axes.parts()
    start, end = axes.at(curve.sizes[0].num_faces, tolerated), (RIGHT, axes.at(16, tolerated)[1])
    parts.append(line((_PLOT_LEFT, start[1]), end, "margin"))
    means = [axes.at(size.num_faces, 100 * size.agreement) for size in curve.sizes]
    parts.append(_joined(means, DRAW, marks=False))
    parts += [
        point(axes.at(size.num_faces, 100 * share), DRAW, radius=3.5)
        for size in curve.sizes
        for share in size.agreements
    ]
    words = " ".join(f"{size.num_faces} faces: {agreement_text(size)}." for size in curve.sizes)
    title = "Agreement with FP32 on held-out faces, by number of faces"
    return figure("plot-agreement", (title, words), axes.height, parts)


class _Axes:
    """The number of faces to the right, doubled from mark to mark; something else upwards."""

    def __init__(self, curve: Curve, limits: tuple[float, float], name: str) -> None:
        low, high = limits
        room = 0.08 * (high - low) or 0.05
        self._low, self._high = low - room, high + room
        self._sizes = [size.num_faces for size in curve.sizes]
        self._name = name
        self.height = _HEIGHT + _AXIS

    def at(self, num_faces: int, value: float) -> tuple[float, float]:
        """Where a value is drawn."""
        steps = log2(self._sizes[-1] / self._sizes[0]) or 1.0
        share = log2(num_faces / self._sizes[0]) / steps
        x = _PLOT_LEFT + _ROOM + share * (RIGHT - _PLOT_LEFT - 2 * _ROOM)
        return x, _HEIGHT - (value - self._low) / (self._high - self._low) * _HEIGHT

    def parts(self) -> list[str]:
        """Grid and names."""
        parts = []
        for tick in ticks(self._low, self._high, most=6):
            y = self.at(self._sizes[0], tick)[1]
            parts.append(line((_PLOT_LEFT, y), (RIGHT, y), "zero" if abs(tick) < 1e-12 else "grid"))
            parts.append(text((_PLOT_LEFT - 6.0, y + 4.0), f"{tick:g}", css="tick", anchor="end"))
        for size in self._sizes:
            x = self.at(size, self._low)[0]
            parts.append(text((x, _HEIGHT + 16.0), str(size), css="tick", anchor="middle"))
        parts.append(text((LEFT, _HEIGHT + 34.0), f"up: {self._name}", css="tick"))
        parts.append(
            text((RIGHT, _HEIGHT + 34.0), "calibration faces \u2192", css="tick", anchor="end")
        )
        return parts


def _joined(places: Sequence[tuple[float, float]], series: int, *, marks: bool = True) -> str:
    parts = [line(start, end, "whisker") for start, end in zip(places, places[1:], strict=False)]
    if marks:
        parts += [point(place, series) for place in places]
    return f'<g class="{series_css(series)}">{"".join(parts)}</g>'

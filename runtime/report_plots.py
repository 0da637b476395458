"""The report's plots, as SVG text written here: no plotting library on a device, no script.

Each plot is `role="img"` with a title and a description that says in words what it shows, for
readers who do not see it. Colours come from the page's style sheet, so they follow dark and light;
candidates also differ by the form of their point, so nothing rests on colour alone.

Coordinates are in an abstract 400 units of width: the page scales a plot to 320 pixels on a phone
and 560 on a desktop, and 13 units of type stay readable in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from edge_arm.runtime.report import Report
from edge_arm.runtime.report_text import (
    cannot_judge,
    confidence_text,
    limits_pp,
    precision_name,
    signed_pp,
)

_WIDTH = 400
_LEFT, _RIGHT = 14.0, 386.0
_AXIS_HEIGHT = 40


@dataclass(frozen=True)
class _Whisker:
    """One interval: where it is drawn and what it says.

    Attributes:
        y: of its line.
        series: position of its candidate, for colour and form.
        point: drop in percentage points.
        limits: of the drop in percentage points.
    """

    y: float
    series: int
    point: float
    limits: tuple[float, float]


def drop_plot(report: Report) -> str:
    """Drop in accuracy with its interval, a line for each candidate, against the limit if any.

    Args:
        report: with at least one candidate.

    Returns:
        An SVG element.
    """
    whiskers, labels, words = [], [], []
    for row, drop in enumerate(report.drops):
        y = 34.0 + 46.0 * row
        name = precision_name(drop.candidate.precision)
        value = f"{signed_pp(drop.drop_pp)} pp ({limits_pp(drop.drop_pp_interval)})"
        whiskers.append(_Whisker(y, row, drop.drop_pp, drop.drop_pp_interval))
        labels.append(_text(_LEFT, y - 12, f"{name} {value}", css=f"label s{row % 3}"))
        words.append(f"{name}: {value}.")
    margin = None if report.gate is None else 100.0 * report.gate.max_drop
    title = f"Drop in accuracy against FP32, {confidence_text(report.confidence)} intervals"
    limit = "" if margin is None else f" The limit is {margin:g} pp."
    return _figure(
        "plot-drop",
        (title, " ".join(words) + limit),
        labels,
        whiskers,
        margin=margin,
    )


def class_drop_plot(report: Report) -> str:
    """Drop in recall of each class with its interval, candidates below one another.

    Where there are too few faces to tell, the interval is drawn faint; classes without faces are
    said to have none.

    Args:
        report: with at least one candidate.

    Returns:
        An SVG element.
    """
    whiskers: list[_Whisker] = []
    faint: list[_Whisker] = []
    labels, words = [], []
    y = 16.0
    for label, name in enumerate(report.labels.classes):
        count = report.data.class_counts[label]
        labels.append(_text(_LEFT, y, f"{name}, {count:,} faces" if count else f"{name}, no face"))
        y += 14.0
        for row, drop in enumerate(report.drops):
            one = drop.classes.drops[label]
            if one is None:
                continue
            limits = 100.0 * one.interval.low, 100.0 * one.interval.high
            whisker = _Whisker(y, row, 100.0 * one.counts.drop, limits)
            (faint if cannot_judge(one) else whiskers).append(whisker)
            words.append(
                f"{name} {precision_name(drop.candidate.precision)}: "
                f"{signed_pp(whisker.point)} pp ({limits_pp(limits)})"
                f"{', too few faces to tell' if cannot_judge(one) else ''}."
            )
            y += 14.0
        y += 12.0
    title = f"Drop in recall by emotion, {confidence_text(report.confidence)} intervals"
    return _figure("plot-classes", (title, " ".join(words)), labels, whiskers, faint=faint)


def legend(report: Report) -> str:
    """The candidates' names beside the form and colour of their points, as an HTML list."""
    items = [
        f'<li><svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">'
        f"{_point(0, 0, row)}</svg>{precision_name(drop.candidate.precision)}</li>"
        for row, drop in enumerate(report.drops)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def ticks(low: float, high: float, most: int = 9) -> tuple[float, ...]:
    """Round numbers from `low` to `high`, in steps of 1, 2 or 5 times a power of ten.

    Args:
        low: end of the axis.
        high: other end, above it.
        most: how many at most.
    """
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(step * number for number in range(first, last + 1))


def _figure(
    name: str,
    words: tuple[str, str],
    labels: Sequence[str],
    whiskers: Sequence[_Whisker],
    *,
    faint: Sequence[_Whisker] = (),
    margin: float | None = None,
) -> str:
    """Axis, zero, limit, whiskers and labels; `words` are title and description."""
    everything = [*whiskers, *faint]
    low = min([0.0, *(item.limits[0] for item in everything)])
    high = max([0.0, margin or 0.0, *(item.limits[1] for item in everything)])
    if high - low < 0.01:
        low, high = -0.5, 0.5
    pad = 0.06 * (high - low)
    low, high = low - pad, high + pad

    def x(points: float) -> float:
        return _LEFT + (points - low) / (high - low) * (_RIGHT - _LEFT)

    bottom = max([20.0, *(item.y for item in everything)]) + 14.0
    height = bottom + _AXIS_HEIGHT
    parts = []
    for tick in ticks(low, high):
        css = "zero" if abs(tick) < 1e-9 else "grid"
        parts.append(_line(x(tick), 0.0, x(tick), bottom, css))
        parts.append(_text(x(tick), bottom + 16, f"{tick:g}", css="tick", anchor="middle"))
    if margin is not None:
        parts.append(_line(x(margin), 0.0, x(margin), bottom, "margin"))
    parts.append(
        _text(_LEFT, height - 6, "\u2190 better than FP32", css="tick")
        + _text(_RIGHT, height - 6, "worse, in pp \u2192", css="tick", anchor="end")
    )
    for css, items in (("", whiskers), (" faint", faint)):
        parts += [_whisker(item, x, css) for item in items]
    title, description = (escape(word) for word in words)
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {_WIDTH} {height:g}" '
        f'aria-labelledby="{name}-title {name}-words">'
        f'<title id="{name}-title">{title}</title><desc id="{name}-words">{description}</desc>'
        f"{''.join(parts)}{''.join(labels)}</svg>"
    )


def _whisker(item: _Whisker, x: Callable[[float], float], css: str) -> str:
    start, middle, end = (x(value) for value in (item.limits[0], item.point, item.limits[1]))
    lines = (
        _line(start, item.y, end, item.y, "whisker")
        + _line(start, item.y - 4, start, item.y + 4, "whisker")
        + _line(end, item.y - 4, end, item.y + 4, "whisker")
    )
    return f'<g class="s{item.series % 3}{css}">{lines}{_point(middle, item.y, item.series)}</g>'


def _point(x: float, y: float, series: int) -> str:
    if series % 3 == 0:
        return f'<circle class="point s0" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    half = 4.5 if series % 3 == 1 else 5.0
    turn = "" if series % 3 == 1 else f' transform="rotate(45 {x:.1f} {y:.1f})"'
    return (
        f'<rect class="point s{series % 3}" x="{x - half:.1f}" y="{y - half:.1f}" '
        f'width="{2 * half:g}" height="{2 * half:g}"{turn}/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, *, css: str = "label", anchor: str = "start") -> str:
    return (
        f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )

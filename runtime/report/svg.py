"""The pieces that the report's plots are drawn of: SVG text written here, no library, no script.

Each plot is `role="img"` with a title and a description that says in words what it shows, for
readers who do not see it. Colours come from the page's style sheet, so they follow dark and light;
series also differ by the form of their point, so nothing rests on colour alone.

Coordinates are in an abstract 400 units of width: the page scales a plot to 320 pixels on a phone
and 560 on a desktop, and 13 units of type stay readable in both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

WIDTH = 400
LEFT, RIGHT = 14.0, 386.0
NUM_SERIES = 3
"""Colours and forms; a fourth series looks like the first."""
REFERENCE_SERIES = -1
"""FP32, where it is drawn beside candidates: a grey circle."""


def figure(name: str, words: tuple[str, str], height: float, parts: Iterable[str]) -> str:
    """A whole plot.

    Args:
        name: unique on the page, for the ids that title and description need.
        words: title and description.
        height: in units.
        parts: SVG elements, back to front.

    Returns:
        An SVG element.
    """
    title, description = (escape(word) for word in words)
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {WIDTH} {height:g}" '
        f'aria-labelledby="{name}-title {name}-words">'
        f'<title id="{name}-title">{title}</title><desc id="{name}-words">{description}</desc>'
        f"{''.join(parts)}</svg>"
    )


def line(start: tuple[float, float], end: tuple[float, float], css: str) -> str:
    """A straight line.

    Args:
        start: x and y.
        end: x and y.
        css: its class in the style sheet.
    """
    (x1, y1), (x2, y2) = start, end
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text(at: tuple[float, float], words: str, *, css: str = "label", anchor: str = "start") -> str:
    """Words, escaped.

    Args:
        at: x and y of the baseline.
        words: what they say.
        css: their class in the style sheet.
        anchor: which end of the words is at x: start, middle or end.
    """
    x, y = at
    return (
        f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
    )


def series_css(series: int) -> str:
    """The class of a series in the style sheet."""
    return "ref" if series == REFERENCE_SERIES else f"s{series % NUM_SERIES}"


def point(at: tuple[float, float], series: int, *, radius: float = 5.0) -> str:
    """The mark of a series: a circle, a square, a diamond.

    Args:
        at: x and y of its middle.
        series: which, or `REFERENCE_SERIES`.
        radius: half of its height.
    """
    (x, y), css = at, series_css(series)
    form = 0 if series == REFERENCE_SERIES else series % NUM_SERIES
    if form == 0:
        return f'<circle class="point {css}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.3g}"/>'
    half = 0.9 * radius if form == 1 else radius
    turn = "" if form == 1 else f' transform="rotate(45 {x:.1f} {y:.1f})"'
    return (
        f'<rect class="point {css}" x="{x - half:.1f}" y="{y - half:.1f}" '
        f'width="{2 * half:.3g}" height="{2 * half:.3g}"{turn}/>'
    )


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

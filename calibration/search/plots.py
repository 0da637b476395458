"""The plots of the search: what each layer costs, and what layers in FP16 buy.

Drawn with the report's own pieces, so they follow its colours in the light and in the dark.
"""

from __future__ import annotations

from edge_arm.calibration.search.mixed import MixedPrecision, Point
from edge_arm.calibration.search.sensitivity import Sensitivity
from edge_arm.calibration.search.words import drop_text, interval_text, kl_text, point_name
from edge_arm.runtime.report.svg import (
    LEFT,
    REFERENCE_SERIES,
    RIGHT,
    figure,
    line,
    point,
    series_css,
    text,
    ticks,
)

ALONE, GAIN = 0, 1
"""Series of the sensitivity: a layer alone in int8, and what it wins alone in float."""

CANDIDATE, CHOSEN = 0, 1
"""Series of the Pareto plot."""

_BAR = 9.0
_ROW = 42.0
_AXIS = 38.0
_PLOT_HEIGHT = 260.0
_PLOT_LEFT = 52.0


def sensitivity_plot(found: Sensitivity) -> str:
    """Two bars for each layer, in graph order, in thousandths of a nat.

    Args:
        found: of at least one layer.

    Returns:
        An SVG element.
    """
    pairs = [(1000 * layer.alone.mean_kl, 1000 * found.gain(layer)) for layer in found.layers]
    low = min(0.0, *(value for pair in pairs for value in pair))
    high = max(0.0, *(value for pair in pairs for value in pair))
    if high - low < 1e-9:
        high = low + 1e-3

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (RIGHT - LEFT)

    bottom = _ROW * len(pairs) + 4.0
    parts = []
    for tick in ticks(low, high, most=7):
        css = "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(line((x(tick), 0.0), (x(tick), bottom), css))
        parts.append(text((x(tick), bottom + 16.0), f"{tick:g}", css="tick", anchor="middle"))
    parts.append(text((LEFT, bottom + 34.0), "KL against FP32, 1/1000 nat", css="tick"))
    words = []
    for row, (layer, pair) in enumerate(zip(found.layers, pairs, strict=True)):
        top = _ROW * row
        parts.append(text((LEFT, top + 14.0), layer.layer.removeprefix("/")))
        for series, value in zip((ALONE, GAIN), pair, strict=True):
            start, end = sorted((x(0.0), x(value)))
            parts.append(
                f'<rect class="point {series_css(series)}" x="{start:.1f}" '
                f'y="{top + 18.0 + series * (_BAR + 1):.1f}" width="{end - start:.1f}" '
                f'height="{_BAR:g}"/>'
            )
        words.append(
            f"{layer.layer}: alone in int8 {kl_text(layer.alone.mean_kl)}, wins "
            f"{kl_text(found.gain(layer))} alone in float."
        )
    title = "What each layer costs in int8, in thousandths of a nat"
    return figure("plot-layers", (title, " ".join(words)), bottom + _AXIS, parts)


def pareto_plot(mixed: MixedPrecision) -> str:
    """Drop with its interval against estimated time, a point for each candidate.

    Args:
        mixed: what the search came to.

    Returns:
        An SVG element.
    """
    drawn = [(item, CHOSEN if item is mixed.final else CANDIDATE) for item in mixed.points]
    if mixed.half is not None:
        drawn.append((mixed.half, REFERENCE_SERIES))
    margin = 100 * mixed.gate.max_drop
    times = [item.latency for item, _ in drawn]
    limits = [100 * end for item, _ in drawn for end in (item.interval.low, item.interval.high)]
    low, high = min(0.0, *limits), max(0.0, margin, *limits)
    pad = 0.08 * (high - low)
    low, high = low - pad, high + pad
    left, right = min(times), max(times)
    room = max(0.08 * (right - left), 0.02)
    left, right = left - room, right + room

    def x(time: float) -> float:
        return _PLOT_LEFT + (time - left) / (right - left) * (RIGHT - _PLOT_LEFT)

    def y(points: float) -> float:
        return _PLOT_HEIGHT - (points - low) / (high - low) * _PLOT_HEIGHT

    parts = []
    for tick in ticks(low, high):
        css = "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(line((_PLOT_LEFT, y(tick)), (RIGHT, y(tick)), css))
        parts.append(text((_PLOT_LEFT - 6.0, y(tick) + 4.0), f"{tick:g}", css="tick", anchor="end"))
    parts += [
        text((x(tick), _PLOT_HEIGHT + 16.0), f"{tick:g}", css="tick", anchor="middle")
        for tick in ticks(left, right, most=6)
    ]
    parts.append(line((_PLOT_LEFT, y(margin)), (RIGHT, y(margin)), "margin"))
    axis = _PLOT_HEIGHT + 34.0
    parts.append(text((LEFT, axis), "up: drop in pp", css="tick"))
    parts.append(
        text((RIGHT, axis), "estimated time, all int8 = 1 \u2192", css="tick", anchor="end")
    )
    words = []
    for item, series in drawn:
        at = x(item.latency)
        low_y, high_y = y(100 * item.interval.low), y(100 * item.interval.high)
        bars = [line((at, low_y), (at, high_y), "whisker")]
        bars += [line((at - 4, end), (at + 4, end), "whisker") for end in (low_y, high_y)]
        bars.append(point((at, y(100 * item.counts.drop)), series))
        parts.append(f'<g class="{series_css(series)}">{"".join(bars)}</g>')
        name = "all" if series == REFERENCE_SERIES else str(len(item.in_float))
        parts.append(text((at + 7.0, y(100 * item.counts.drop) - 6.0), name))
        words.append(_words(item))
    title = "Drop in accuracy against estimated time, by number of layers in FP16"
    return figure(
        "plot-pareto", (title, f"{' '.join(words)} The limit is {margin:g} pp."), axis + 8.0, parts
    )


def _words(item: Point) -> str:
    return (
        f"{point_name(item)} in FP16, time {item.latency:.2f}: drop {drop_text(item)} pp "
        f"({interval_text(item)})."
    )

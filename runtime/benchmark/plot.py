"""The latencies and the throughput of a benchmark as one picture, SVG written here.

Each batch size has a panel with a row for each model: a box from the 25th to the 75th percentile
with a line at the median, whiskers to the 1st and the 99th (of fewer than 100 calls these are the
fastest and the slowest), the throughput in words and as a bar.
One axis from zero serves a panel, so lengths can be compared; what lies beyond its end is cut off
and says so in its figure. Every browser shows it, in the dark as well, and it says in words what it
shows, for readers who do not see it.

Coordinates are in units of 860 in width.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from edge_arm.runtime.benchmark.latency_stats import PERCENTILE_METHOD
from edge_arm.runtime.benchmark.result import BatchResult, Benchmark
from edge_arm.runtime.report.svg import line, text, ticks

_WIDTH = 860.0
_LEFT, _RIGHT = 250.0, 620.0  # of the axis of latencies
_BARS, _BARS_END = 700.0, 840.0
_ROW = 30.0
_HEAD = 58.0
_FOOT = 34.0
_TOP = 56.0
_LONGEST_IN_MEDIANS = 4.0
"""The axis ends at the longest median times this, if some tail is longer."""

_STYLE = """
svg { --ink: #1b1f24; --quiet: #57606a; --grid: #d9dee5; --box: #0b62c4; --bar: #b34700;
background: #fff; font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e8eaee; --quiet: #a3acb7; --grid: #333b44;
--box: #6cb0ff; --bar: #ff9d5c; background: #14171b; } }
text { font-size: 14px; fill: var(--ink); }
text.tick { font-size: 12px; fill: var(--quiet); }
text.head { font-size: 15px; font-weight: 600; }
line.grid { stroke: var(--grid); }
line.whisker { stroke: var(--box); stroke-width: 2; }
line.median { stroke: var(--ink); stroke-width: 3; }
rect.box { fill: var(--box); fill-opacity: .35; stroke: var(--box); }
rect.bar { fill: var(--bar); }
"""


def benchmark_svg(result: Benchmark) -> str:
    """The picture.

    Args:
        result: of the run, with one model at least.
    """
    sizes = [batch.batch_size for batch in result.models[0].batches]
    height_of_panel = _HEAD + _ROW * len(result.models) + _FOOT
    parts = [
        text((16.0, 24.0), "Latency of a call and throughput", css="head"),
        text((16.0, 44.0), _place(result), css="tick"),
    ]
    words = []
    for number, size in enumerate(sizes):
        rows = [(model.spec.name, model.batches[number]) for model in result.models]
        parts += _panel(_TOP + number * height_of_panel, size, rows)
        words += [_sentence(name, batch) for name, batch in rows]
    height = _TOP + height_of_panel * len(sizes) + 12.0
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH:g} {height:g}" '
        f'width="{_WIDTH:g}" height="{height:g}" aria-labelledby="title words">'
        f'<title id="title">Benchmark</title><desc id="words">{escape(" ".join(words))}</desc>'
        f"<style>{_STYLE}</style>{''.join(parts)}</svg>\n"
    )


def _place(result: Benchmark) -> str:
    machine = result.machine
    load = result.load_of_others
    others = "" if load is None else f"; load of others: {load:.2f} cores"
    return f"{(machine.board or result.cpu)[:90]}, {result.processors} processors{others}"


def _sentence(name: str, batch: BatchResult) -> str:
    p01, _, p50, _, p99 = _quantiles_ms(batch)
    return (
        f"{name}, batch {batch.batch_size}: median {p50:.3g} ms, from {p01:.3g} to {p99:.3g} ms, "
        f"{batch.faces_per_s:,.0f} faces per second."
    )


def _panel(top: float, size: int, rows: Sequence[tuple[str, BatchResult]]) -> list[str]:
    quantiles = [_quantiles_ms(batch) for _, batch in rows]
    longest = min(
        max(found[4] for found in quantiles),
        _LONGEST_IN_MEDIANS * max(found[2] for found in quantiles),
    )
    bottom = top + _HEAD + _ROW * len(rows)
    fastest = max(batch.faces_per_s for _, batch in rows)
    parts = [
        text((16.0, top + 20.0), f"Batch {size}", css="head"),
        text(
            (_LEFT, top + 42.0),
            "ms for a call: percentiles 1, 25, 50, 75, 99; in figures 50",
            css="tick",
        ),
        text((_BARS, top + 42.0), "faces per second", css="tick"),
    ]
    for value in ticks(0.0, longest, 7):
        x = _x(value, longest)
        parts += [
            line((x, top + _HEAD - 6.0), (x, bottom), "grid"),
            text((x, bottom + 17.0), f"{value:g}", css="tick", anchor="middle"),
        ]
    for row, ((name, batch), found) in enumerate(zip(rows, quantiles, strict=True)):
        y = top + _HEAD + _ROW * row + _ROW / 2
        parts.append(text((_LEFT - 12.0, y + 5.0), name, anchor="end"))
        parts += _box(y, found, longest)
        width = batch.faces_per_s / fastest * (_BARS_END - _BARS)
        parts.append(
            f'<rect class="bar" x="{_BARS:g}" y="{y + 6.0:.1f}" width="{width:.1f}" height="5"/>'
        )
        parts.append(text((_BARS, y + 2.0), f"{batch.faces_per_s:,.0f}"))
    return parts


def _box(y: float, found: tuple[float, ...], longest: float) -> list[str]:
    p01, p25, p50, p75, p99 = (_x(value, longest) for value in found)
    parts = [
        line((p01, y), (p99, y), "whisker"),
        f'<rect class="box" x="{p25:.1f}" y="{y - 8.0:.1f}" width="{max(p75 - p25, 1.0):.1f}" '
        'height="16"/>',
        line((p50, y - 10.0), (p50, y + 10.0), "median"),
    ]
    cut = f" ({found[4]:.3g})" if found[4] > longest else ""
    parts.append(text((min(p99, _RIGHT) + 6.0, y + 4.0), f"{found[2]:.3g}{cut}", css="tick"))
    return parts


def _quantiles_ms(batch: BatchResult) -> tuple[float, float, float, float, float]:
    found = np.quantile(
        1e3 * np.asarray(batch.seconds), (0.01, 0.25, 0.5, 0.75, 0.99), method=PERCENTILE_METHOD
    )
    p01, p25, p50, p75, p99 = (float(value) for value in found)
    return p01, p25, p50, p75, p99


def _x(value: float, longest: float) -> float:
    return _LEFT + min(value / longest, 1.0) * (_RIGHT - _LEFT)

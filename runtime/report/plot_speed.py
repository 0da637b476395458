"""The plot of file size and images per second: a bar for each model."""

from __future__ import annotations

from collections.abc import Sequence

from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.svg import LEFT, RIGHT, figure, text
from edge_arm.runtime.report.text import model_name, rate_text, size_text

_BAR_HEIGHT = 14.0
_STEP = 38.0


def speed_plot(report: Report) -> str:
    """Two groups of bars from zero, each with its figure written on it.

    Args:
        report: with its models.

    Returns:
        An SVG element.
    """
    names = [model_name(model) for model in report.models]
    sizes = [float(model.info.size_bytes) for model in report.models]
    rates = [model.images_per_second for model in report.models]
    size_words = [size_text(model.info.size_bytes) for model in report.models]
    rate_words = [f"{rate_text(rate)}{' images/s' if rate else ''}" for rate in rates]
    middle = 26.0 + _STEP * len(names)
    parts = [
        text((LEFT, 14.0), "File", css="tick"),
        *_bars(20.0, names, sizes, size_words),
        text((LEFT, middle + 14.0), "Images per second", css="tick"),
        *_bars(middle + 20.0, names, rates, rate_words),
    ]
    words = " ".join(
        f"{name}: {size}, {rate}."
        for name, size, rate in zip(names, size_words, rate_words, strict=True)
    )
    height = middle + 26.0 + _STEP * len(names)
    return figure("plot-speed", ("Size and speed", words), height, parts)


def _bars(
    top: float, names: Sequence[str], values: Sequence[float], words: Sequence[str]
) -> list[str]:
    """A bar for each value, the largest over the whole width, its label above it."""
    most = max([*values, 1e-9])
    parts = []
    for row, (name, value, word) in enumerate(zip(names, values, words, strict=True)):
        y = top + _STEP * row
        width = value / most * (RIGHT - LEFT)
        parts.append(text((LEFT, y + 12.0), f"{name} {word}"))
        parts.append(
            f'<rect class="bar" x="{LEFT:.1f}" y="{y + 17.0:.1f}" width="{width:.1f}" '
            f'height="{_BAR_HEIGHT:g}"/>'
        )
    return parts

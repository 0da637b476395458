"""Loss and accuracy by epoch as a picture beside the checkpoint, drawn anew after every epoch.

SVG written here, as the report's plots are: no library has to be loaded, and every browser shows
it, in the dark as well. It says in words what it shows, for readers who do not see it.

Coordinates are in units of 640 by 560.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import median

from edge_arm.runtime.report.svg import line, text
from edge_arm.runtime.storage import write_text
from edge_arm.training.metrics_log import read_metrics
from edge_arm.training.observer import EpochMetrics, Observer, Plan

_WIDTH, _HEIGHT = 640, 560
_LEFT, _RIGHT = 56.0, 610.0
_LOSS = (64.0, 262.0)  # top and bottom of a panel
_ACCURACY = (322.0, 520.0)
_HIGHEST_LOSS_IN_MEDIANS = 6.0
"""The loss of a first epoch can be twenty times the rest; it is cut off at the upper edge."""

_STYLE = """
svg { --ink: #1b1f24; --quiet: #667; --grid: #dde; --train: #b3541e; --valid: #1f5fa8;
background: #fff; font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e8eaee; --quiet: #9aa; --grid: #334;
--train: #f0a070; --valid: #7ab3f0; background: #16181c; } }
text { font-size: 14px; fill: var(--ink); }
text.tick { font-size: 12px; fill: var(--quiet); }
text.train { fill: var(--train); }
text.valid { fill: var(--valid); }
line.grid { stroke: var(--grid); }
line.best { stroke: var(--quiet); stroke-dasharray: 4 4; }
polyline { fill: none; stroke-width: 2; }
polyline.train { stroke: var(--train); stroke-dasharray: 7 3; }
polyline.valid { stroke: var(--valid); }
circle.train { fill: var(--train); }
circle.valid { fill: var(--valid); }
"""


def curves_path(out_path: Path) -> Path:
    """Where the learning curves of a training to `out_path` lie."""
    return out_path.with_name(f"{out_path.stem}.curves.svg")


def learning_curves(metrics_path: Path, out_path: Path) -> Observer:
    """Draws the curves of all epochs so far.

    Args:
        metrics_path: of the metrics; whoever writes them watches before this.
        out_path: of the picture.

    Returns:
        An observer that raises StorageError if the picture cannot be written.
    """

    def on_begin(plan: Plan) -> None:
        if not plan.epochs_done:
            out_path.unlink(missing_ok=True)  # of another training

    def on_epoch(_: EpochMetrics) -> None:
        write_text(out_path, curves_svg(read_metrics(metrics_path)))

    return Observer(on_begin=on_begin, on_epoch=on_epoch)


def curves_svg(epochs: Sequence[EpochMetrics]) -> str:
    """The picture.

    Args:
        epochs: at least one, in order.
    """
    best = [metrics for metrics in epochs if metrics.is_best][-1]
    last = epochs[-1]
    words = (
        f"After {last.epoch} of {last.epochs} epochs: training loss {last.train_loss:.3f}, "
        f"validation loss {last.validation_loss:.3f}, validation accuracy "
        f"{last.validation_accuracy:.1%}. Best: epoch {best.epoch}, {best.validation_accuracy:.1%}."
    )
    losses = [(metrics.train_loss, metrics.validation_loss) for metrics in epochs]
    every = [value for pair in losses for value in pair]
    highest = min(max(every), _HIGHEST_LOSS_IN_MEDIANS * median(every)) or 1.0
    accuracies = [metrics.validation_accuracy for metrics in epochs]
    numbers = [metrics.epoch for metrics in epochs]
    parts = [
        text((_LEFT, 24), words.split(": ", 1)[0] + f", best epoch {best.epoch}"),
        text((_LEFT, 50), "loss"),
        text((_LEFT + 60, 50), "training (dashed)", css="train"),
        text((_LEFT + 190, 50), "validation", css="valid"),
        *_panel(_LOSS, numbers, (0.0, highest), unit=""),
        _best(best.epoch, numbers, _LOSS),
        *_curve(numbers, [pair[0] for pair in losses], _LOSS, (0.0, highest), css="train"),
        *_curve(numbers, [pair[1] for pair in losses], _LOSS, (0.0, highest), css="valid"),
        text((_LEFT, 308), "validation accuracy"),
        text((_RIGHT, 308), f"best {best.validation_accuracy:.1%}", css="valid", anchor="end"),
        *_panel(_ACCURACY, numbers, (0.0, 100.0), unit=" %"),
        _best(best.epoch, numbers, _ACCURACY),
        *_curve(numbers, [100 * value for value in accuracies], _ACCURACY, (0, 100), css="valid"),
        text(((_LEFT + _RIGHT) / 2, _HEIGHT - 8), "epoch", css="tick", anchor="middle"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" aria-labelledby="title words">'
        f'<title id="title">Learning curves</title><desc id="words">{escape(words)}</desc>'
        f"<style>{_STYLE}</style>{''.join(parts)}</svg>\n"
    )


def _panel(
    edges: tuple[float, float], numbers: Sequence[int], limits: tuple[float, float], *, unit: str
) -> list[str]:
    """Grid and ticks."""
    parts = []
    for value in _ticks(limits[1]):
        y = _y(value, edges, limits)
        parts += [
            line((_LEFT, y), (_RIGHT, y), "grid"),
            text((_LEFT - 6, y + 4), f"{value:g}{unit}", css="tick", anchor="end"),
        ]
    step = max(1, round(_tick_step(numbers[-1])))
    for number in sorted({numbers[0], *range(step, numbers[-1] + 1, step)}):
        if number >= numbers[0]:
            x = _x(number, numbers)
            parts.append(text((x, edges[1] + 17), str(number), css="tick", anchor="middle"))
    return parts


def _curve(
    numbers: Sequence[int],
    values: Sequence[float],
    edges: tuple[float, float],
    limits: tuple[float, float],
    *,
    css: str,
) -> list[str]:
    points = [
        (_x(number, numbers), _y(value, edges, limits))
        for number, value in zip(numbers, values, strict=True)
    ]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    # The last point is marked, so that a single epoch shows as well.
    x, y = points[-1]
    return [
        f'<polyline class="{css}" points="{joined}"/>',
        f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>',
    ]


def _best(epoch: int, numbers: Sequence[int], edges: tuple[float, float]) -> str:
    x = _x(epoch, numbers)
    return line((x, edges[0]), (x, edges[1]), "best")


def _x(number: int, numbers: Sequence[int]) -> float:
    span = max(numbers[-1] - numbers[0], 1)
    return _LEFT + (number - numbers[0]) / span * (_RIGHT - _LEFT)


def _y(value: float, edges: tuple[float, float], limits: tuple[float, float]) -> float:
    share = (min(value, limits[1]) - limits[0]) / (limits[1] - limits[0])
    return edges[1] - share * (edges[1] - edges[0])


def _tick_step(highest: float) -> float:
    """1, 2 or 5 times a power of ten, for four to ten ticks."""
    power = 10.0 ** math.floor(math.log10(highest / 4))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= highest / 4)


def _ticks(highest: float) -> list[float]:
    step = _tick_step(highest)
    return [number * step for number in range(int(highest / step + 1e-9) + 1)]

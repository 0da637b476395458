"""The part of `edge-arm calibrate` that looks at layers: `--sensitivity` and `--max-drop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from edge_arm.calibration.search.mixed import MixedPrecision, Point
    from edge_arm.calibration.search.search import SearchConfig, SearchResult

_SHOWN_LAYERS = 8
"""Printed by line; the bundle's sensitivity.json and the page have all of them."""


def search_config(
    *, sensitivity: bool, max_drop: float | None, search_faces: int | None, seed: int
) -> SearchConfig | None:
    """What the options ask for; None for no search.

    Raises:
        UsageError: if the options contradict each other or have no meaning.
    """
    from edge_arm.calibration.search.search import SearchConfig
    from edge_arm.runtime.errors import UsageError
    from edge_arm.runtime.statistics import Gate

    if not sensitivity:
        for option, value in (("--max-drop", max_drop), ("--search-faces", search_faces)):
            if value is not None:
                raise UsageError(
                    f"got {option} {value:g} with --no-sensitivity, expected the layers to be "
                    "measured, because the search goes by that; leave one of the two out"
                )
        return None
    if max_drop is not None and not 0.0 < max_drop < 100.0:  # NaN is refused as well
        raise UsageError(
            f"got --max-drop {max_drop:g}, expected percentage points above 0 and below 100; "
            "write a fifth of a point as --max-drop 0.2"
        )
    gate = None if max_drop is None else Gate(max_drop / 100.0)
    return SearchConfig(gate=gate, num_faces=search_faces, seed=seed)


def print_search(result: SearchResult) -> None:
    """Print what the search came to: the goal last, where it is read first."""
    from rich.console import Console

    from edge_arm.calibration.search.words import LATENCY, PROOF, cost_sentence, goal_sentence

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe or a log has no width that figures would have to fit
        console.width = max(console.width, 120)
    console.print()
    console.print(_layers(result))
    hidden = len(result.sensitivity.layers) - _SHOWN_LAYERS
    if hidden > 0:
        console.print(f"and {hidden} more in sensitivity.json", soft_wrap=True)
    console.print(cost_sentence(result), soft_wrap=True)
    if result.mixed is not None:
        console.print()
        console.print(_candidates(result.mixed))
        console.print(LATENCY, soft_wrap=True)
        console.print(goal_sentence(result.mixed), soft_wrap=True)
        console.print(PROOF, soft_wrap=True)


def _layers(result: SearchResult) -> Table:
    from edge_arm.calibration.search.words import kl_text

    found = result.sensitivity
    table = _table(
        "most sensitive layers, KL in 1/1000 nat",
        ("alone in int8", "changed", "won in float", "changed then", "time in FP16"),
    )
    for layer in found.ranked()[:_SHOWN_LAYERS]:
        table.add_row(
            layer.layer,
            kl_text(layer.alone.mean_kl),
            f"{layer.alone.flips:,}",
            kl_text(found.gain(layer)),
            f"{layer.without.flips:,}",
            f"{result.latency[layer.layer]:.2f}",
        )
    return table


def _candidates(mixed: MixedPrecision) -> Table:
    table = _table(
        "layers in FP16",
        ("time", "changed", "KL", "drop pp", "interval", f"< {100 * mixed.gate.max_drop:g} pp"),
    )
    for point in mixed.points:
        chosen = " (chosen)" if point is mixed.final else ""
        _add_point(table, f"{len(point.in_float)}{chosen}", point)
    if mixed.half is not None:
        _add_point(table, "everything", mixed.half)
    return table


def _add_point(table: Table, name: str, point: Point) -> None:
    from edge_arm.calibration.search.words import drop_text, interval_text, kl_text
    from edge_arm.runtime.report.text import VERDICT_WORDS

    table.add_row(
        name,
        f"{point.latency:.2f}",
        f"{point.flips:,}",
        kl_text(point.mean_kl),
        drop_text(point),
        interval_text(point),
        VERDICT_WORDS[point.verdict],
    )


def _table(first: str, columns: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right")
    return table

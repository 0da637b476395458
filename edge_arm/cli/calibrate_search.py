"""The part of `edge-arm calibrate` that looks at layers: `--sensitivity` and `--max-drop`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from edge_arm.calibration.int8_from_bundle import CalibrationConfig
    from edge_arm.calibration.search.hook import PlanSearch
    from edge_arm.calibration.search.mixed import MixedPrecision, Point
    from edge_arm.calibration.search.search import SearchConfig, SearchResult
    from edge_arm.runtime.faces import FaceIndex
    from edge_arm.runtime.manifest import Bundle

_SHOWN_LAYERS = 8
"""Printed by line; the bundle's sensitivity.json and the page have all of them."""


@dataclass(frozen=True)
class LayerOptions:
    """What was typed about layers.

    Attributes:
        sensitivity: whether to measure them; None where faces are left for it.
        max_drop: the goal in percentage points.
        search_faces: how many faces to search on.
        html: where to write the page.
    """

    sensitivity: bool | None
    max_drop: float | None
    search_faces: int | None
    html: Path | None

    def check(self, *, from_cache: bool) -> None:
        """Refuse wrong words before anything runs.

        Args:
            from_cache: whether the ranges come from a TensorRT cache.

        Raises:
            UsageError: if the options contradict each other or have no meaning.
            StorageError: if the page cannot be written where it is asked for.
        """
        from edge_arm.runtime.errors import UsageError
        from edge_arm.runtime.storage import require_result_places

        asked = {
            "--max-drop": self.max_drop,
            "--search-faces": self.search_faces,
            "--html": self.html,
            "--sensitivity": self.sensitivity or None,
        }
        for option, value in asked.items():
            if value is None:
                continue
            if from_cache:
                raise UsageError(
                    f"got {option} with --from-cache, expected a calibration with faces: layers "
                    "are measured on faces that did not calibrate, and a cache does not name its "
                    "own; leave one of the two out"
                )
            if self.sensitivity is False:
                raise UsageError(
                    f"got {option} with --no-sensitivity, expected the layers to be measured, "
                    "because the search goes by that; leave one of the two out"
                )
        if self.max_drop is not None and not 0.0 < self.max_drop < 100.0:  # NaN is refused as well
            raise UsageError(
                f"got --max-drop {self.max_drop:g}, expected percentage points above 0 and below "
                "100; write a fifth of a point as --max-drop 0.2"
            )
        self._config(0)
        if self.html is not None:
            require_result_places([self.html])

    def started(
        self, bundle: Bundle, train_index: FaceIndex, calibration: CalibrationConfig
    ) -> PlanSearch | None:
        """The search for a calibration; None if there is none.

        Args:
            bundle: to calibrate.
            train_index: the training split.
            calibration: that the search belongs to.
        """
        from edge_arm.calibration.search.hook import PlanSearch

        if self.sensitivity is False:
            return None
        wanted = (self.max_drop, self.search_faces, self.html)
        asked = self.sensitivity or any(value is not None for value in wanted)
        config = self._config(calibration.seed)
        return PlanSearch(bundle, train_index, config, optional=not asked)

    def reported(self, result: SearchResult | None) -> bool:
        """Print what came out, write the page, and say whether the goal was met.

        Args:
            result: of the search; None where it did without.
        """
        from edge_arm.calibration.search.page import write_search_page

        if result is None:
            return True
        if self.html is not None:
            write_search_page(result, self.html)
        print_search(result)
        if self.html is not None:
            typer.echo(f"page: {self.html}")
        return result.accepted

    def _config(self, seed: int) -> SearchConfig:
        from edge_arm.calibration.search.search import SearchConfig
        from edge_arm.runtime.statistics import Gate

        gate = None if self.max_drop is None else Gate(self.max_drop / 100.0)
        return SearchConfig(gate=gate, num_faces=self.search_faces, seed=seed)


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
        (
            "time",
            "changed",
            "KL/1000",
            "drop pp",
            "interval",
            f"< {100 * mixed.gate.max_drop:g} pp",
        ),
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

"""`edge-arm calibrate --study`: which faces a calibration needs. Writes nothing into the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from edge_arm.calibration.study.study import Study, StudyConfig
    from edge_arm.runtime.faces import FaceIndex
    from edge_arm.runtime.manifest import Bundle


@dataclass(frozen=True)
class StudyOptions:
    """What was typed about a study.

    Attributes:
        study: whether to make one, instead of a calibration.
        sets: more data sets, each as NAME=ROOT.
        json: where to write the figures.
        html: where to write the page.
    """

    study: bool
    sets: tuple[str, ...]
    json: Path | None
    html: Path | None

    def check(self, others: Mapping[str, object]) -> None:
        """Refuse wrong words before anything runs.

        Args:
            others: options of a calibration that a study has no use for; None or False where they
                were not typed.

        Raises:
            UsageError: if the options contradict each other.
            StorageError: if a result cannot be written where it is asked for.
        """
        from edge_arm.runtime.errors import UsageError
        from edge_arm.runtime.storage import require_result_places

        if not self.study:
            for option, value in (("--study-data", self.sets), ("--json", self.json)):
                if value:
                    raise UsageError(f"got {option} without --study, expected both; add --study")
            return
        for option, typed in others.items():
            if typed is not None and typed is not False:
                raise UsageError(
                    f"got {option} with --study, expected a study alone: it calibrates nothing "
                    "that stays; leave one of the two out"
                )
        require_result_places([path for path in (self.json, self.html) if path is not None])

    def run(self, bundle: Bundle, data: str, root: Path | None, *, config: StudyConfig) -> None:
        """Make the study and tell what came out.

        Args:
            bundle: whose FP32 model is studied; it is left as it is.
            data: name of the first data set.
            root: its folder.
            config: what to study.
        """
        from edge_arm.calibration.study.page import write_study_page
        from edge_arm.calibration.study.record import write_study
        from edge_arm.calibration.study.study import study_calibration
        from edge_arm.cli.console import progress_bar

        sets = training_sets(data, root, self.sets)
        with progress_bar("study", config.num_steps(sets)) as advance:
            study = study_calibration(bundle, sets, config, advance)
        print_study(study)
        if self.json is not None:
            write_study(study, self.json)
            typer.echo(f"figures: {self.json}")
        if self.html is not None:
            write_study_page(study, self.html)
            typer.echo(f"page: {self.html}")


def training_sets(data: str, root: Path | None, more: tuple[str, ...]) -> dict[str, FaceIndex]:
    """The training splits of the sets that were named, the first one first.

    Args:
        data: name of the first.
        root: its folder.
        more: the others, each as NAME=ROOT.

    Returns:
        By name; two of one name by name and folder.

    Raises:
        UsageError: if one is not written like that, or is named twice.
        DataError: if a folder is missing or broken.
    """
    from edge_arm.data.registry import face_index, resolve_root
    from edge_arm.runtime.errors import UsageError
    from edge_arm.runtime.faces import Split

    places = [(data, resolve_root(data, root))]
    for item in more:
        name, _, typed = item.partition("=")
        if not (name and typed):
            raise UsageError(
                f"got --study-data {item!r}, expected NAME=ROOT, the name of a data set and its "
                "folder; write --study-data rafdb=data/rafdb"
            )
        places.append((name, resolve_root(name, Path(typed))))
    names = [name for name, _ in places]
    sets: dict[str, FaceIndex] = {}
    for name, folder in places:
        label = name if names.count(name) == 1 else f"{name} ({folder.resolve().name})"
        if label in sets:
            raise UsageError(
                f"got the data set {label!r} twice, expected sets that differ; leave one out, or "
                "give their folders different names"
            )
        sets[label] = face_index(name, folder, Split.TRAIN)
    return sets


def print_study(study: Study) -> None:
    """Print what the study came to: the answer last, where it is read first."""
    from rich.console import Console

    from edge_arm.calibration.study.words import HOW, cross_sentence, enough_sentence

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe or a log has no width that figures would have to fit
        console.width = max(console.width, 120)
    console.print(_curve(study))
    console.print(f"Ranges by {study.method.value}. {HOW}", soft_wrap=True)
    if study.cells:
        console.print()
        console.print(_pairs(study))
        console.print(cross_sentence(study), soft_wrap=True)
    console.print(enough_sentence(study), soft_wrap=True)


def _curve(study: Study) -> Table:
    from rich.table import Table

    from edge_arm.calibration.study.words import agreement_text, spread_text

    table = Table(box=None, pad_edge=False)
    table.add_column("faces", justify="right")
    for name in ("agreement", "mean KL", "scales vary", "at worst", "scale, by the pool's"):
        table.add_column(name, justify="right")
    table.add_column("worst tensor", overflow="fold")
    for size in study.curve.sizes:
        table.add_row(
            str(size.num_faces),
            agreement_text(size),
            f"{sum(size.mean_kls) / len(size.mean_kls):.2g}",
            spread_text(size.median_spread),
            spread_text(size.spread[size.worst]),
            f"{size.median_relative:.3f}",
            size.worst,
        )
    return table


def _pairs(study: Study) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("calibrated on")
    labels = [item.label for item in study.sets]
    for label in labels:
        table.add_column(f"agreement on {label}", justify="right")
    cells = {(cell.calibrated_on, cell.measured_on): cell for cell in study.cells}
    for row in labels:
        found = (cells[row, column] for column in labels)
        table.add_row(row, *(f"{100 * cell.agreement:.2f} % ({cell.flips})" for cell in found))
    return table

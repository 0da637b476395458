"""`edge-arm measure`: what FP16 and INT8 cost in accuracy, with an interval and a verdict."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_arm.cli.backends import (
    BackendChoice,
    BackendName,
    CudaName,
    CudaOption,
    DlaOption,
    PrecisionsOption,
    ProviderOption,
    VariantName,
)
from edge_arm.cli.known_for_measuring import ReferenceName

if TYPE_CHECKING:
    from edge_arm.runtime.statistics import Gate


class SplitName(str, Enum):
    """The parts on disk, by the names of `runtime.faces.Split`, whose import needs numpy."""

    TRAIN = "train"
    TEST = "test"


def measure(
    data: Annotated[str, typer.Option(help="Name of the data set, see 'edge-arm data --help'.")],
    root: Annotated[Path | None, typer.Option(help="Its folder, if it was not given before.")] = (
        None
    ),
    bundle: Annotated[Path, typer.Option(help="Models to measure.")] = Path("build/bundle"),
    split: Annotated[SplitName, typer.Option(help="Part of the data set.")] = SplitName.TEST,
    backend: Annotated[
        BackendName, typer.Option(help="What runs the models.")
    ] = BackendName.ONNXRUNTIME,
    provider: ProviderOption = "cpu",
    cuda: CudaOption = CudaName.PYCUDA,
    dla: DlaOption = None,
    precision: PrecisionsOption = None,
    variant: Annotated[
        list[VariantName] | None,
        typer.Option(
            help="Only this INT8 model: main, which TensorRT builds from, or the one for CPUs; may "
            "be given again. Both if absent and a CPU runs them."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces per call.")] = 32,
    max_drop: Annotated[
        float | None,
        typer.Option(metavar="PP", help="Largest accepted drop in percentage points."),
    ] = None,
    max_class_drop: Annotated[
        float | None,
        typer.Option(metavar="PP", help="The same for each expression by itself."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Of the bundle, for FP32 by the paper's protocol; looked for beside the bundle."
        ),
    ] = None,
    reference: Annotated[
        ReferenceName,
        typer.Option(
            help="FP32's answers: recorded in the bundle (auto: if they are there) or run now."
        ),
    ] = ReferenceName.AUTO,
    record_reference: Annotated[
        bool,
        typer.Option(
            "--record-reference", help="Run FP32 and keep its answers in the bundle, for a device."
        ),
    ] = False,
    drop_classes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPRESSION",
            help="Leave out the faces of this expression, such as contempt for a model that does "
            "not know it; may be given again.",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Also run weights and activations rounded by themselves."),
    ] = False,
    exclude_near_duplicates: Annotated[
        bool,
        typer.Option(
            "--exclude-near-duplicates",
            help="Leave out test faces that look like a calibration face.",
        ),
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the report for programs.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write the report for people, with the faces whose answer changed."),
    ] = None,
    contact_sheet: Annotated[
        bool,
        typer.Option(help="Whether the HTML file holds their thumbnails."),
    ] = True,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Write the report for a pull request or a wiki."),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="OLD.json", help="Say what changed since this report."),
    ] = None,
) -> None:
    """Measure what each precision of a bundle loses against FP32, on the same faces.

    Exit status 0 if every precision is shown to lose less than each limit that was given, or none
    was; 1 if one is shown to lose that much, the faces are too few to tell, or an answer depends on
    the faces beside it; 2 on bad input.

    Example: edge-arm measure --data rafdb --max-drop 1.0 --html report.html
    """
    from dataclasses import replace

    from edge_arm.cli.known_for_measuring import known_for_measuring, require_excludable
    from edge_arm.cli.report_table import print_report
    from edge_arm.cli.run_measurement import keep_reference, run_measurement
    from edge_arm.data.label_maps import faces_for_model
    from edge_arm.data.registry import face_index, resolve_root
    from edge_arm.runtime.faces import Split
    from edge_arm.runtime.manifest import open_bundle
    from edge_arm.runtime.measurement import MeasureConfig
    from edge_arm.runtime.predictions import PredictConfig
    from edge_arm.runtime.report.compare import comparison_with, require_same_set
    from edge_arm.runtime.report.html_page import write_html_report
    from edge_arm.runtime.report.json_form import report_to_json, write_json_report
    from edge_arm.runtime.report.markdown_form import write_markdown_report
    from edge_arm.runtime.report.reading import read_older_report
    from edge_arm.runtime.storage import require_result_places

    # Before anything runs: a wrong word must not cost the user a whole measurement.
    config = MeasureConfig(
        predict=PredictConfig(batch_size),
        gate=None if max_drop is None else _gate(max_drop, "--max-drop"),
        class_gate=(
            None if max_class_drop is None else _gate(max_class_drop, "--max-class-drop").max_drop
        ),
        exclude_near_duplicates=exclude_near_duplicates,
    )
    older = None if compare is None else read_older_report(compare)
    written = [path for path in (json, html, markdown) if path is not None]
    require_result_places(written)
    if record_reference:
        reference = _run_now(reference, backend)
    opened = open_bundle(bundle)
    folder = resolve_root(data, root)
    mapped = faces_for_model(
        face_index(data, folder, Split(split.value)),
        opened.manifest.labels,
        drop_classes=drop_classes or (),
    )
    index = mapped.index
    if older is not None:
        require_same_set(older, index)
    known = known_for_measuring(opened, index, folder, checkpoint=checkpoint, reference=reference)
    known = replace(known, missing=(*mapped.notes, *known.missing))
    if exclude_near_duplicates:
        require_excludable(opened, known)
    measurement = run_measurement(
        opened,
        index,
        config,
        known=known,
        runs_on=BackendChoice(
            backend, provider, cuda, dla, tuple(precision or ()), tuple(variant or ())
        ),
        explain=explain,
    )
    report = measurement.report
    if record_reference:
        keep_reference(opened, measurement, index)
    comparison = None if older is None else comparison_with(older, report_to_json(report))
    if json is not None:
        write_json_report(report, json, comparison=comparison)
    if html is not None:
        write_html_report(report, html, comparison=comparison, contact_sheet=contact_sheet)
    if markdown is not None:
        write_markdown_report(report, markdown, comparison=comparison)
    try:
        print_report(report, written=written, comparison=comparison)
    except SystemExit:  # rich's, where the reader of stdout has gone; the verdict stands
        if report.accepted:
            raise
    if not report.accepted:
        raise typer.Exit(1)


def _gate(points: float, option: str) -> Gate:
    from edge_arm.runtime.errors import UsageError
    from edge_arm.runtime.statistics import Gate

    if not 0.0 <= points < 100.0:  # NaN is refused as well
        raise UsageError(
            f"got {option} {points:g}, expected percentage points from 0 to below 100; "
            f"write one point as {option} 1"
        )
    return Gate(points / 100.0)


def _run_now(reference: ReferenceName, backend: BackendName) -> ReferenceName:
    from edge_arm.runtime.errors import UsageError

    if backend is not BackendName.ONNXRUNTIME:
        raise UsageError(
            f"got --record-reference with --backend {backend.value}, expected --backend "
            "onnxruntime: what is kept are the answers of the bundle's FP32 file, on any machine; "
            "leave one of the two out"
        )
    if reference is ReferenceName.RECORDED:
        raise UsageError(
            "got --record-reference with --reference recorded, expected FP32 to run so that its "
            "answers can be kept; leave one of the two out"
        )
    return ReferenceName.RUN

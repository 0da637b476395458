"""`edge-arm measure`: what FP16 and INT8 cost in accuracy, with an interval and a verdict."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_arm.cli.backends import BackendChoice, BackendName, CudaName, opened_backends

if TYPE_CHECKING:
    from edge_arm.runtime.faces import FaceIndex
    from edge_arm.runtime.manifest import Bundle, Precision
    from edge_arm.runtime.predictions import PredictConfig, Predictions
    from edge_arm.runtime.report import Provenance
    from edge_arm.runtime.statistics import Gate


class SplitName(str, Enum):
    """The parts on disk, by the names of `runtime.faces.Split`, whose import needs numpy."""

    TRAIN = "train"
    TEST = "test"


def measure(
    data: Annotated[str, typer.Option(help="Name of the data set: rafdb, folder, synthetic.")],
    root: Annotated[Path | None, typer.Option(help="Its folder, if it was not given before.")] = (
        None
    ),
    bundle: Annotated[Path, typer.Option(help="Models to measure.")] = Path("build/bundle"),
    split: Annotated[SplitName, typer.Option(help="Part of the data set.")] = SplitName.TEST,
    backend: Annotated[
        BackendName, typer.Option(help="What runs the models.")
    ] = BackendName.ONNXRUNTIME,
    provider: Annotated[
        str, typer.Option(help="ONNX Runtime's: cpu, cuda, tensorrt, rtx.")
    ] = "cpu",
    cuda: Annotated[
        CudaName, typer.Option(help="Library that runs TensorRT engines.")
    ] = CudaName.PYCUDA,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces per call.")] = 32,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="PP", help="Largest accepted drop in percentage points; sets the exit status."
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report for programs.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report for people.")] = None,
) -> None:
    """Measure what each precision of a bundle loses against FP32, on the same faces.

    Exit status 0 if there is no --max-drop or every precision is shown to lose less, 1 if one is
    shown to lose that much or the faces are too few to tell, 2 on bad input.

    Example: edge-arm measure --data rafdb --max-drop 1.0 --html report.html
    """
    from edge_arm.cli.report_table import print_report
    from edge_arm.data.registry import face_index, resolve_root
    from edge_arm.runtime.faces import Split
    from edge_arm.runtime.manifest import open_bundle
    from edge_arm.runtime.predictions import PredictConfig
    from edge_arm.runtime.report import report_from_predictions
    from edge_arm.runtime.report_html import write_html_report
    from edge_arm.runtime.report_json import write_json_report
    from edge_arm.runtime.statistics import Verdict

    # Before anything runs: a wrong --max-drop must not cost the user a whole measurement.
    gate = None if max_drop is None else _gate(max_drop)
    opened = open_bundle(bundle)
    index = face_index(data, resolve_root(data, root), Split(split.value)).relabelled(
        opened.manifest.labels
    )
    predictions = _predictions(
        opened, index, BackendChoice(backend, provider, cuda), PredictConfig(batch_size)
    )
    report = report_from_predictions(
        predictions, index, gate=gate, provenance=_provenance(opened, predictions)
    )
    if json is not None:
        write_json_report(report, json)
    if html is not None:
        write_html_report(report, html)
    print_report(report, written=[path for path in (json, html) if path is not None])
    if report.verdict not in (None, Verdict.PASS):
        raise typer.Exit(1)


def _gate(max_drop_pp: float) -> Gate:
    from edge_arm.runtime.errors import UsageError
    from edge_arm.runtime.statistics import Gate

    if not 0.0 <= max_drop_pp < 100.0:  # NaN is refused as well
        raise UsageError(
            f"got --max-drop {max_drop_pp:g}, expected percentage points from 0 to below 100; "
            "write one point as --max-drop 1"
        )
    return Gate(max_drop_pp / 100.0)


def _predictions(
    bundle: Bundle, index: FaceIndex, choice: BackendChoice, config: PredictConfig
) -> dict[Precision, Predictions]:
    from edge_arm.cli.console import progress_bar
    from edge_arm.runtime.predictions import predict_all

    with (
        opened_backends(bundle, choice) as backends,
        progress_bar("measuring", len(index) * len(backends)) as advance,
    ):
        return predict_all(backends, index, config=config, progress=advance)


def _provenance(bundle: Bundle, predictions: dict[Precision, Predictions]) -> Provenance:
    import platform
    import shlex
    import sys
    from datetime import datetime, timezone

    import cv2
    import numpy as np

    from edge_arm import __version__
    from edge_arm.runtime.report import Provenance

    return Provenance(
        command=shlex.join(["edge-arm", *sys.argv[1:]]),
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions={
            "edge-arm": __version__,
            "Python": platform.python_version(),
            "numpy": np.__version__,
            "OpenCV": cv2.__version__,
            **{item.info.name: item.info.version for item in predictions.values()},
        },
        bundle_versions=bundle.manifest.tool_versions,
        source=bundle.manifest.source,
        calibration=bundle.manifest.calibration,
    )

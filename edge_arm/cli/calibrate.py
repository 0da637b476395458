"""`edge-arm calibrate`: adds an INT8 model to a bundle."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class MethodName(str, Enum):
    """The ways to choose a range, by the names of `calibration.ranges.Method`."""

    ENTROPY = "entropy"
    MAX = "max"
    PERCENTILE = "percentile"
    MSE = "mse"


def calibrate(
    data: Annotated[str, typer.Option(help="Name of the data set: rafdb, folder, synthetic.")],
    root: Annotated[Path | None, typer.Option(help="Its folder, if it was not given before.")] = (
        None
    ),
    bundle: Annotated[Path, typer.Option(help="The bundle to add INT8 to.")] = Path("build/bundle"),
    images: Annotated[int, typer.Option(help="Calibration faces from the train split.")] = 512,
    method: Annotated[
        MethodName, typer.Option(help="How a range is chosen from what the faces did.")
    ] = MethodName.ENTROPY,
    seed: Annotated[int, typer.Option(help="Of the draw of the faces.")] = 0,
) -> None:
    """Quantize the FP32 model of a bundle to INT8, with ranges from training faces.

    Example: edge-arm calibrate --data rafdb --root data/rafdb
    """
    from edge_arm.calibration.int8_from_bundle import CalibrationConfig, int8_from_bundle
    from edge_arm.calibration.ranges import Method
    from edge_arm.cli.console import progress_bar
    from edge_arm.data.registry import face_index, resolve_root
    from edge_arm.runtime.faces import Split
    from edge_arm.runtime.manifest import Precision, open_bundle

    config = CalibrationConfig(num_images=images, method=Method(method.value), seed=seed)
    source = open_bundle(bundle)
    train_index = face_index(data, resolve_root(data, root), Split.TRAIN)
    with progress_bar("calibrate, two passes", config.num_steps) as advance:
        result = int8_from_bundle(source, train_index, config, advance)

    artifact = result.manifest.artifact(Precision.INT8)
    rows = {
        "method": config.method.value,
        "images": f"{config.num_images} of {len(train_index)} training faces",
        "agreement": f"{100 * artifact.checks['calibration_agreement']:.2f} % "
        "with FP32 on the calibration faces (measure the drop on test faces)",
        "weights": f"{artifact.checks['weight_bytes'] / 1e6:.1f} MB in an engine",
        "size": f"{artifact.size_bytes / 1e6:.1f} MB (the file keeps FP32 weights with Q/DQ)",
        "float": ", ".join(artifact.float_nodes) or "nothing",
        "path": str(result.path / artifact.file),
    }
    for name, value in rows.items():
        typer.echo(f"{name:<10} {value}")

"""Opens what a measurement runs, runs it with a progress bar, and keeps FP32's answers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_arm.cli.backends import BackendChoice, opened_backends, opened_variants

if TYPE_CHECKING:
    from edge_arm.runtime.faces import FaceIndex
    from edge_arm.runtime.manifest import Bundle
    from edge_arm.runtime.measurement import Known, MeasureConfig, Measurement


def run_measurement(
    bundle: Bundle,
    index: FaceIndex,
    config: MeasureConfig,
    *,
    known: Known,
    runs_on: BackendChoice,
    explain: bool,
) -> Measurement:
    """Measure the models of a bundle.

    Args:
        bundle: whose models.
        index: the faces.
        config: how.
        known: what else there is; with recorded answers FP32 does not run.
        runs_on: what runs the models.
        explain: also run one source of error at a time.

    Raises:
        BundleError: if there is no FP32, neither to run nor recorded.
        EdgeArmError: see `opened_backends`, `explaining_models`, `measurement_from_models`.
    """
    from edge_arm.cli.console import progress_bar
    from edge_arm.cli.explaining_models import explaining_models
    from edge_arm.cli.provenance import provenance_of
    from edge_arm.runtime.errors import BundleError
    from edge_arm.runtime.measurement import ModelsToMeasure, measurement_from_models
    from edge_arm.runtime.report.report import REFERENCE

    with ExitStack() as stack:
        opened = stack.enter_context(opened_backends(bundle, runs_on))
        backends = {
            precision: model
            for precision, model in opened.items()
            if known.recorded is None or precision is not REFERENCE
        }
        if known.recorded is None and REFERENCE not in opened:
            raise BundleError(
                f"there are {', '.join(item.value for item in opened)} engines for this device and "
                "no fp32 to measure them against, expected its answers in the bundle or an engine; "
                "run 'edge-arm measure --data NAME --record-reference' on the workstation and copy "
                "the bundle again, or 'edge-arm build --precision fp32' here"
            )
        as_file = runs_on.runs_the_file_itself
        sources = (
            stack.enter_context(explaining_models(bundle, ships_as_file=as_file)) if explain else {}
        )
        variants = stack.enter_context(opened_variants(bundle, runs_on))
        models = ModelsToMeasure(backends, sources, variants)
        advance = stack.enter_context(progress_bar("measuring", len(index) * len(models)))
        return measurement_from_models(
            models,
            index,
            config,
            known=replace(known, missing=(*runs_on.left_out(bundle), *known.missing)),
            provenance=lambda predictions: provenance_of(bundle, predictions),
            progress=advance,
        )


def keep_reference(bundle: Bundle, measurement: Measurement, index: FaceIndex) -> None:
    """Put FP32's answers into the bundle.

    Args:
        bundle: whose FP32 ran.
        measurement: of all faces of the index.
        index: the faces.
    """
    from edge_arm.runtime.reference_predictions import record_reference
    from edge_arm.runtime.report.report import REFERENCE

    record_reference(
        bundle,
        measurement.predictions[REFERENCE],
        measurement.fingerprints,
        index=index,
        tool_versions=dict(measurement.report.provenance.versions),
    )

"""`edge-arm build`: an engine from the bundle, on the device that will run it."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_arm.cli.backends import CudaName, PrecisionName

if TYPE_CHECKING:
    from edge_arm.runtime.manifest import Bundle, Precision

INTERRUPTED = 130
"""Exit status of an edge-arm that was stopped by Ctrl-C."""

_log = logging.getLogger(__name__)


def build(
    precision: Annotated[PrecisionName, typer.Option(help="Of the heavy layers.")],
    bundle: Annotated[Path, typer.Option(help="The bundle to build from, and into.")] = Path(
        "build/bundle"
    ),
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="MIN,OPT,MAX", help="Batch sizes; 1,8,32 if absent, on a DLA one: 1,1,1."
        ),
    ] = None,
    workspace: Annotated[
        int | None, typer.Option(metavar="MIB", help="Limit of a layer's scratch memory.")
    ] = None,
    builder_level: Annotated[
        int | None, typer.Option(metavar="N", help="0 builds quickest, 5 searches longest.")
    ] = None,
    dla: Annotated[
        int | None, typer.Option(metavar="CORE", help="Run on this DLA core (JetPack 6).")
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Kernel timings of earlier builds.")
    ] = None,
    rebuild: Annotated[
        int, typer.Option(metavar="N", help="Build N times, keep the fastest accepted engine.")
    ] = 1,
    cuda: Annotated[CudaName, typer.Option(help="Library that calls CUDA.")] = CudaName.PYCUDA,
    json: Annotated[Path | None, typer.Option(help="Write the record for programs.")] = None,
) -> None:
    """Build a TensorRT engine on this device and let it answer the golden faces.

    An engine that answers wrongly is removed. What was chosen, what each layer runs in and how
    the engine was accepted is printed, and kept beside the engine.

    Example: edge-arm build --precision int8
    """
    from edge_arm.cli.engine_table import print_engine
    from edge_arm.export.engine_config import BuildConfig, batch_from_text
    from edge_arm.export.engine_from_bundle import engine_from_bundle, plan_path_of
    from edge_arm.runtime.engine_record import engine_record_to_json
    from edge_arm.runtime.manifest import Precision, open_bundle
    from edge_arm.runtime.storage import require_result_places, write_json

    config = BuildConfig(
        precision=Precision(precision.value),
        batch=None if batch is None else batch_from_text(batch),
        workspace_mib=workspace,
        builder_level=builder_level,
        dla_core=dla,
        timing_cache=timing_cache,
        builds=rebuild,
        cuda=cuda.value,
    )
    # A build takes minutes on a Jetson: no wrong name is found out after it.
    require_result_places([] if json is None else [json])
    opened = open_bundle(bundle)
    record = engine_from_bundle(opened, config)
    path = plan_path_of(opened, record)
    if json is not None:
        write_json(json, {**engine_record_to_json(record), "plan": str(path)})
    print_engine(record, path)


def build_if_possible(bundle: Bundle, precision: Precision) -> None:
    """Build an engine where TensorRT and a GPU are, and say in one line if they are not.

    The build is a process of its own: it begins with all the memory, and its TensorRT has our log.
    In the process of an export Model Optimizer may have given TensorRT a log already, and TensorRT
    heeds no second one.

    Args:
        bundle: that has the model of this precision.
        precision: of the engine.

    Raises:
        EngineError: if TensorRT and a GPU are here and the build fails all the same; the reason is
            on stderr by then.
    """
    from edge_arm.runtime.cuda_device import CUDA_LIBRARIES
    from edge_arm.runtime.engine_choice import build_command
    from edge_arm.runtime.errors import BackendUnavailableError, EngineError
    from edge_arm.runtime.this_device import this_device

    command = build_command(bundle, precision, None)
    try:
        with this_device(CUDA_LIBRARIES[0]):
            pass
    except BackendUnavailableError as error:
        _log.info("no engine was built here, on the device run '%s'; because %s", command, error)
        return
    _log.info("TensorRT and a GPU are here: running '%s'", command)
    words = ["build", "--bundle", str(bundle.path), "--precision", precision.value]
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "edge_arm", *words], check=False)
    if done.returncode == -signal.SIGINT or done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode != 0:
        raise EngineError(
            f"the engine was not built, for the reason above (status {done.returncode}); the "
            f"bundle {str(bundle.path)!r} is complete without it: run '{command}' later"
        )

"""`edge-arm serve-triton`: a model repository for NVIDIA's Triton server, from a bundle."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edge_arm.export.triton_config import ServedModel


def serve_triton(
    out: Annotated[Path, typer.Option(help="New folder for the model repository.")],
    bundle: Annotated[Path, typer.Option(help="The bundle to serve.")] = Path("build/bundle"),
    max_batch: Annotated[
        int, typer.Option(metavar="N", help="Faces in one batch; an engine may take fewer.")
    ] = 32,
    delay_us: Annotated[
        int, typer.Option(metavar="US", help="How long a request may wait for others.")
    ] = 1000,
    instances: Annotated[
        int, typer.Option(metavar="N", help="Instances of each model on each device.")
    ] = 1,
    cpu: Annotated[bool, typer.Option("--cpu", help="The server has no GPU.")] = False,
    accelerate: Annotated[
        bool,
        typer.Option(
            "--accelerate",
            help="Hand FP32 and FP16 to TensorRT inside ONNX Runtime, as INT8 always is.",
        ),
    ] = False,
    engines: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Folder of the server's engines in the bundle, where it has several; or none.",
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write what is served for programs.")] = None,
) -> None:
    """Write a Triton model repository: each precision with batching, warm-up and labels.

    A precision that has an engine is served by it, the others by ONNX Runtime. The client resizes
    faces and applies the temperature as the model's parameters say;
    'python -m edge_arm.runtime.triton_client --help' is one.

    Example: edge-arm serve-triton --bundle build/bundle --out models
    """
    from edge_arm.export.triton_from_bundle import triton_from_bundle
    from edge_arm.export.triton_models import ServeConfig
    from edge_arm.runtime.manifest import open_bundle
    from edge_arm.runtime.storage import require_result_places, write_json

    config = ServeConfig(
        max_batch=max_batch,
        delay_us=delay_us,
        instances=instances,
        cpu_only=cpu,
        accelerate=accelerate,
        engines=engines,
    )
    if json is not None:
        require_result_places([json])
        _require_two_places(out, json)
    served = triton_from_bundle(open_bundle(bundle), config, out)
    # Before the first line: a reader such as head may close the pipe.
    if json is not None:
        write_json(
            json,
            {"models": [_facts(model) for model in served.models], "left_out": served.left_out},
        )
    for model in served.models:
        typer.echo(_line(model))
    for sentence in served.left_out:
        typer.echo(sentence)
    if bound := _bound_to(served.models):
        typer.echo(bound)
    models = "1 model" if len(served.models) == 1 else f"{len(served.models)} models"
    typer.echo(f"{models} in {out}; on the server run")
    typer.echo(f"  tritonserver --model-repository={shlex.quote(str(out.absolute()))}")


def _require_two_places(out: Path, json: Path) -> None:
    from edge_arm.runtime.errors import UsageError

    if json.resolve() == out.resolve():
        raise UsageError(
            f"got {str(out)!r} for the repository and for --json, expected a folder and a file; "
            "choose another name for one of them"
        )


def _line(model: ServedModel) -> str:
    by = model.back_end.value[0]
    if model.accelerated:
        by += " with tensorrt, which builds when the server starts"
    place = "CPU" if model.device.value == "KIND_CPU" else "GPU"
    if model.dla_core is not None:
        place = f"DLA {model.dla_core}"
    return f"{model.name:<14} {place}, up to {model.max_batch} faces, by {by}"


def _bound_to(models: tuple[ServedModel, ...]) -> str:
    for model in models:
        if (version := model.facts.get("edge_arm.tensorrt")) is not None:
            return (
                f"The engines load on {model.facts['edge_arm.gpu']!r} with a Triton that has "
                f"TensorRT {version}, and on nothing else."
            )
    return ""


def _facts(model: ServedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "back_end": model.back_end.value[0],
        "device": model.device.value,
        "precision": model.contract.precision.value,
        "model_sha256": model.contract.model_sha256,
        "temperature": model.contract.temperature,
        "max_batch": model.max_batch,
        "accelerated": model.accelerated,
        "parameters": dict(model.facts),
    }

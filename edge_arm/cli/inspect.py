"""`edge-arm inspect`: what a bundle holds, after every hash in it was checked.

What TensorRT has against a model file is in `inspect_model.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edge_arm.runtime.manifest import Manifest


def inspect(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle, or an ONNX file.")] = Path(
        "build/bundle"
    ),
    tensorrt: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Tell what this TensorRT (8.6, 10.3, 10.13, 10.16, 11.1) would refuse in the "
            "file, or in the bundle's models, or run badly.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show a bundle's labels, input contract, models, checks, calibration and engines.

    Every file is read and its hash compared with the manifest first; one changed byte is an error.
    An ONNX file, anyone's, is held against TensorRT's documented rules, all versions on record
    unless one is named; the exit status is 1 if one of these versions refuses it.

    Example: edge-arm inspect build/bundle
    """
    from edge_arm.cli.engine_table import engines_of, print_engines, with_engines
    from edge_arm.cli.face_framing import framing_text
    from edge_arm.cli.inspect_model import inspect_model, inspect_models_of
    from edge_arm.runtime.detection.stored_framing import stored_framings
    from edge_arm.runtime.manifest import MANIFEST_NAME, open_bundle

    if bundle.is_file() or bundle.suffix == ".onnx":
        inspect_model(bundle, tensorrt=tensorrt, json=json)
        return
    opened = open_bundle(bundle)
    if tensorrt is not None:
        inspect_models_of(opened, tensorrt=tensorrt, json=json)
        return
    names = sorted({*opened.manifest.files, *(item.file for item in opened.manifest.artifacts)})
    for name in names:
        opened.verified(name)
    engines = engines_of(opened)
    if json:
        text = (bundle / MANIFEST_NAME).read_text(encoding="utf-8").rstrip("\n")
        typer.echo(with_engines(text, engines) if engines else text)
        return
    _print_manifest(opened.manifest)
    for framing in stored_framings(opened):
        typer.echo(f"{framing.detector} box: {framing_text(framing)}")
    if engines:
        print_engines(opened, engines)
    typer.echo(f"{len(names)} files in {bundle}, all with the SHA-256 that the manifest names")


def _print_manifest(manifest: Manifest) -> None:
    from rich.console import Console
    from rich.table import Table

    from edge_arm.runtime.report.text import precision_name, size_text

    console = Console(highlight=False, markup=False)
    spec = manifest.preprocess
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("labels", f"{', '.join(manifest.labels.classes)} ({manifest.labels.name})")
    facts.add_row(
        "input", f"uint8 (N, {spec.size}, {spec.size}, 3), RGB, {spec.interpolation.value}"
    )
    facts.add_row("output", f"float32 logits (N, {len(manifest.labels)})")
    for name, value in _flat(manifest.source):
        facts.add_row(f"source {name}", value)
    for name, value in _flat(manifest.calibration or {}):
        facts.add_row(f"calibration {name}", value)
    facts.add_row(
        "written by",
        ", ".join(f"{name} {version}" for name, version in manifest.tool_versions.items()),
    )
    console.print(facts)

    models = Table()
    for name in ("model", "precision", "variant", "opset", "size", "SHA-256", "FP32 nodes"):
        models.add_column(
            name, justify="right" if name in ("opset", "size", "FP32 nodes") else "left"
        )
    for item in manifest.artifacts:
        models.add_row(
            item.file,
            precision_name(item.precision),
            item.variant,
            str(item.opset),
            size_text(item.size_bytes),
            item.sha256[:12],
            str(len(item.float_nodes)),
        )
    console.print(models)

    checks = Table()
    for name in ("model", "check", "figure"):
        checks.add_column(name, justify="right" if name == "figure" else "left", overflow="fold")
    for item in manifest.artifacts:
        for name, figure in item.checks.items():
            checks.add_row(item.file, name, f"{figure:.4g}")
    if checks.row_count:
        console.print(checks)


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested figures as "name.part" and text; a list of faces as long as a set by its length."""
    rows = []
    for name, item in value.items():
        if isinstance(item, dict):
            rows += _flat(item, f"{prefix}{name}.")
        elif isinstance(item, list) and len(item) > 8:
            rows.append((f"{prefix}{name}", f"{len(item)} entries"))
        else:
            rows.append(
                (f"{prefix}{name}", f"{item:.6g}" if isinstance(item, float) else str(item))
            )
    return rows

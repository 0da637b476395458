"""`edge-arm calibrate`: adds INT8 models to a bundle."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_arm.cli.calibrate_search import LayerOptions
from edge_arm.cli.calibrate_study import StudyOptions

if TYPE_CHECKING:
    from edge_arm.calibration.comparison import Comparison
    from edge_arm.calibration.int8_from_bundle import CalibrationConfig
    from edge_arm.calibration.int8_from_cache import FromCache
    from edge_arm.runtime.manifest import Bundle
    from edge_arm.runtime.trained_ranges import TrainedRanges


class BalanceName(str, Enum):
    """The ways to share the faces among the classes, by `calibration.sample.Balance`."""

    STRATIFIED = "stratified"
    BALANCED = "balanced"


class RoundingName(str, Enum):
    """The ways to round weights, by `calibration.prepared_model.Rounding`."""

    ADAPTIVE = "adaptive"
    NEAREST = "nearest"


class MethodName(str, Enum):
    """The ways to choose a range: one of `calibration.ranges.Method`, or the best of them."""

    AUTO = "auto"
    ENTROPY = "entropy"
    MAX = "max"
    PERCENTILE = "percentile"
    MSE = "mse"


def calibrate(
    data: Annotated[
        str | None, typer.Option(help="Name of the data set, see 'edge-arm data --help'.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Its folder, if it was not given before.")] = (
        None
    ),
    bundle: Annotated[Path, typer.Option(help="The bundle to add INT8 to.")] = Path("build/bundle"),
    images: Annotated[int, typer.Option(help="Calibration faces from the train split.")] = 512,
    method: Annotated[
        MethodName | None,
        typer.Option(
            help="How a range is chosen from what the faces did; by default auto, which takes what "
            "agrees best with FP32 on training faces that do not calibrate, or where "
            "'train --qat' learned ranges together with the weights, those."
        ),
    ] = None,
    rounding: Annotated[
        RoundingName,
        typer.Option(
            help="adaptive: each weight rounded for what its layer reads, biases corrected; "
            "nearest: each by itself, faster."
        ),
    ] = RoundingName.ADAPTIVE,
    equalize: Annotated[
        bool,
        typer.Option(
            help="Scale channels to like ranges first; the model answers as before, and int8 "
            "loses less."
        ),
    ] = True,
    balance: Annotated[
        BalanceName,
        typer.Option(
            help="stratified: classes as frequent as in the data; balanced: the same number of "
            "each, small classes whole and the others filling up."
        ),
    ] = BalanceName.STRATIFIED,
    seed: Annotated[int, typer.Option(help="Of the draw of the faces.")] = 0,
    sensitivity: Annotated[
        bool | None,
        typer.Option(
            help="Measure what each layer costs in int8, on 256 training faces that do not "
            "calibrate; by default where some are left."
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="PP",
            help="Keep the fewest layers in FP16 with which the drop is shown to stay below so "
            "many percentage points, on training faces that do not calibrate.",
        ),
    ] = None,
    search_faces: Annotated[
        int | None,
        typer.Option(help="How many such faces; by default as many as the drop asks for."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page about the layers, or about the study, with plots."),
    ] = None,
    study: Annotated[
        bool,
        typer.Option(
            "--study",
            help="Calibrate nothing; find how many faces are needed, by calibrations with 16 to "
            "1024 of them, each many times.",
        ),
    ] = False,
    study_data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=ROOT",
            help="With --study: one more data set, so that calibrations on each are measured on "
            "all. Repeat it for more.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="With --study: write its figures to this file.")
    ] = None,
    from_cache: Annotated[
        Path | None,
        typer.Option(
            help="Take the ranges from this TensorRT calibration cache; with --data it is measured "
            "beside our own calibration, on training faces that calibrate neither."
        ),
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also learn how this detector (YuNet .onnx, cascade .xml) frames training faces, "
            "so that 'edge-arm run --detector FILE' crops faces alike.",
        ),
    ] = None,
) -> None:
    """Quantize the FP32 model of a bundle to INT8, with ranges from training faces.

    Writes model.int8.onnx, model.int8.typed.onnx (for strongly typed TensorRT networks),
    model.int8.cpu.onnx (for ONNX Runtime and OpenVINO on CPUs), calibration.json, and
    calibration.cache (for TensorRT's implicit INT8, on a DLA). Where TensorRT and a GPU are
    present, the INT8 engine is built too.

    Exit status 1 if --max-drop is not shown to be met: all layers are in int8 then.

    Example: edge-arm calibrate --data rafdb --root data/rafdb --max-drop 0.5
    """
    from edge_arm.calibration.calibrated_model import Recipe
    from edge_arm.calibration.int8_from_bundle import CalibrationConfig
    from edge_arm.calibration.prepared_model import Rounding
    from edge_arm.calibration.ranges import Method
    from edge_arm.calibration.sample import Balance
    from edge_arm.calibration.study.study import StudyConfig
    from edge_arm.cli.build import build_if_possible
    from edge_arm.cli.face_framing import check_detector
    from edge_arm.runtime.errors import UsageError
    from edge_arm.runtime.manifest import Precision, open_bundle
    from edge_arm.runtime.trained_ranges import trained_ranges

    if data is None and (from_cache is None or root is not None):
        raise UsageError(
            f"got {'no --data' if root is None else '--root without --data'}, expected the data "
            "set that the calibration faces come from; write --data rafdb, or --from-cache FILE "
            "to take the ranges from a TensorRT calibration cache"
        )
    source = open_bundle(bundle)
    config = CalibrationConfig(
        num_images=images,
        recipe=Recipe(
            method=None if method in (None, MethodName.AUTO) else Method(method.value),
            rounding=Rounding(rounding.value),
            equalize=equalize,
        ),
        seed=seed,
        balance=Balance(balance.value),
        trained=trained_ranges(source) if method is None else None,
    )
    search = LayerOptions(sensitivity, max_drop, search_faces, html)
    search.check(from_cache=from_cache is not None)
    studying = StudyOptions(study, tuple(study_data or ()), json, html)
    studying.check(
        {
            "--from-cache": from_cache,
            "--sensitivity": sensitivity,
            "--max-drop": max_drop,
            "--search-faces": search_faces,
        }
    )
    source = open_bundle(bundle)
    check_detector(detector, from_faces=data is not None and from_cache is None and not study)
    if study and data is not None:
        what = StudyConfig(images, config.recipe.method, seed=seed, balance=config.balance)
        studying.run(source, data, root, config=what)
        return
    accepted = True
    if from_cache is not None:
        _from_cache(source, from_cache, data, root, config)
    elif data is not None:
        accepted = _from_faces(source, data, root, config, search, detector=detector)
    build_if_possible(open_bundle(bundle), Precision.INT8)
    if not accepted:
        raise typer.Exit(1)


def _from_faces(
    source: Bundle,
    data: str,
    root: Path | None,
    config: CalibrationConfig,
    search: LayerOptions,
    *,
    detector: Path | None,
) -> bool:
    from edge_arm.calibration.int8_from_bundle import int8_from_bundle
    from edge_arm.cli.console import progress_bar
    from edge_arm.cli.face_framing import with_framings
    from edge_arm.cli.faces_to_measure import faces_to_measure
    from edge_arm.cli.temperatures import with_temperatures
    from edge_arm.data.registry import face_index, resolve_root
    from edge_arm.data.training_parts import own_validation_part
    from edge_arm.runtime.faces import Split
    from edge_arm.runtime.manifest import Precision

    folder = resolve_root(data, root)
    train_index = face_index(data, folder, Split.TRAIN)
    own_validation = own_validation_part(data, folder)
    test_index = faces_to_measure(data, folder)
    searching = search.started(source, train_index, config)
    with progress_bar("calibrate", config.num_steps) as advance:
        result = int8_from_bundle(
            source,
            train_index,
            config,
            advance,
            test_index=test_index,
            choose_plan=None if searching is None else searching.choose,
        )
    if searching is not None:
        result = searching.keep(result)
    result = with_temperatures(result, train_index, own_validation)
    result, framing_rows = with_framings(result, train_index, detector)
    artifact = result.manifest.artifact(Precision.INT8)
    _print_rows(
        {
            **_recipe_rows(result, config),
            "images": f"{config.num_images} of {len(train_index)} training faces",
            "agreement": f"{100 * artifact.checks['calibration_agreement']:.2f} % "
            "with FP32 on the calibration faces (measure the drop on test faces)",
            **_model_rows(result),
            **framing_rows,
        }
    )
    return True if searching is None else search.reported(searching.result)


def _method(config: CalibrationConfig) -> str:
    method = config.used_recipe.method
    return "auto" if method is None else method.value


def _recipe_rows(result: Bundle, config: CalibrationConfig) -> dict[str, str]:
    if config.trained is not None:
        return {"method": _trained(config.trained)}
    made = result.manifest.calibration or {}
    rows = {"method": str(made["method"])}
    if choice := made["choice"]:
        second = choice["candidates"][1]
        rows["method"] += (
            f", closest to FP32 on {choice['faces']} training faces that did not calibrate: logit "
            f"error {choice['candidates'][0]['logit_error']:.3g}; runner-up {second['method']}"
            f"{'' if second['equalized'] == made['equalized'] else _other(second)}, "
            f"{second['logit_error']:.3g}"
        )
        exceptions = choice["exceptions"]
        if taken := len(exceptions["tensors"]):
            rows["method"] += (
                f"; {taken} range{'s' if taken > 1 else ''} of {exceptions['method']} taken: "
                f"{choice['logit_error']:.3g}"
            )
    channels = "channels equalized" if made["equalized"] else "channels as they are"
    rows["rounding"] = f"{made['rounding']}, {channels}"
    if choice and (adaptive := choice["adaptive_rounding"]) is not None:
        before, after = choice["logit_error"], adaptive["logit_error"]
        rows["rounding"] += f"; logit error {before:.3g} to nearest, {after:.3g} adaptive"
    return rows


def _other(candidate: dict[str, Any]) -> str:
    return " with channels equalized" if candidate["equalized"] else " with channels as they are"


def _trained(ranges: TrainedRanges) -> str:
    epoch, epochs = (ranges.training.get(name) for name in ("epoch", "epochs"))
    return f"trained: {len(ranges.amax)} ranges of 'train --qat', epoch {epoch} of {epochs}"


def _from_cache(
    source: Bundle, cache: Path, data: str | None, root: Path | None, config: CalibrationConfig
) -> None:
    from edge_arm.calibration.int8_from_cache import LabelledFaces, int8_from_cache
    from edge_arm.cli.console import progress_bar
    from edge_arm.data.registry import face_index, resolve_root
    from edge_arm.runtime.faces import Split

    if data is None:
        made = int8_from_cache(source, cache)
    else:
        train_index = face_index(data, resolve_root(data, root), Split.TRAIN)
        labelled = LabelledFaces(train_index, config)
        with progress_bar("calibrate and compare", labelled.num_steps) as advance:
            made = int8_from_cache(source, cache, labelled, advance)
    _print_rows({**_cache_rows(made), **_model_rows(made.bundle)})
    if made.comparison is None:
        typer.echo(
            "accuracy was not measured: give --data NAME to measure this cache beside our own "
            "calibration, and run 'edge-arm measure' for the drop on test faces"
        )
    else:
        _print_comparison(made.comparison, config)


def _cache_rows(made: FromCache) -> dict[str, str]:
    rows = {"cache": f"{made.cache.header}, {len(made.cache.scales)} tensors"}
    if made.unknown:
        shown = ", ".join(map(repr, made.unknown[:3]))
        rows["not used"] = (
            f"{len(made.unknown)} names that are no tensors of this model: {shown}"
            f"{', ...' if len(made.unknown) > 3 else ''}"
        )
    if made.not_implicit:
        rows["on a DLA"] = (
            f"{len(made.not_implicit)} tensors without a scale stay in FP16: "
            f"{', '.join(made.not_implicit[:3])}{', ...' if len(made.not_implicit) > 3 else ''}"
        )
    return rows


def _model_rows(bundle: Bundle) -> dict[str, str]:
    from edge_arm.runtime.manifest import CPU_VARIANT, Precision

    main = bundle.manifest.artifact(Precision.INT8)
    typed = bundle.manifest.artifact(Precision.INT8, "typed")
    cpu = bundle.manifest.artifact(Precision.INT8, CPU_VARIANT)
    return {
        "weights": f"{main.checks['weight_bytes'] / 1e6:.1f} MB in an engine",
        "size": f"{main.size_bytes / 1e6:.1f} MB (the file keeps FP32 weights with Q/DQ)",
        "float": ", ".join(main.float_nodes) or "nothing",
        "typed": f"{typed.size_bytes / 1e6:.1f} MB, opset {typed.opset}, float part FP16, for "
        f"TensorRT 10.12 and newer: {bundle.path / typed.file}",
        "cpu": f"{cpu.size_bytes / 1e6:.1f} MB, unsigned activations, for ONNX Runtime and "
        f"OpenVINO on CPUs; same answers as the signed form on "
        f"{100 * cpu.checks['int8_main_agreement']:.2f} % of the faces: {bundle.path / cpu.file}",
        "path": str(bundle.path / main.file),
    }


def _print_rows(rows: dict[str, str]) -> None:
    for name, value in rows.items():
        typer.echo(f"{name:<10} {value}")


def _print_comparison(comparison: Comparison, config: CalibrationConfig) -> None:
    from rich.console import Console
    from rich.table import Table

    from edge_arm.runtime.report.text import limits_pp, percent, signed_pp

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("accuracy", "drop pp", "95 % interval", "agreement", "flips", "lost", "won"):
        table.add_column(name, justify="right")
    table.add_row("FP32", percent(comparison.fp32_accuracy))
    for score in comparison.scores:
        table.add_row(
            score.name,
            percent(score.accuracy),
            signed_pp(100 * (comparison.fp32_accuracy - score.accuracy)),
            limits_pp((100 * score.drop.low, 100 * score.drop.high)),
            percent(score.agreement),
            *(str(count) for count in (score.flips, score.lost, score.won)),
        )
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe or a log has no width that figures would have to fit
        console.width = max(console.width, 120)
    console.print(table)
    console.print(
        f"on {len(comparison.faces)} training faces that calibrated neither (all models have "
        f"trained on them: compare the rows, and measure the drop on test faces); ours: "
        f"{_method(config)}, {config.num_images} faces, seed {config.seed}",
        soft_wrap=True,
    )

"""`edge-arm run`: labelled faces from pictures, video and cameras."""

from __future__ import annotations

from contextlib import ExitStack, closing
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_arm.cli.backends import (
    BackendName,
    CudaName,
    CudaOption,
    PrecisionName,
    VariantName,
)
from edge_arm.cli.watching_run import summary_line, terminated_like_interrupted, watched
from edge_arm.runtime.errors import UsageError

if TYPE_CHECKING:
    from edge_arm.runtime.live.frame_faces import FaceFinding
    from edge_arm.runtime.manifest import Bundle
    from edge_arm.runtime.sources.source_config import SourceConfig
    from edge_arm.runtime.tracking.smoothing import SmoothingConfig

STDOUT = "-"

# \b keeps click from filling the lines that follow, up to the next empty one.
EXAMPLES = """\b
Examples:
  edge-arm run photo.jpg
  edge-arm run photos/ --annotate build/annotated
  edge-arm run clip.mp4 --annotate build/annotated.mp4 --json-lines build/clip.jsonl
  edge-arm run camera:0 --show
  edge-arm run rtsp://192.168.1.20/stream --smooth 1 > build/stream.jsonl
  edge-arm run faces/ --faces aligned --precision int8

\b
A CSI camera of a Jetson:
  edge-arm run 'gst:nvarguscamerasrc sensor-id=0 !
    video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1 ! nvvidconv'
"""


class FacesName(str, Enum):
    """What the pictures show."""

    FIND = "find"
    ALIGNED = "aligned"


def run(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="A picture, a folder, a quoted pattern, a video file, camera:0, rtsp://..., "
            "http://... or 'gst:PIPELINE'; several are run one after the other.",
        ),
    ],
    bundle: Annotated[Path, typer.Option(help="Whose model answers.")] = Path("build/bundle"),
    precision: Annotated[
        PrecisionName | None, typer.Option(help="Of the model; what suits this machine if absent.")
    ] = None,
    variant: Annotated[
        VariantName | None, typer.Option(help="INT8 for TensorRT (main) or for CPUs.")
    ] = None,
    backend: Annotated[
        BackendName | None, typer.Option(help="What runs the model; what suits it if absent.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="ONNX Runtime's: cpu, cuda, tensorrt, rtx.")
    ] = None,
    cuda: CudaOption = CudaName.PYCUDA,
    dla: Annotated[
        int | None, typer.Option(min=0, metavar="CORE", help="The engine of this DLA core.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Of the CPU, for the model.")
    ] = None,
    faces: Annotated[
        FacesName, typer.Option(help="Find faces, or take each picture as one aligned face.")
    ] = FacesName.FIND,
    detector: Annotated[
        str,
        typer.Option(
            metavar="haar|FILE",
            help="What finds faces: haar, which is always here, or YuNet's .onnx file, which finds "
            "more of them.",
        ),
    ] = "haar",
    min_face: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Smallest face to find, in pixels (60) or of the longer side (5%)."
        ),
    ] = None,
    look_at: Annotated[
        str,
        typer.Option(
            metavar="PIXELS",
            help="Look for faces in a picture reduced to this longer side, or full: small faces in "
            "large pictures need it, and time.",
        ),
    ] = "640",
    smooth: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Time constant of the labels of a video."),
    ] = None,
    hysteresis: Annotated[
        float | None,
        typer.Option(metavar="LEAD", help="In probability, before a label changes."),
    ] = None,
    smoothing: Annotated[
        bool, typer.Option("--smoothing/--no-smoothing", help="Each frame by itself, or not.")
    ] = True,
    annotate: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write a picture, a folder or a video with the faces."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show them in a window; q ends.")] = False,
    json_lines: Annotated[
        str, typer.Option(metavar="FILE|-", help="Where the JSON lines go; - is stdout.")
    ] = STDOUT,
    max_frames: Annotated[
        int | None, typer.Option(metavar="N", help="End after so many frames.")
    ] = None,
    give_up: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long a lost camera or stream is opened again."),
    ] = None,
    max_pixels: Annotated[
        int | None, typer.Option(metavar="N", help="A larger picture is not decoded.")
    ] = None,
) -> int:
    """Find the faces in pictures, video or a camera's stream and label their expressions.

    One JSON line for each frame goes to stdout: every face with its box, label, probabilities and,
    in video, the number of its track. Which model answers, and why, is said on stderr.

    Exit status 0 if every source gave frames, 2 if one gave none or on other bad input, 130 after
    Ctrl-C (what was written until then is complete).
    """
    from edge_arm.runtime.classifier.opening import classifier_from_bundle
    from edge_arm.runtime.classifier.wanted_model import WantedModel
    from edge_arm.runtime.live.live_run import RunConfig, run_sources
    from edge_arm.runtime.live.pipeline import PipelineConfig
    from edge_arm.runtime.live.run_header import run_header
    from edge_arm.runtime.live.source_openers import source_openers
    from edge_arm.runtime.manifest import Precision, open_bundle

    smoothed = _smoothing(smooth, hysteresis, on=smoothing)
    lines = None if json_lines == STDOUT else Path(json_lines)
    _refuse_overwriting(lines, annotate, source)
    wanted = WantedModel(
        precision=None if precision is None else Precision(precision.value),
        variant=None if variant is None else variant.value,
        backend=None if backend is None else backend.value,
        provider=provider,
        cuda=cuda.value,
        dla_core=dla,
        threads=threads,
    )
    opened = open_bundle(bundle)
    find = None if faces is FacesName.ALIGNED else _finding(opened, detector, min_face, look_at)
    openers = source_openers(source, _source_config(give_up, max_pixels))
    with ExitStack() as stack:
        if len(openers) == 1:
            # Before the model is loaded, so that a mistyped name is told at once.
            first = stack.enter_context(closing(openers[0]()))
            openers = (lambda: first,)
        model = stack.enter_context(classifier_from_bundle(opened, wanted))
        stack.enter_context(terminated_like_interrupted())
        pipeline = PipelineConfig(find, smoothed, max_batch=model.max_batch)
        config = RunConfig(pipeline, lines, annotate, show, max_frames)
        watch = stack.enter_context(watched(lines))
        outcome = run_sources(
            openers, model, config, header=run_header(model, pipeline), watch=watch
        )
    if len(openers) == 1 and outcome.failures:
        raise outcome.failures[0]
    for failure in outcome.failures:
        typer.echo(f"error: {failure}", err=True)
    typer.echo(summary_line(outcome.summary), err=True)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return 2 if outcome.failures or not outcome.summary.frames else 0


def _smoothing(
    seconds: float | None, hysteresis: float | None, *, on: bool
) -> SmoothingConfig | None:
    from edge_arm.runtime.tracking.smoothing import SmoothingConfig

    if not on:
        if seconds is not None or hysteresis is not None:
            raise UsageError(
                "got --no-smoothing together with --smooth or --hysteresis, expected one or the "
                "other; leave one out"
            )
        return None
    usual = SmoothingConfig()
    return SmoothingConfig(
        time_constant_s=usual.time_constant_s if seconds is None else seconds,
        hysteresis=usual.hysteresis if hysteresis is None else hysteresis,
    )


def _finding(opened: Bundle, detector: str, min_face: str | None, look_at: str) -> FaceFinding:
    from edge_arm.runtime.detection.detection_config import (
        DetectionConfig,
        SmallestFace,
        look_px_from_text,
        smallest_face_from_text,
    )
    from edge_arm.runtime.live.face_finding import face_finding

    smallest = SmallestFace() if min_face is None else smallest_face_from_text(min_face)
    config = DetectionConfig(detector, look_px_from_text(look_at), smallest)
    return face_finding(opened, config)


def _source_config(give_up_s: float | None, max_pixels: int | None) -> SourceConfig:
    from edge_arm.runtime.sources.source_config import SourceConfig

    usual = SourceConfig()
    return SourceConfig(
        give_up_s=usual.give_up_s if give_up_s is None else give_up_s,
        max_pixels=usual.max_pixels if max_pixels is None else max_pixels,
    )


def _refuse_overwriting(lines: Path | None, annotate: Path | None, words: list[str]) -> None:
    """Refuse a file for the lines that is read, or written by somebody else."""
    if lines is None:
        return
    from edge_arm.runtime.live.annotated_output import is_same_file
    from edge_arm.runtime.storage import require_result_places

    require_result_places([lines])
    if annotate is not None and lines.resolve() == annotate.resolve():
        raise UsageError(
            f"got {str(lines)!r} for --json-lines and --annotate, expected two names; choose "
            "another one for the lines"
        )
    if any(is_same_file(lines, Path(word)) for word in words):
        raise UsageError(
            f"got {str(lines)!r} for --json-lines, which is the file that is read, expected "
            "another one; choose a new name"
        )

"""`edge-arm demo`: the whole job on synthetic faces, by the very commands a user would type."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEMO_IMAGES = 5000
DEMO_EPOCHS = 5
DEMO_IMAGE_SIZE = 112
DEMO_CLIP_SECONDS = 5


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path(
        "build/demo"
    ),
    images: Annotated[int, typer.Option(help="Synthetic faces to draw.", min=70)] = DEMO_IMAGES,
    epochs: Annotated[int, typer.Option(help="Training epochs.", min=1)] = DEMO_EPOCHS,
    seed: Annotated[int, typer.Option(help="Of the faces and the training.", min=0)] = 0,
) -> None:
    """Train, export, quantize, measure and run on synthetic faces, on a CPU, in some minutes.

    Each step is the ordinary command with the options that it prints, so every line can be typed
    by hand. The model is small in everything but name (112 pixels, few epochs): what the demo
    shows is the way, and what FP16 and INT8 cost this very model.

    Example: edge-arm demo
    """
    data, checkpoint, bundle = out / "data", out / "checkpoint.safetensors", out / "bundle"
    report_json, report_html = out / "report.json", out / "report.html"
    clip, labelled, lines = out / "clip.mp4", out / "clip.labelled.mp4", out / "clip.jsonl"
    steps = (
        ("data", "synthesize", "--out", data, "--images", images, "--seed", seed),
        (
            *("train", "--data", "synthetic", "--root", data, "--out", checkpoint),
            *("--image-size", DEMO_IMAGE_SIZE, "--epochs", epochs, "--batch-size", 64),
            *("--seed", seed, "--no-cache", "--resume"),
        ),
        (
            *("export", checkpoint, "--fp16", "--out", bundle),
            *("--data", "synthetic", "--root", data),
        ),
        (
            *("calibrate", "--data", "synthetic", "--root", data, "--bundle", bundle),
            *("--images", 256, "--no-sensitivity"),
        ),
        (
            *("measure", "--data", "synthetic", "--root", data, "--bundle", bundle),
            *("--json", report_json, "--html", report_html),
        ),
        ("data", "clip", "--out", clip, "--seconds", DEMO_CLIP_SECONDS, "--seed", seed),
        ("run", clip, "--bundle", bundle, "--annotate", labelled, "--json-lines", lines),
    )
    for step in steps:
        _run([str(word) for word in step])
    typer.echo(
        f"\nEverything is in {out}: the bundle to copy to a device ({bundle}), the report for "
        f"people ({report_html}) and for programs ({report_json}), and a video with labelled faces "
        f"({labelled})."
    )


def _run(words: list[str]) -> None:
    import shlex
    import subprocess
    import sys

    typer.echo(f"\n$ edge-arm {shlex.join(words)}")
    # A process per step, so that each gives its memory back and runs exactly as typed by hand.
    status = subprocess.run([sys.executable, "-m", "edge_arm", *words], check=False).returncode
    if status:
        raise typer.Exit(130 if status < 0 else status)

"""`edge-arm data clip`: a video of drawn people, to try `edge-arm run` with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer


def clip(
    out: Annotated[Path, typer.Option(help="Video to write, .mp4 or .avi.")] = Path(
        "build/clip.mp4"
    ),
    seconds: Annotated[float, typer.Option(help="Length.")] = 10.0,
    faces: Annotated[int, typer.Option(help="People in it.")] = 3,
    size: Annotated[str, typer.Option(help="Width and height of a frame in pixels.")] = "640x480",
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Same seed, same clip.")] = 0,
) -> None:
    """Draw a video of people who move about and change their expression, with the truth beside it.

    The truth of every face in every frame is written to OUT.truth.json.

    Example: edge-arm data clip --out build/clip.mp4 --seconds 10 --faces 3
    """
    from edge_arm.cli.console import progress_bar
    from edge_arm.data.clip import ClipConfig
    from edge_arm.data.clip_file import truth_path, write_clip

    width, height = _sides(size)
    config = ClipConfig(width, height, fps, seconds, faces, seed)
    with progress_bar("draw", config.num_frames, "frames") as advance:
        write_clip(config, out, progress=advance)
    typer.echo(f"{config.num_frames} frames, {faces} faces, seed {seed}: {out}")
    typer.echo(f"truth: {truth_path(out)}")


def _sides(size: str) -> tuple[int, int]:
    from edge_arm.runtime.errors import UsageError

    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", size.strip())
    if match is None:
        raise UsageError(
            f"got the size {size!r}, expected width x height in pixels; write --size 640x480"
        )
    return int(match[1]), int(match[2])

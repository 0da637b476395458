"""A clip as a video file, with its truth beside it as JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from edge_arm.data.clip import ClipConfig, FaceTruth, clip_frames
from edge_arm.runtime.errors import StorageError, UsageError
from edge_arm.runtime.storage import require_result_places, write_json, written_atomically

TRUTH_SCHEMA_VERSION = 1
_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


def truth_path(path: Path) -> Path:
    """Where the truth of a clip is kept: its name with ".truth.json" added."""
    return path.with_name(path.name + ".truth.json")


def write_clip(
    config: ClipConfig, path: Path, *, progress: Callable[[int], None] | None = None
) -> Path:
    """Draw a clip into a video file.

    Args:
        config: what to draw.
        path: of the video, ending in .mp4 (MPEG-4) or .avi (Motion JPEG); replaced if it exists.
        progress: called with 1 after each frame.

    Returns:
        `path`; the truth lies at `truth_path(path)`: for every frame its faces as {"identity",
        "box": [x, y, width, height], "label", "in_transition", "visible"}.

    Raises:
        UsageError: if the name has another ending, or a side is odd, which MPEG-4 cannot store.
        StorageError: if the video cannot be written.
    """
    codec = _CODECS.get(path.suffix.lower())
    if codec is None:
        raise UsageError(
            f"got {str(path)!r} as the name of a video, expected one that ends in "
            f"{' or '.join(_CODECS)}; choose such a name"
        )
    if config.width % 2 or config.height % 2:
        raise UsageError(
            f"got frames of {config.width} x {config.height} pixels for a video, expected even "
            "sides, because colour is stored for two by two pixels; choose even sides"
        )
    require_result_places([path, truth_path(path)])
    truths: list[list[dict[str, Any]]] = []
    with written_atomically(path) as temporary:
        writer = cv2.VideoWriter(
            str(temporary),
            cv2.VideoWriter.fourcc(*codec),
            config.frames_per_s,
            (config.width, config.height),
        )
        try:
            if not writer.isOpened():
                raise StorageError(
                    f"OpenCV could not begin the video {str(path)!r} with the codec {codec}, "
                    "expected a file that can be written; check that this OpenCV was built with "
                    "FFmpeg, or choose a name that ends in .avi"
                )
            for image, faces in clip_frames(config):
                writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                truths.append([_face_to_json(face) for face in faces])
                if progress is not None:
                    progress(1)
        finally:
            writer.release()
        _require_frames(temporary, path, config.num_frames)
    write_json(
        truth_path(path),
        {
            "schema_version": TRUTH_SCHEMA_VERSION,
            "kind": "people drawn by edge-arm; no recording of anybody",
            "width": config.width,
            "height": config.height,
            "frames_per_s": config.frames_per_s,
            "seed": config.seed,
            "frames": truths,
        },
    )
    return path


def _face_to_json(face: FaceTruth) -> dict[str, Any]:
    box = face.box
    return {
        "identity": face.identity,
        "box": [box.x, box.y, box.width, box.height],
        "label": face.label,
        "in_transition": face.in_transition,
        "visible": round(face.visible, 3),
    }


def _require_frames(written: Path, path: Path, num_frames: int) -> None:
    """OpenCV's writer says nothing when the disk is full, so every frame is read again.

    The number in the file's head is what was meant to be written.
    """
    reader = cv2.VideoCapture(str(written))
    found = 0
    while reader.grab():
        found += 1
    reader.release()
    if found != num_frames:
        raise StorageError(
            f"the video {str(path)!r} came out with {found} frames, expected {num_frames}: the "
            "disk may be full; free some space and run the command again"
        )

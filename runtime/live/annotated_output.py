"""Where annotated frames go: what a source is decides what `--annotate OUT` means.

A picture becomes a picture, a folder a folder with the same names, a video or camera a video; an
existing folder takes a file of the source's name. No file that is read is ever written, and none
is written for two sources.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.live.annotated_pictures import AnnotatedPictures, require_picture_name
from edge_arm.runtime.live.annotated_video import VIDEO_CODECS, AnnotatedVideo
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.sources.frame import FrameSource
from edge_arm.runtime.sources.pictures import PictureSource
from edge_arm.runtime.storage import require_result_places


class AnnotatedOutput(Protocol):
    """Takes the frames of one source."""

    def write(self, result: FrameResult) -> None:
        """Add a frame."""
        ...

    def close(self) -> None:
        """Finish what is to be kept: all frames so far, whatever ended the run."""
        ...


class WrittenNames:
    """Which source each annotated file of a run is of."""

    def __init__(self) -> None:
        self._sources: dict[Path, str] = {}

    def claim(self, path: Path, source: str) -> Path:
        """The path, if no other source has it.

        Raises:
            UsageError: naming the two.
        """
        earlier = self._sources.setdefault(path, source)
        if earlier != source:
            raise UsageError(
                f"{str(path)!r} would be written for {earlier!r} and again for {source!r}, "
                "expected a name for each; run them one by one, each with its own --annotate"
            )
        return path


def annotated_output(
    out: Path, source: FrameSource, labels: LabelSet, *, alone: bool, names: WrittenNames
) -> AnnotatedOutput:
    """The place for a source's annotated frames; what can be checked now is checked now.

    Args:
        out: as the user named it.
        source: whose frames.
        labels: of the model.
        alone: whether it is the only source; if not, `out` is a folder for all of them.
        names: of the whole run.

    Raises:
        UsageError: for a name of the wrong kind, or one that is read from.
        StorageError: if it cannot be written.
    """
    if isinstance(source, PictureSource):
        target = _target_of_pictures(out, source, alone=alone)
        return AnnotatedPictures(lambda name: names.claim(target(name), name), labels)
    path = out
    if not alone or out.is_dir():
        path = out / _video_name(source)
    _refuse_same_file(path, Path(source.name))
    return AnnotatedVideo(names.claim(path, source.name), labels, source.frames_per_s)


def _target_of_pictures(out: Path, source: PictureSource, *, alone: bool) -> Callable[[str], Path]:
    read = source.paths
    named_itself = len(read) == 1 and Path(source.name) == read[0]
    if alone and named_itself and not out.is_dir():
        require_picture_name(out)
        require_result_places([out])
        _refuse_same_file(out, read[0])
        return lambda _: out
    if out.suffix.lower() in {*VIDEO_CODECS} and not out.is_dir():
        raise UsageError(
            f"got {str(out)!r} for the pictures of {source.name!r}, expected the name of a folder; "
            "pictures do not make a video"
        )
    root = Path(source.name)
    if not root.is_dir():
        root = Path(os.path.commonpath([path.absolute().parent for path in read]))
    if named_itself:
        root = read[0].parent
    _refuse_folder_that_is_read(out, root)
    require_result_places([out / read[0].name])
    return lambda name: out / Path(name).absolute().relative_to(root.absolute())


def _video_name(source: FrameSource) -> str:
    name = Path(source.name)
    if source.live or not is_same_file(name, name):
        raise UsageError(
            f"got a folder for the annotated video of {source.name!r}, which has no name of its "
            "own, expected the name of a file for it; run it by itself with --annotate FILE.mp4"
        )
    return name.name if name.suffix.lower() in VIDEO_CODECS else f"{name.stem}.mp4"


def _refuse_same_file(out: Path, read: Path) -> None:
    if is_same_file(out, read):
        raise UsageError(
            f"got {str(out)!r} as the annotated file, which is the one that is read, expected "
            "another one; choose a new name"
        )


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two names lead to one file, through links too."""
    try:
        return one.samefile(other)
    except OSError:  # one is missing, or is no file name at all, such as a long pipeline
        return False


def _refuse_folder_that_is_read(out: Path, root: Path) -> None:
    inside, above = out.resolve(), root.resolve()
    if inside == above or above in inside.parents:
        raise UsageError(
            f"got {str(out)!r} for annotated pictures, which is in the folder {str(root)!r} that "
            "is read: the next run would read them too; choose a folder beside it"
        )

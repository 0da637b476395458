"""From the words of a command line to what opens the sources, one after the other.

A shell writes `photos/*.jpg` out as thousands of words. Pictures that follow each other are one
source, as if their folder had been named, so that they run in full batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from edge_arm.runtime.images import IMAGE_SUFFIXES
from edge_arm.runtime.live.live_run import Opener
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.source_from_text import open_pictures, open_source


def source_openers(words: Sequence[str], config: SourceConfig) -> tuple[Opener, ...]:
    """What opens the sources that were named, in their order.

    Args:
        words: at least one.
        config: of every source.
    """
    openers: list[Opener] = []
    for are_pictures, group in groupby(words, key=_is_picture):
        together = list(group)
        if are_pictures and len(together) > 1:
            paths = [Path(word) for word in together]
            name = f"{len(paths)} pictures"
            openers.append(partial(open_pictures, name, paths, config))
        else:
            openers += [partial(open_source, word, config) for word in together]
    return tuple(openers)


def _is_picture(word: str) -> bool:
    path = Path(word)
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()

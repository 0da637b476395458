"""Ten people's votes on a face, and the one label that they make.

The rule of FER+ (Barsoum et al. 2016, and the script published with the set): a lone vote for an
answer counts as a slip and is taken away; the answer with the most votes is the label if it has
more than half of what is left; otherwise the face is unknown. "Unknown" and "not a face" can win
like any expression.
"""

from __future__ import annotations

from collections.abc import Sequence

UNKNOWN = "unknown"
NOT_A_FACE = "NF"
ANSWERS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    UNKNOWN,
    NOT_A_FACE,
)
"""The columns of the votes, in their order."""


def votes_from_words(words: Sequence[str]) -> tuple[int, ...]:
    """Votes as they are written.

    Args:
        words: one for each of `ANSWERS`.

    Raises:
        ValueError: if there are not ten, or one is no number of votes.
    """
    stripped = [word.strip() for word in words]
    wrong = [word for word in stripped if not (word.isascii() and word.isdecimal())]
    if len(stripped) != len(ANSWERS) or wrong:
        raise ValueError(
            f"got the votes {','.join(stripped)[:60]!r}, expected {len(ANSWERS)} whole numbers "
            f"({', '.join(ANSWERS)}); restore the row"
        )
    return tuple(int(word) for word in stripped)


def majority(votes: Sequence[int]) -> str:
    """The label of a face.

    Args:
        votes: one for each of `ANSWERS`.

    Returns:
        One of `ANSWERS`; "unknown" also where none has more than half, or nobody voted.
    """
    counted = [0 if count == 1 else count for count in votes]
    most = max(counted)
    if most * 2 <= sum(counted):
        return UNKNOWN
    return ANSWERS[counted.index(most)]

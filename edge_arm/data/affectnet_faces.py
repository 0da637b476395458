"""What AffectNet's numbers mean, and the faces that its readers have met so far.

Each release numbers the expressions alike. Three numbers are no expression: their pictures are in
the lists, and every published accuracy is without them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edge_arm.data.exclude_list import ExcludeList
from edge_arm.data.listing import SPLITS_ON_DISK, Listing, Problem
from edge_arm.runtime.faces import FaceSample, Split
from edge_arm.runtime.labels import RAFDB, LabelSet

SEVEN_NAME, EIGHT_NAME = "affectnet7", "affectnet8"
EIGHT = LabelSet(EIGHT_NAME, (*RAFDB.classes, "contempt"))

EXPRESSION_OF_NUMBER = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
)
_NO_EXPRESSION = {
    8: "pictures labelled 'none' (of the expressions)",
    9: "pictures labelled 'uncertain'",
    10: "pictures labelled 'no face'",
}
_CONTEMPT = "faces of contempt, which is not among the seven"
NO_BOX = "faces without a face box (its width or height is below 1)"
HIGHEST_NUMBER = 10

PART_NAME = {Split.TRAIN: "training", Split.TEST: "validation"}
"""AffectNet's own names. Its test part was never published, so papers report on validation."""


@dataclass
class AffectNetFaces:
    """What has been met so far.

    Attributes:
        name: of the data set, which says whether contempt belongs to it.
        root: folder that was read.
        exclude: names that are left out on purpose.
    """

    name: str
    root: Path
    exclude: ExcludeList
    samples: dict[Split, list[FaceSample]] = field(
        default_factory=lambda: {split: [] for split in SPLITS_ON_DISK}, init=False
    )
    problems: list[Problem] = field(default_factory=list, init=False)
    notes: list[str] = field(default_factory=list, init=False)
    _left_out: Counter[tuple[str, Split]] = field(default_factory=Counter, init=False)

    def target(self, number: int, split: Split) -> int | None:
        """The class index of one face; None for a face that is left out, which is counted.

        Args:
            number: AffectNet's, 0 to 10.
            split: the part that the face is in.
        """
        if number in _NO_EXPRESSION:
            self.leave_out(_NO_EXPRESSION[number], split)
            return None
        expression = EXPRESSION_OF_NUMBER[number]
        if expression not in self._labels.classes:
            self.leave_out(_CONTEMPT, split)
            return None
        return self._labels.index(expression)

    def leave_out(self, what: str, split: Split) -> None:
        """Count something that is left out without harm.

        Args:
            what: it is, in the plural.
            split: the part that it is in.
        """
        self._left_out[what, split] += 1

    def report(self, text: str, split: Split) -> None:
        """Note something that makes one part unusable."""
        self.problems.append(Problem(text, split))

    def listing(self) -> Listing:
        """Everything that was found."""
        kinds = dict.fromkeys((*_NO_EXPRESSION.values(), _CONTEMPT, NO_BOX))
        ignored = [text for kind in kinds if (text := self._in_words(kind))]
        return Listing(
            name=self.name,
            root=self.root,
            labels=self._labels,
            samples={split: tuple(found) for split, found in self.samples.items()},
            problems=(*self.problems, *self.exclude.problems()),
            ignored=(*self.notes, *ignored, *self.exclude.notes()),
        )

    @property
    def _labels(self) -> LabelSet:
        return RAFDB if self.name == SEVEN_NAME else EIGHT

    def _in_words(self, kind: str) -> str:
        by_part = {
            PART_NAME[split]: self._left_out[kind, split]
            for split in SPLITS_ON_DISK
            if self._left_out[kind, split]
        }
        parts = ", ".join(f"{count} in the {part} part" for part, count in by_part.items())
        return f"{sum(by_part.values())} {kind}: {parts}" if by_part else ""


def expression_number(text: str) -> int:
    """AffectNet's number of an expression.

    Args:
        text: as written.

    Raises:
        ValueError: saying what is wrong.
    """
    # isdecimal alone accepts other scripts' digits.
    if not (text.isascii() and text.isdecimal()) or int(text) > HIGHEST_NUMBER:
        raise ValueError(
            f"got the expression {text[:20]!r}, expected 0 to {HIGHEST_NUMBER} (0 "
            f"{EXPRESSION_OF_NUMBER[0]} ... 7 {EXPRESSION_OF_NUMBER[-1]}, 8 none, 9 uncertain, "
            "10 no face)"
        )
    return int(text)

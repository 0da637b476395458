"""Expression labels by name, never by bare number.

Every data set numbers the seven basic expressions differently (surprise is 1 in RAF-DB, 3 in
AffectNet, 6 in SFEW's folder order), and a model read with another set's order is wrong without
any error. So a class index only ever exists together with the `LabelSet` that explains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_arm.runtime.errors import DataError

_SYNONYMS = {
    "angry": "anger",
    "contemptuous": "contempt",
    "disgusted": "disgust",
    "afraid": "fear",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}
"""Other names that data sets use as folder or column names."""


def canonical_name(name: str) -> str:
    """The project's one spelling of an expression: lower case, as a noun ("Happy" -> "happiness").

    Args:
        name: a folder or column name of any data set.
    """
    lowered = name.strip().lower()
    return _SYNONYMS.get(lowered, lowered)


@dataclass(frozen=True)
class LabelSet:
    """The classes of a data set or model, in the order of their indices.

    Attributes:
        name: of the order, such as "rafdb".
        classes: canonical expression names; the position is the class index.
    """

    name: str
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise DataError(
                f"label set {self.name!r} has classes {list(self.classes)}, "
                "expected at least 2; give every expression its own class"
            )
        if len(set(self.classes)) != len(self.classes):
            raise DataError(
                f"label set {self.name!r} names a class twice in {list(self.classes)}, "
                "expected each name once; merge the two"
            )

    def __len__(self) -> int:
        return len(self.classes)

    def index(self, name: str) -> int:
        """Class index of an expression.

        Args:
            name: in any spelling that `canonical_name` knows.

        Raises:
            DataError: if the set has no such class.
        """
        canonical = canonical_name(name)
        if canonical not in self.classes:
            raise DataError(
                f"got the expression {name!r}, expected one of {', '.join(self.classes)} "
                f"(label set {self.name!r}); rename it or use another data set"
            )
        return self.classes.index(canonical)


RAFDB = LabelSet(
    "rafdb", ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
)
"""RAF-DB's order; on disk its labels are this index + 1."""


def labels_from_json(value: object) -> LabelSet:
    """A label set from its JSON form ``{"name": ..., "classes": [...]}``.

    Raises:
        DataError: if the value has another form.
    """
    if isinstance(value, dict):
        name, classes = value.get("name"), value.get("classes")
        if (
            isinstance(name, str)
            and isinstance(classes, Sequence)
            and not isinstance(classes, str)
            and all(isinstance(item, str) for item in classes)
        ):
            return LabelSet(name, tuple(classes))
    raise DataError(
        f"got {value!r} as labels, expected an object with 'name' and a list 'classes'; "
        "export the model again"
    )


def labels_to_json(labels: LabelSet) -> dict[str, object]:
    """The JSON form that `labels_from_json` reads."""
    return {"name": labels.name, "classes": list(labels.classes)}

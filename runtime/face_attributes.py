"""What is known of the people on the pictures, such as their age group as annotated.

Shapes: N faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_arm.runtime.errors import DataError


@dataclass(frozen=True)
class FaceAttribute:
    """One property of every face.

    Attributes:
        name: such as "gender".
        values: all there are, in the order in which reports show them.
        by_sample: value by sample id.
    """

    name: str
    values: tuple[str, ...]
    by_sample: Mapping[str, str]

    def __post_init__(self) -> None:
        for sample_id, value in self.by_sample.items():
            if value not in self.values:
                raise DataError(
                    f"{sample_id!r} has the {self.name} {value!r}, expected one of "
                    f"{', '.join(self.values)}; correct the annotation"
                )


FaceAttributes = tuple[FaceAttribute, ...]
"""Several properties of the same faces; empty where nothing is known."""

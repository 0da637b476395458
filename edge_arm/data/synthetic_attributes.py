"""What is true of a drawn face by the numbers it was drawn from, in groups for slices.

Only what a parameter says: a drawn face has a depth of skin and an age, but no gender and no race,
so those are not made up. That the groups differ in accuracy says something about the drawing, not
about people.
"""

from __future__ import annotations

from edge_arm.data.face_parameters import FaceParameters, Occlusion

ATTRIBUTES = ("skin", "age", "glasses", "hidden")
"""In the order of the columns."""

_LIGHT, _MEDIUM = 178.0, 110.0
"""Luma from which a skin is called light or medium: about a third of the drawn people each."""


def attributes_of(face: FaceParameters) -> dict[str, str]:
    """The group of a face for each of `ATTRIBUTES`."""
    red, green, blue = face.identity.skin
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # ITU-R BT.709
    age = face.identity.age
    return {
        "skin": "light" if luma >= _LIGHT else "medium" if luma >= _MEDIUM else "deep",
        "age": "young" if age < 1 / 3 else "middle" if age < 2 / 3 else "old",
        "glasses": "yes" if face.identity.glasses else "no",
        "hidden": "no" if face.shot.occlusion is Occlusion.NONE else "yes",
    }

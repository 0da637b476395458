from __future__ import annotations

import inspect
import re

from edge_arm.runtime import errors


def _classes() -> dict[str, type[BaseException]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BaseException)
    }


def _drawn_parents() -> dict[str, str]:
    """Child and parent names as the docstring draws them; four columns are one level."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([ │]*)(?:[├└]── )?(\w+Error)\b", line)
        if found:
            level = len(line[: line.index(found[2])]) // 4 - 1
            above[level:] = [found[2]]
            if level:
                parents[found[2]] = above[level - 1]
    return parents


def test_the_docstring_draws_the_tree_that_the_classes_make() -> None:
    made = {
        name: value.__bases__[0].__name__
        for name, value in _classes().items()
        if name != "EdgeArmError"
    }
    assert _drawn_parents() == made


def test_every_error_is_caught_by_the_root() -> None:
    assert len(_classes()) > 5
    assert all(issubclass(value, errors.EdgeArmError) for value in _classes().values())


def test_a_broken_picture_is_a_data_error() -> None:
    assert issubclass(errors.ImageError, errors.DataError)

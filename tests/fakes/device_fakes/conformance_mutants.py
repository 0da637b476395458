"""Mistakes that the conformance check must find, made in a file one at a time.

Each mutant changes the tree in place for the length of a `with` block; parsing anew for each of
some hundred would take most of the time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from device_fakes.conformance_values import CallSite


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        text: what and where.
        node: of the tree.
        field: of the node that is changed.
        value: to this.
    """

    text: str
    node: Any
    field: str
    value: Any

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the mistake for the length of a block."""
        before = getattr(self.node, self.field)
        setattr(self.node, self.field, self.value)
        try:
            yield
        finally:
            setattr(self.node, self.field, before)


def typos(attributes: Iterable[ast.Attribute]) -> Iterator[Mutant]:
    """Each name that is touched, with a letter too many."""
    for node in attributes:
        yield Mutant(f"line {node.lineno}: {node.attr}e", node, "attr", f"{node.attr}e")


def wrong_calls(calls: Iterable[CallSite]) -> Iterator[Mutant]:
    """Each call with one argument too many, with one too few, and with a wrong keyword."""
    extra = ast.Constant(None)
    for call in calls:
        node = call.node
        where = f"line {node.lineno}: {ast.unparse(node.func)}"
        more = [*node.args, *[extra] * (call.room + 1)]
        yield Mutant(f"{where} with one argument too many", node, "args", more)
        if call.needs_last:
            yield Mutant(f"{where} with one too few", node, "args", node.args[:-1])
        wrong = [*node.keywords, ast.keyword("nonsense", extra)]
        yield Mutant(f"{where} with nonsense=", node, "keywords", wrong)


def lost_guards(tree: ast.Module) -> Iterator[tuple[str, list[Mutant]]]:
    """Each condition made of capabilities: what it guards, and the two ways to lose it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp) and _is_guard(node.test):
            text = f"line {node.lineno}: {ast.unparse(node.test)}"
            lost = [Mutant(text, node, "test", ast.Constant(value)) for value in (True, False)]
            yield text, lost


def _is_guard(test: ast.expr) -> bool:
    return any(
        isinstance(part, ast.Attribute)
        and (
            (isinstance(part.value, ast.Name) and part.value.id == "capabilities")
            or (isinstance(part.value, ast.Attribute) and part.value.attr == "capabilities")
        )
        for part in ast.walk(test)
    )

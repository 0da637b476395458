"""The source's use of TensorRT and CUDA against the recorded APIs, and that mistakes are found.

The rules by which the source is read are in `device_fakes.conformance`.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from device_fakes.conformance import (
    Conformance,
    Source,
    check,
    package_of,
    sources,
    versions_of,
)
from device_fakes.conformance_mutants import lost_guards, typos, wrong_calls

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sources(REPOSITORY)
PACKAGE = package_of(REPOSITORY)
LEAST_TOUCHES = {"tensorrt": 200, "pycuda": 60, "cuda-python": 80}
"""In all files; far fewer would mean that the walk no longer sees them."""

OF_WHAT_WORKS = ("capabilities.dla",)
"""DLA's names exist in every release, whether a DLA works or not: no record can miss them."""


@cache
def tree_of(source: Source) -> ast.Module:
    return ast.parse(source.text)


def checked(source: Source, version: str) -> Conformance:
    return check(tree_of(source), source.library, version, package=PACKAGE)


def is_found(source: Source) -> bool:
    """Whether any version complains about the file as it is now."""
    return any(checked(source, version).findings for version in versions_of(source.library))


CASES = [
    pytest.param(source, version, id=f"{source.path.stem}-{version or source.library}")
    for source in SOURCES
    for version in versions_of(source.library)
]
BY_FILE = [pytest.param(source, id=f"{source.path.stem}-{source.library}") for source in SOURCES]


@pytest.mark.parametrize(("source", "version"), CASES)
def test_what_the_source_touches_is_in_the_record(source: Source, version: str) -> None:
    found = checked(source, version).findings
    assert not found, f"{source.path.name}:\n" + "\n".join(found)


@pytest.mark.parametrize("library", list(LEAST_TOUCHES))
def test_the_walk_sees_what_the_source_touches(library: str) -> None:
    results = [
        checked(source, versions_of(library)[-2:][0])
        for source in SOURCES
        if source.library == library
    ]
    touches = sum(len(result.attributes) + len(result.calls) for result in results)
    assert touches >= LEAST_TOUCHES[library]


@pytest.mark.parametrize("source", BY_FILE)
def test_a_typo_in_any_name_is_found(source: Source) -> None:
    nodes = {
        id(node): node
        for version in versions_of(source.library)
        for node in checked(source, version).attributes
    }
    lost = []
    for mutant in typos(nodes.values()):
        with mutant.made():
            if not is_found(source):
                lost.append(mutant.text)
    assert not lost


@pytest.mark.parametrize("source", BY_FILE)
def test_a_wrong_argument_in_any_call_is_found(source: Source) -> None:
    calls = {
        id(call.node): call
        for version in versions_of(source.library)
        for call in checked(source, version).calls
    }
    lost = []
    for mutant in wrong_calls(calls.values()):
        with mutant.made():
            if not is_found(source):
                lost.append(mutant.text)
    assert not lost


def test_every_lost_guard_is_found() -> None:
    guards = 0
    for source in SOURCES:
        if source.library != "tensorrt":
            continue
        for text, mutants in lost_guards(tree_of(source)):
            if text.endswith(OF_WHAT_WORKS):
                continue
            guards += 1
            found = False
            for mutant in mutants:
                with mutant.made():
                    found = found or is_found(source)
            assert found, f"{source.path.name} conforms without the guard in {text}"
    assert guards >= 7

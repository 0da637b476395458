from __future__ import annotations

import edge_arm.runtime.statistics as statistics


def test_every_public_name_exists() -> None:
    for name in statistics.__all__:
        assert getattr(statistics, name) is not None


def test_public_names_are_sorted_and_listed_once() -> None:
    assert sorted(set(statistics.__all__)) == list(statistics.__all__)

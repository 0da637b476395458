"""Who a process is among several, and what falls to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.runtime.errors import LostProcessError, UsageError
from edge_arm.training.distributed import (
    World,
    joined,
    launched_world,
    lost_processes_told,
    require_same,
)

LAUNCHED = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


def test_torchruns_environment_says_who_a_process_is() -> None:
    assert launched_world(LAUNCHED) == World(rank=5, size=8, local_rank=1)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1"}, {**LAUNCHED, "WORLD_SIZE": "1"}])
def test_a_process_is_alone_unless_there_are_several(environment: dict[str, str]) -> None:
    assert launched_world(environment) == World()


def test_half_an_environment_is_refused_with_what_is_missing() -> None:
    with pytest.raises(
        UsageError, match="got WORLD_SIZE=2 without RANK, MASTER_PORT .* start with 'torchrun"
    ):
        launched_world({"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"})


@pytest.mark.parametrize("wrong", [{"RANK": "8"}, {"RANK": "-1"}, {"RANK": "x"}])
def test_an_impossible_rank_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"got RANK='.*', WORLD_SIZE='8' .*expected a rank from 0"):
        launched_world({**LAUNCHED, **wrong})


@pytest.mark.parametrize(("count", "size"), [(8, 2), (7, 2), (3, 3), (256, 7), (2, 5)])
def test_parts_are_equal_to_within_one_and_together_everything(count: int, size: int) -> None:
    things = list(range(count))
    parts = [things[World(rank=rank, size=size).part(count)] for rank in range(size)]
    assert sum(parts, []) == things
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_nobody_is_asked() -> None:
    world = World()
    with joined(world):
        world.wait_for_all()
        require_same(world, {"seed": 0})
        assert world.any(True) and not world.any(False)
        assert world.summed([1.5, 2.0]) == [1.5, 2.0]
        assert world.of_first("mine") == "mine"


def test_others_that_cannot_be_reached_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "no number")
    with (
        pytest.raises(
            LostProcessError, match=r"process 0 of 2 cannot reach the others .*GLOO_SOCK"
        ),
        joined(World(0, 2)),
    ):
        pass


def test_an_error_of_another_kind_is_not_taken_for_a_lost_process() -> None:
    with (
        pytest.raises(RuntimeError, match="^shapes do not fit$"),
        lost_processes_told(World(0, 2), Path("state")),
    ):
        raise RuntimeError("shapes do not fit")

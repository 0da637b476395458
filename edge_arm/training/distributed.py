"""One training by several processes: who takes part, and how they agree.

Each process (a "rank") computes on its own part of every batch. torchrun starts them, on one
machine or on several, and says in the environment who each of them is. What they agree on (when to
stop, who speaks, how validation went) goes over gloo, also where gradients go over nccl: it needs
no GPU and does not wait for one, and it notices within a moment that a process has gone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from edge_arm.runtime.errors import EdgeArmError, LostProcessError, UsageError

STEP_TIMEOUT = timedelta(minutes=10)
"""How long a process waits for one that is still there but says nothing, or whose machine has
vanished without closing its connections. One that was killed is noticed at once."""
START_TIMEOUT = timedelta(hours=12)
"""... and before the first step, where one machine may decode faces that another one has."""

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class World:
    """The processes of a training, seen by one of them. Alone by default.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
        local_rank: of this process on its machine, from 0.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the one process that writes files and shows how it goes."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """Which of `count` things, in their order, are this process's: equal to within one.

        Args:
            count: of all.
        """
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def any(self, flag: bool) -> bool:
        """Whether a flag is set in any process. All of them have to ask."""
        if self.size == 1:
            return flag
        flags = torch.tensor([flag], dtype=torch.int32)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def summed(self, values: Sequence[float]) -> list[float]:
        """Each value added up over all processes, in float64. All of them have to ask."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums)
        return [float(value) for value in sums]

    def of_first(self, value: T) -> T:
        """The first process's value. All of them have to ask."""
        if self.size == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def take_over(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors the first process's values, in place. All have to take part."""
        if self.size == 1:
            return
        with torch.no_grad():
            for tensor in tensors:
                sent = tensor.detach().cpu().contiguous()
                dist.broadcast(sent, src=0)
                tensor.copy_(sent)

    def wait_for_all(self) -> None:
        """Return when every process is here, however long it takes to get ready."""
        if self.size > 1:
            dist.monitored_barrier(timeout=START_TIMEOUT)


def launched_world(environment: Mapping[str, str] = os.environ) -> World:
    """Who this process is, as torchrun put it into the environment; alone if it says nothing.

    Args:
        environment: of the process.

    Raises:
        UsageError: if the environment says less than is needed, or what cannot be.
    """
    if environment.get("WORLD_SIZE", "1") == "1":
        return World()
    missing = [name for name in _VARIABLES if name not in environment]
    if missing:
        raise UsageError(
            f"got WORLD_SIZE={environment['WORLD_SIZE']} without {', '.join(missing)} in the "
            "environment, expected all of them, as torchrun sets them; start with 'torchrun "
            "--nproc-per-node N -m edge_arm train ...', or unset WORLD_SIZE"
        )
    try:
        world = World(
            rank=int(environment["RANK"]),
            size=int(environment["WORLD_SIZE"]),
            local_rank=int(environment.get("LOCAL_RANK", environment["RANK"])),
        )
        possible = 0 <= world.rank < world.size and world.local_rank >= 0
    except ValueError:
        possible = False
    if not possible:
        said = ", ".join(f"{name}={environment[name]!r}" for name in _VARIABLES[:2])
        raise UsageError(
            f"got {said} in the environment, expected a rank from 0 to the size less one; start "
            "with 'torchrun --nproc-per-node N -m edge_arm train ...'"
        )
    return world


@contextmanager
def joined(world: World) -> Iterator[None]:
    """Take part in a training while the block runs, and speak with one voice if it fails.

    The first process that fails says why; the others, which then fail for want of it, end with
    the same status and say nothing. Warnings come from every process, other lines of the log from
    the first alone.

    Args:
        world: who this process is; a process alone joins nothing.

    Raises:
        LostProcessError: if the others cannot be reached.
        SystemExit: with the status of the error that another process has told.
    """
    if world.size == 1:
        yield
        return
    if not world.is_first:
        logging.getLogger("edge_arm").setLevel(logging.WARNING)
    try:
        # As init_process_group does by itself, but who speaks is settled in the store as well.
        store: Any = next(iter(rendezvous("env://")))[0]
        dist.init_process_group(
            "gloo",
            store=store,
            rank=world.rank,
            world_size=world.size,
            timeout=STEP_TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        raise LostProcessError(
            f"process {world.rank} of {world.size} cannot reach the others "
            f"({_first_line(error)}), expected them at "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}; check that every machine "
            "was given the same address, and name the network with GLOO_SOCKET_IFNAME if a "
            "machine has several"
        ) from error
    try:
        yield
    except KeyboardInterrupt:
        if world.is_first:
            raise
        raise SystemExit(130) from None
    except Exception as error:
        if _may_speak(store):
            raise
        _log.debug("told by another process; here it was %s", error)
        raise SystemExit(2) from None
    finally:
        dist.destroy_process_group()


@contextmanager
def lost_processes_told(world: World, state_path: Path) -> Iterator[None]:
    """Turn what PyTorch says when a process of a training has gone into one clear line.

    Args:
        world: who this process is.
        state_path: of the state that the training goes on from.

    Raises:
        LostProcessError: if a process was lost in the block.
    """
    try:
        yield
    except EdgeArmError:
        raise
    except RuntimeError as error:
        if world.size == 1 or not _is_of_the_network(error):
            raise
        raise LostProcessError(
            f"a process of this training has ended or is out of reach ({_first_line(error)}), "
            f"expected all {world.size} until the end; its own words, if it had any, are above; "
            f"the same command with --resume goes on from {str(state_path)!r}, with any number of "
            "processes, or from the beginning if that was not written yet"
        ) from error


def step_group(device: torch.device) -> dist.ProcessGroup:
    """The processes as the steps of a training use them: nccl between GPUs, gloo between CPUs.

    Args:
        device: that this process computes on.
    """
    backend = "nccl" if device.type == "cuda" else "gloo"
    group: dist.ProcessGroup = dist.new_group(backend=backend, timeout=STEP_TIMEOUT)
    return group


def require_same(world: World, values: Mapping[str, object]) -> None:
    """Refuse a training whose processes were not started alike.

    Args:
        world: the processes; all of them have to ask.
        values: that have to be equal everywhere, by name.

    Raises:
        UsageError: naming a process and what differs.
    """
    if world.size == 1:
        return
    everywhere: list[Mapping[str, object]] = [{}] * world.size
    dist.all_gather_object(everywhere, dict(values))
    for rank, theirs in enumerate(everywhere):
        for name, value in everywhere[0].items():
            if theirs.get(name) != value:
                raise UsageError(
                    f"process {rank} has {name} {theirs.get(name)!r}, expected {value!r} as in "
                    "process 0; start all processes with the same command on the same faces"
                )


def _may_speak(store: Any) -> bool:
    try:
        return bool(store.add("edge-arm/told", 1) == 1)
    except RuntimeError:
        return True  # the store has gone with whoever kept it, and nobody else may be left


def _is_of_the_network(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, dist.DistError) or "gloo" in text or "nccl" in text


def _first_line(error: Exception) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    # gloo begins with a place in its own sources and ends with advice to its own developers.
    return line.split("] ", 1)[-1].split(". ", 1)[0].rstrip(".")

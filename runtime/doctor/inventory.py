"""All that is known about a machine before anything is judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.doctor.apart import TIMEOUT_S, Findings, look_around
from edge_arm.runtime.doctor.environment import (
    PythonEnvironment,
    Surroundings,
    python_environment,
    surroundings,
)
from edge_arm.runtime.machine import Machine, machine_facts


@dataclass(frozen=True)
class Inventory:
    """What is here.

    Attributes:
        machine: system, board, memory.
        python: this environment.
        surroundings: toolkit, cards, container.
        findings: drivers and libraries that were tried.
    """

    machine: Machine
    python: PythonEnvironment
    surroundings: Surroundings
    findings: Findings

    def has(self, *packages: str) -> bool:
        """Whether all these distributions are installed."""
        return all(name in self.python.packages for name in packages)

    def lacking(self, *packages: str) -> str:
        """The ones of these that are not installed, in words."""
        names = [name for name in packages if name not in self.python.packages]
        return " and ".join((", ".join(names[:-1]), names[-1]) if len(names) > 1 else names)


def take_inventory(root: Path = Path("/"), *, timeout_s: float = TIMEOUT_S) -> Inventory:
    """Look at everything; never raises.

    Args:
        root: where the file system begins; another one only in tests.
        timeout_s: for each library that is tried.
    """
    return Inventory(
        machine=machine_facts(root),
        python=python_environment(root),
        surroundings=surroundings(root),
        findings=look_around(timeout_s),
    )

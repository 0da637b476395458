"""Programs that several processes run together, and what starts them as torchrun would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def free_port() -> int:
    """One that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def start_together(
    size: int, *words: str | Path, cwd: Path | None = None
) -> list[subprocess.Popen[str]]:
    """Start `python WORDS...` in each of `size` processes that know each other."""
    common = {
        **os.environ,
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    return [
        subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=cwd,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def finish_together(processes: list[subprocess.Popen[str]], timeout: float = 240) -> list[str]:
    """Wait for processes to end well; what each wrote to stderr."""
    said = [process.communicate(timeout=timeout)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(said), "\n".join(said)
    return said

"""What this machine is: system, JetPack, memory, power mode and clocks, read from files.

No tool is called and nothing needs root, so it answers at once, in a container too. What a file
does not tell is empty or 0 and never an error: these facts describe results, they do not gate them.

The formats are those of L4T's own files as NVIDIA and its users publish them; they were not read on
a Jetson by us.
"""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

JETPACK_BY_L4T = {
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5.0": "6.2.2",
    "36.5.2": "6.2.3",
    "38.4.0": "7.1",
    "39.2.0": "7.2",
}
"""Source: the recipes of OE4T/meta-tegra, which repackage NVIDIA's own packages."""

JETPACK_BY_L4T_BRANCH = {
    "32.6": "4.6",
    "32.7": "4.6.x",
    "35.1": "5.0.2",
    "35": "5.1.x",
    "36": "6.x",
    "38.2": "7.0",
    "38": "7.x",
    "39": "7.x",
}
"""For a revision that is not in `JETPACK_BY_L4T`; the longest branch that fits is the right one."""

_GPU_NAMES = ("gpu", "ga10b", "gv11b", "gp10b")
"""Parts of the name of a Jetson's GPU in /sys/class/devfreq, by JetPack and chip."""


@dataclass(frozen=True)
class Machine:
    """A machine, as far as its files tell.

    Attributes:
        python: version of the Python that runs.
        executable: of that Python.
        system: the distribution, such as "Ubuntu 22.04.5 LTS".
        kernel: its release.
        architecture: such as "aarch64" or "x86_64".
        board: of a Jetson, such as "NVIDIA Jetson Orin Nano Developer Kit".
        l4t: version of the Jetson's Linux, such as "36.4.3"; empty elsewhere and in containers that
            do not show it.
        jetpack: that belongs to it, such as "6.2"; "6.x" for a revision that is newer than ours.
        memory_total_bytes: of RAM, which a Jetson's GPU shares.
        memory_available_bytes: that can be used without swapping.
        swap_total_bytes: of swap, zram included.
        swap_free_bytes: of it.
        power_mode: of a Jetson, such as "15W (mode 2)".
        clocks: by name ("cpu", "gpu"), now and at most; a GPU's only on a Jetson.
        driver: version of NVIDIA's kernel driver, such as "540.4.0".
    """

    python: str
    executable: str
    system: str
    kernel: str
    architecture: str
    board: str
    l4t: str
    jetpack: str
    memory_total_bytes: int
    memory_available_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int
    power_mode: str
    clocks: dict[str, str]
    driver: str = ""

    @property
    def is_jetson(self) -> bool:
        """By its release file, or by the board's name where a container hides that file."""
        return bool(self.l4t) or "jetson" in self.board.lower()


def machine_facts(root: Path = Path("/")) -> Machine:
    """Read what there is to know about this machine.

    Args:
        root: where its file system begins; another one only in tests.
    """
    release = _fields(_text(root, "etc/os-release") or _text(root, "usr/lib/os-release"), "=")
    memory = _fields(_text(root, "proc/meminfo"), ":")
    l4t = _l4t(_text(root, "etc/nv_tegra_release"))
    return Machine(
        python=platform.python_version(),
        executable=sys.executable,
        system=release.get("PRETTY_NAME", "").strip("\"'"),
        kernel=_text(root, "proc/sys/kernel/osrelease").strip(),
        architecture=platform.machine(),
        board=_text(root, "proc/device-tree/model").strip("\0\n "),
        l4t=l4t,
        jetpack=jetpack_of(l4t),
        memory_total_bytes=_kibibytes(memory.get("MemTotal", "")),
        memory_available_bytes=_kibibytes(memory.get("MemAvailable", "")),
        swap_total_bytes=_kibibytes(memory.get("SwapTotal", "")),
        swap_free_bytes=_kibibytes(memory.get("SwapFree", "")),
        power_mode=_power_mode(
            _text(root, "var/lib/nvpmodel/status"), _text(root, "etc/nvpmodel.conf")
        ),
        clocks=_clocks(root),
        driver=_driver(_text(root, "proc/driver/nvidia/version")),
    )


def jetpack_of(l4t: str) -> str:
    """The JetPack that a version of L4T belongs to.

    Args:
        l4t: such as "36.4.3".

    Returns:
        The JetPack's version, empty for an L4T of a branch that we do not know.
    """
    if l4t in JETPACK_BY_L4T:
        return JETPACK_BY_L4T[l4t]
    major, _, rest = l4t.partition(".")
    branch = f"{major}.{rest.partition('.')[0]}"
    return JETPACK_BY_L4T_BRANCH.get(branch, JETPACK_BY_L4T_BRANCH.get(major, ""))


def _text(root: Path, name: str) -> str:
    try:
        return (root / name).read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _fields(text: str, separator: str) -> dict[str, str]:
    """Lines of "name<separator>value"."""
    pairs = (line.partition(separator) for line in text.splitlines())
    return {name.strip(): value.strip() for name, found, value in pairs if found}


def _kibibytes(text: str) -> int:
    """Bytes of a value of /proc/meminfo, such as "7620000 kB" (it means KiB)."""
    match = re.match(r"(\d+)", text)
    return int(match[1]) * 1024 if match else 0


def _l4t(text: str) -> str:
    """Version in a line such as "# R36 (release), REVISION: 4.3, GCID: ..."."""
    match = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", text)
    return f"{match[1]}.{match[2]}" if match else ""


def _driver(text: str) -> str:
    """Version in a line such as "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03 ..."."""
    match = re.search(r"\b\d{3,}\.\d+(?:\.\d+)?\b", text)
    return match[0] if match else ""


def _power_mode(status: str, configuration: str) -> str:
    """The mode in "pmode:0002", by the name that "< POWER_MODEL ID=2 NAME=15W >" gives it."""
    match = re.search(r"pmode:(\d+)", status)
    if match is None:
        return ""
    number = int(match[1])
    models = re.findall(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)", configuration, re.M)
    names = {int(identifier): name for identifier, name in models}
    return f"{names[number]} (mode {number})" if number in names else f"mode {number}"


def _clocks(root: Path) -> dict[str, str]:
    clocks = {}
    folders = sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*"))
    names = ("scaling_cur_freq", "scaling_min_freq", "scaling_max_freq")
    # Cores by the thousand are one line: the fastest stands for all.
    if cpus := [found for folder in folders if (found := _frequencies(folder, names))]:
        clocks["cpu"] = _clock_text(max(cpus), hertz_in_unit=1_000)
    for folder in sorted((root / "sys/class/devfreq").glob("*")):
        found = _frequencies(folder, ("cur_freq", "min_freq", "max_freq"))
        if found and any(part in folder.name for part in _GPU_NAMES):
            name = "gpu" if "gpu" not in clocks else folder.name
            clocks[name] = _clock_text(found, hertz_in_unit=1)
    return clocks


def _frequencies(folder: Path, names: tuple[str, ...]) -> tuple[int, ...]:
    """The numbers in these files; empty if one is missing."""
    texts = [_text(folder, name).strip() for name in names]
    return tuple(int(text) for text in texts) if all(text.isdigit() for text in texts) else ()


def _clock_text(frequencies: tuple[int, ...], *, hertz_in_unit: int) -> str:
    """Frequencies now, at least and at most; equal limits are what `jetson_clocks` leaves."""
    now, least, most = (round(value * hertz_in_unit / 1e6) for value in frequencies)
    return f"{now} MHz, fixed" if least == most else f"{now} MHz of at most {most} MHz"

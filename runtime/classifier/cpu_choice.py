"""INT8 or FP32 on this CPU: measured once, remembered, so that a program's answer does not waver.

INT8 with unsigned activations is three times as fast as FP32 on a CPU with VNNI and can be slower
on one without integer instructions. Nothing tells that as well as the two models themselves.

1. INT8 has to be faster by `LEAST_GAIN`; it is an approximation, so a draw goes to FP32.
2. What came out is kept in the user's cache folder and holds for this CPU, this ONNX Runtime, this
   number of threads and these two files; with anything else it is measured again.
3. A cache that cannot be read or written costs the time of a measurement, never an answer, and is
   said. A trial that fails leaves FP32, and that is said too. A bundle whose INT8 model is not what
   its manifest says is an error, as it is when that model is opened.
"""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from dataclasses import asdict, astuple, dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from edge_arm.runtime.classifier.cpu_trial import CpuTrial, trial_from_text
from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.manifest import CPU_VARIANT, Bundle, Precision
from edge_arm.runtime.onnxruntime_backend import load_onnxruntime
from edge_arm.runtime.storage import write_json

CACHE_NAME = "cpu-choice.json"
SCHEMA_VERSION = 1
LEAST_GAIN = 1.05
MOST_KEPT = 64
TIMEOUT_S = 180.0

_CODE = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from edge_arm.runtime.classifier.cpu_trial import main; sys.exit(main(*sys.argv[1:3]))"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CpuVerdict:
    """Which of the two models suits this CPU.

    Attributes:
        int8: whether INT8 runs.
        reason: a sentence with the figures and where they are from.
        doubts: sentences about what could not be measured or kept.
    """

    int8: bool
    reason: str
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Situation:
    """All that a measurement holds for; see rule 2."""

    cpu: str
    onnxruntime: str
    threads: int
    fp32_sha256: str
    int8_sha256: str


@dataclass(frozen=True)
class _Memory:
    """A trial of some day."""

    situation: _Situation
    trial: CpuTrial
    date: str


def int8_or_fp32(bundle: Bundle, threads: int) -> CpuVerdict:
    """Whether INT8 for CPUs is faster here than FP32.

    Args:
        bundle: with both models.
        threads: that the model will have.

    Raises:
        BackendUnavailableError: if ONNX Runtime is not here.
        BundleError: if the file of INT8 is not there or changed, and nothing is remembered.
    """
    situation = _Situation(
        cpu=cpu_name(),
        onnxruntime=str(load_onnxruntime().__version__),
        threads=threads,
        fp32_sha256=bundle.manifest.artifact(Precision.FP32).sha256,
        int8_sha256=bundle.manifest.artifact(Precision.INT8, CPU_VARIANT).sha256,
    )
    path = cache_path()
    kept, doubts = _kept(path)
    for memory in kept:
        if memory.situation == situation:
            return _verdict(memory.trial, f"measured on {memory.date}", doubts)
    bundle.model(Precision.INT8, CPU_VARIANT)  # a file that was damaged is no trial that failed
    _log.info("measuring once whether INT8 or FP32 is faster on this CPU")
    try:
        trial = _measured(bundle, threads)
    except (OSError, ValueError) as error:
        # Rule 3. What the models themselves cannot do comes out when one of them is opened.
        reason = f"The trial of INT8 against FP32 failed ({_last_line(error)}), so FP32 runs"
        return CpuVerdict(False, "not measured", (*doubts, f"{reason}; name one with --precision."))
    memory = _Memory(situation, trial, date.today().isoformat())
    # Read again: what other processes measured meanwhile is kept too.
    others = [item for item in _kept(path)[0] if item.situation != situation]
    doubts += _keep(path, [*others, memory])
    return _verdict(trial, "measured now", doubts)


def cache_path() -> Path | None:
    """Where choices are kept; None for a user without a home.

    Source: the XDG base directory specification; a relative XDG_CACHE_HOME does not count.
    """
    folder = os.environ.get("XDG_CACHE_HOME", "")
    if folder and Path(folder).is_absolute():
        return Path(folder) / "edge-arm" / CACHE_NAME
    try:
        return Path.home() / ".cache" / "edge-arm" / CACHE_NAME
    except RuntimeError:
        return None


def cpu_name(root: Path = Path("/")) -> str:
    """What tells this CPU from others, in the kernel's words.

    Args:
        root: where the file system begins; another one only in tests.
    """
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    found = []
    for line in text.splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        # x86 has a name, Arm has numbers, one set for each kind of core.
        shown = value if name == "model name" else f"{name} {value}"
        if name in ("flags", "Features"):
            # A virtual machine's CPU has the same name on many hosts; what it can do tells more.
            shown = f"abilities {sha256(value.encode()).hexdigest()[:8]}"
        elif name not in ("model name", "CPU implementer", "CPU variant", "CPU part"):
            continue
        if shown not in found:
            found.append(shown)
    return ", ".join(found) or "unknown"


def _verdict(trial: CpuTrial, origin: str, doubts: tuple[str, ...]) -> CpuVerdict:
    gain = math.prod(trial.ratios) ** (1 / len(trial.ratios))
    figures = f"{trial.int8_ms:.1f} ms for a face, FP32 {trial.fp32_ms:.1f} ms, {origin}"
    if gain >= LEAST_GAIN:  # rule 1
        return CpuVerdict(True, f"{gain:.1f} times as fast as FP32 on this CPU ({figures})", doubts)
    return CpuVerdict(
        False, f"INT8 is not faster on this CPU ({gain:.2f} times, {figures})", doubts
    )


def _measured(bundle: Bundle, threads: int) -> CpuTrial:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CODE, str(bundle.path), str(threads), *sys.path],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:  # its own words would name the whole command
        raise ValueError(f"it took more than {TIMEOUT_S:g} s") from error
    trial = trial_from_text(done.stdout) if done.returncode == 0 else None
    if trial is None:
        lines = done.stderr.strip().splitlines()
        raise ValueError(lines[-1] if lines else f"it ended with status {done.returncode}")
    return trial


def _kept(path: Path | None) -> tuple[list[_Memory], tuple[str, ...]]:
    """Earlier choices, and a doubt if they cannot be read."""
    if path is None:
        return [], ()
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["schema_version"] != SCHEMA_VERSION:
            return [], ()
        return [_memory_from_json(item) for item in value["choices"]], ()
    except FileNotFoundError:
        return [], ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        return [], (f"{str(path)!r} cannot be read ({what}), so it is measured again.",)


def _memory_from_json(value: Any) -> _Memory:
    """A KeyError, TypeError or ValueError says what is wrong."""
    figures = value["trial"]
    ratios = tuple(float(ratio) for ratio in figures["ratios"])
    trial = CpuTrial(ratios, float(figures["fp32_ms"]), float(figures["int8_ms"]))
    if not ratios or not all(0 < item < math.inf for item in (*ratios, *astuple(trial)[1:])):
        raise ValueError(f"a trial has the figures {figures}")
    return _Memory(_Situation(**value["situation"]), trial, str(value["date"]))


def _keep(path: Path | None, memories: list[_Memory]) -> tuple[str, ...]:
    """Write the newest choices; a doubt if that is refused."""
    if path is None:
        return ("There is no home folder to remember this in, so each start measures it again.",)
    choices = [asdict(memory) for memory in memories[-MOST_KEPT:]]
    try:
        write_json(path, {"schema_version": SCHEMA_VERSION, "choices": choices})
    except StorageError as error:
        words = "or set XDG_CACHE_HOME, or name one with --precision"
        return (f"Each start measures it again: {error}, {words}.",)
    return ()


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__

"""One quantizer, once, in a process of its own: what it costs is then its own.

Started by `benchmarks/quantizers.py`; prints one line of JSON last.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from peers.names import quantizer
from peers.task import task_from_names

PACKAGES = ("nvidia-modelopt", "nncf", "onnxruntime", "onnxruntime-gpu", "onnx", "numpy")


def peak_bytes() -> int:
    """The largest resident set of this process.

    Not by getrusage: Linux starts its figure at what the parent had when it started us.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("this system does not tell the largest resident set of a process")


def versions() -> dict[str, str]:
    """Of the packages that take part, as far as they are here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Quantize, and print seconds, bytes and versions."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quantizer", required=True)
    parser.add_argument("--bundle", required=True, type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--images", required=True, type=int)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    chosen = quantizer(arguments.quantizer)
    quantize = importlib.import_module(f"peers.{chosen.module}").quantize
    task = task_from_names(
        arguments.bundle,
        arguments.data,
        arguments.root,
        images=arguments.images,
        seed=arguments.seed,
        out=arguments.out,
        float_head=chosen.float_head,
    )
    start = time.perf_counter()
    quantize(task, chosen.method)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes(), "versions": versions()}))


if __name__ == "__main__":
    main()

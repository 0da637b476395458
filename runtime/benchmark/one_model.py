"""A process that runs one model alone, and says when it was ready and what memory it took.

`cold_start` starts it, with a bundle, a model and batch sizes on its command line, and reads its
answer, one line of JSON. The time stamps are of `time.monotonic`, which all processes of a Linux
machine share. Nothing heavy is imported at the top of this file, so that imports are timed as what
they are.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

MARK = "edge-arm one model: "
"""Begins the line that holds the answer; libraries may print lines of their own."""

REFUSED = 2
"""Exit status of an error of ours, whose message is the last line on stderr."""

CALLS = 3
"""At each batch size, before memory is read."""


def main(started_s: float) -> int:
    """Run the model that the command line names.

    Args:
        started_s: when this process came to its first line.

    Returns:
        The exit status: 0 or `REFUSED`.
    """
    from edge_arm.runtime.errors import EdgeArmError

    # A library may print to the process's stdout, past Python: it gets stderr in its place.
    own_stdout = os.dup(1)
    os.dup2(2, 1)
    bundle_path, spec_text, batches_text = sys.argv[1:]
    try:
        answer = timed_start(
            Path(bundle_path), spec_text, json.loads(batches_text), started_s=started_s
        )
    except EdgeArmError as error:
        print(error, file=sys.stderr)
        return REFUSED
    os.write(own_stdout, f"\n{MARK}{json.dumps(answer)}\n".encode())
    return 0


def timed_start(
    folder: Path, spec_text: str, batches: list[int], *, started_s: float
) -> dict[str, Any]:
    """Load and run a model, and say what each part took.

    Args:
        folder: the bundle.
        spec_text: the model and what runs it, see `spec_to_text`.
        batches: batch sizes to read the memory at.
        started_s: when this process came to its first line, by `time.monotonic`.

    Returns:
        Seconds by part, the memory at each batch size in ascending order (bytes now and at most,
        or None), and the GPU's memory where an engine ran.

    Raises:
        BundleError: if the bundle has no such model, or its bytes changed.
        BackendError: if it cannot be run here.
    """
    import numpy as np

    from edge_arm.runtime.benchmark.process_facts import resident_memory
    from edge_arm.runtime.manifest import open_bundle
    from edge_arm.runtime.model_spec import (
        TENSORRT,
        import_library,
        open_file,
        open_model,
        spec_from_text,
    )

    spec = spec_from_text(spec_text)
    import_library(spec.place)
    imported_s = time.monotonic()
    bundle = open_bundle(folder)
    size = bundle.manifest.preprocess.size
    is_engine = spec.place.backend == TENSORRT
    path = None if is_engine else bundle.model(spec.precision, spec.variant)[0]
    verified_s = time.monotonic()
    opened = open_model(bundle, spec) if path is None else open_file(path, spec.place)
    with opened as model:
        loaded_s = time.monotonic()
        # No kernel looks at the pixels; random ones are no smaller than a face's.
        faces = np.random.default_rng(0).integers(0, 256, (max(batches), size, size, 3), np.uint8)
        asked_s = time.monotonic()
        model.infer(faces[:1])
        answered_s = time.monotonic()
        memory = []
        for batch_size in sorted(batches):
            for _ in range(CALLS):
                model.infer(faces[:batch_size])
            resident = resident_memory()
            memory.append(None if resident is None else [resident.now_bytes, resident.most_bytes])
        free_when_loaded = _free_gpu_bytes(spec.place.cuda) if is_engine else None
    # After closing and not before loading: whoever asks a GPU first starts CUDA, and starting it is
    # part of what loading takes.
    free_without = _free_gpu_bytes(spec.place.cuda) if is_engine else None
    return {
        "started_s": started_s,
        "imports_s": imported_s - started_s,
        "bundle_s": verified_s - imported_s,
        "load_s": loaded_s - verified_s,
        "first_answer_s": answered_s - asked_s,
        "memory": memory,
        "gpu_bytes": None
        if free_without is None or free_when_loaded is None
        else free_without - free_when_loaded,
    }


def _free_gpu_bytes(cuda: str) -> int:
    from edge_arm.runtime.cuda_device import open_cuda

    device = open_cuda(cuda)
    try:
        with device.current():
            return device.memory()[0]
    finally:
        device.close()

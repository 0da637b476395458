"""How many threads suit a model on this CPU, and may they spin while they wait?

    python benchmarks/cpu_threads.py build/bundle [--precision int8] [--seconds 1] [--rounds 5]

Every number of threads up to the cores of this process, each with ONNX Runtime's spinning on and
off, takes turns at three things:

- alone: batches of 8 faces, one after the other;
- beside decoding: the same while another thread decodes and resizes the faces of the next batches,
  as `edge-arm run` does with a folder;
- paced: one face at 30 frames per second, each decoded first: the processor time of a frame, which
  is what a board with a battery or without a fan pays.

Medians over the rounds, as a Markdown table. `runtime/classifier/threads.py` has the rule that was
made of it; run this where the rule was only argued.
"""

from __future__ import annotations

import argparse
import queue
import statistics
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edge_arm.data.face_degradation import jpeg_bytes
from edge_arm.data.face_drawing import draw_face
from edge_arm.data.synthesize import face_of
from edge_arm.runtime.backend import Backend
from edge_arm.runtime.classifier.threads import inference_threads, usable_cores
from edge_arm.runtime.errors import EdgeArmError
from edge_arm.runtime.images import decode_image
from edge_arm.runtime.manifest import CPU_VARIANT, MAIN_VARIANT, Precision, open_bundle
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
from edge_arm.runtime.preprocess import Uint8Array, resize_face

BATCH = 8
FRAMES_PER_S = 30.0


@dataclass
class Figures:
    """Of one way to run the model, one entry for each round."""

    alone: list[float] = field(default_factory=list)
    beside_decoding: list[float] = field(default_factory=list)
    frame_cpu_ms: list[float] = field(default_factory=list)


def decoded(jpeg: bytes, size: int) -> Uint8Array:
    """(1, S, S, 3) of a file's bytes."""
    return resize_face(decode_image(jpeg, "a face"), size)[None]


def alone(backend: Backend, faces_nhwc: Uint8Array, seconds: float) -> float:
    """Faces per second with nothing beside it.

    Args:
        backend: the model.
        faces_nhwc: (N, S, S, 3), one batch.
        seconds: to go on for.
    """
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += len(backend.infer(faces_nhwc))
    return done / (time.perf_counter() - start)


def beside_decoding(backend: Backend, jpeg: bytes, seconds: float) -> float:
    """Faces per second while one thread decodes what comes next.

    Args:
        backend: the model.
        jpeg: a face's file.
        seconds: to go on for.
    """
    waiting: queue.Queue[Uint8Array] = queue.Queue(maxsize=2)
    stop = threading.Event()

    def decode() -> None:
        while not stop.is_set():
            faces = np.concatenate([decoded(jpeg, backend.info.input_size) for _ in range(BATCH)])
            while not stop.is_set():
                try:
                    waiting.put(faces, timeout=0.05)
                    break
                except queue.Full:
                    continue

    thread = threading.Thread(target=decode)
    thread.start()
    try:
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            done += len(backend.infer(waiting.get()))
        return done / (time.perf_counter() - start)
    finally:
        stop.set()
        thread.join()


def paced_cpu_ms(backend: Backend, jpeg: bytes, seconds: float) -> float:
    """Processor time of a frame with one face, all threads together.

    Args:
        backend: the model.
        jpeg: a face's file.
        seconds: to go on for.
    """
    frames = max(1, round(seconds * FRAMES_PER_S))
    start, cpu_start = time.perf_counter(), time.process_time()
    for number in range(frames):
        time.sleep(max(0.0, start + number / FRAMES_PER_S - time.perf_counter()))
        backend.infer(decoded(jpeg, backend.info.input_size))
    return 1e3 * (time.process_time() - cpu_start) / frames


def main() -> int:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--precision", choices=[item.value for item in Precision], default="int8")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    precision = Precision(arguments.precision)
    variant = CPU_VARIANT if precision is Precision.INT8 else MAIN_VARIANT
    ways = {(n, spins): Figures() for n in range(1, usable_cores() + 1) for spins in (True, False)}
    with ExitStack() as stack:
        try:
            path, _ = open_bundle(arguments.bundle).model(precision, variant)
            backends = {
                (threads, spins): stack.enter_context(
                    OnnxRuntimeBackend(path, threads=threads, spinning=spins)
                )
                for threads, spins in ways
            }
        except EdgeArmError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        jpeg = jpeg_bytes(draw_face(face_of(0, "test", 1, 0, 1)), 90)
        size = next(iter(backends.values())).info.input_size
        batch = np.repeat(decoded(jpeg, size), BATCH, axis=0)
        for backend in backends.values():
            backend.infer(batch)  # warm
        for _ in range(arguments.rounds):
            for way, figures in ways.items():
                backend = backends[way]
                figures.alone.append(alone(backend, batch, arguments.seconds))
                figures.beside_decoding.append(beside_decoding(backend, jpeg, arguments.seconds))
                figures.frame_cpu_ms.append(paced_cpu_ms(backend, jpeg, arguments.seconds))
    print(
        f"{path.name}, {size} pixels, {usable_cores()} cores; `run` takes {inference_threads()}\n"
    )
    print("| threads | spinning | faces/s alone | beside decoding | ms of processor per frame |")
    print("|---:|---|---:|---:|---:|")
    for (threads, spins), figures in ways.items():
        medians = (figures.alone, figures.beside_decoding, figures.frame_cpu_ms)
        cells = " | ".join(f"{statistics.median(values):,.1f}" for values in medians)
        print(f"| {threads} | {'on' if spins else 'off'} | {cells} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

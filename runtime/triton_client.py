"""A client of a Triton server, complete: pictures of faces in, JSON lines out.

Run it on any machine with `pip install edge-arm`; copy it as the start of your own client::

    python -m edge_arm.runtime.triton_client --model fer_int8 face.jpg other.jpg

It does what every client has to do, and nothing else: resize each face as the model's parameters
say, send all of them, divide the logits by the temperature. Faces are not searched for here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_arm.runtime.errors import EdgeArmError
from edge_arm.runtime.images import read_image
from edge_arm.runtime.preprocess import Uint8Array, resize_face
from edge_arm.runtime.statistics import softmax
from edge_arm.runtime.triton_backend import DEFAULT_URL, TritonBackend, TritonServer, open_triton


def answers(backend: TritonBackend, faces: Sequence[Uint8Array]) -> list[dict[str, Any]]:
    """What the served model says about some faces.

    Args:
        backend: the served model.
        faces: each (H, W, 3) uint8 RGB of any size, one or more.

    Returns:
        For each face its label, the probability of it and of every class, and whether a
        temperature stands behind them.

    Raises:
        BackendUnavailableError, InferenceError: see `TritonBackend.infer`.
    """
    contract = backend.contract
    batch = np.stack([resize_face(face, contract.preprocess.size) for face in faces])
    temperature = contract.temperature
    rows = softmax(backend.infer(batch), temperature=1.0 if temperature is None else temperature)
    return [
        {
            "label": contract.labels.classes[int(row.argmax())],
            "probability": float(row.max()),
            "probabilities": dict(zip(contract.labels.classes, map(float, row), strict=True)),
            "temperature": temperature,
            "model_sha256": contract.model_sha256,
        }
        for row in rows
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client.

    Returns:
        The exit status: 0, 2 with one line on stderr, or 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="python -m edge_arm.runtime.triton_client", description="Ask a Triton server."
    )
    parser.add_argument("pictures", nargs="+", type=Path, help="face crops")
    parser.add_argument("--model", required=True, help="such as fer_int8")
    parser.add_argument("--url", default=DEFAULT_URL, help=f"of the server; {DEFAULT_URL}")
    chosen = parser.parse_args(arguments)
    try:
        backend = open_triton(chosen.model, TritonServer(chosen.url))
        faces = [read_image(path).image_hwc for path in chosen.pictures]
        for path, answer in zip(chosen.pictures, answers(backend, faces), strict=True):
            # ASCII: a name that is no text, or a terminal's encoding, must not stop a result.
            print(json.dumps({"file": str(path), **answer}), flush=True)
    except EdgeArmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the lines, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A small server of the KServe protocol on the loopback, over a Triton model repository.

It is written from the protocol's and Triton's documents, apart from our client: the configuration
is what Triton's own definition makes of `config.pbtxt`, and ONNX Runtime answers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from google.protobuf import json_format, text_format
from rounding_session import rounding_session
from tritonclient.grpc.model_config_pb2 import ModelConfig

LENGTH = "Inference-Header-Content-Length"
NUMPY_TYPES = {"UINT8": np.uint8, "FP32": np.float32}


def read_config(path: Path) -> ModelConfig:
    """A `config.pbtxt` as Triton reads it; an unknown field or a wrong type is an error."""
    return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())


@dataclass
class Served:
    """A running server.

    Attributes:
        url: of it.
        batches: number of faces of each request that was answered.
        spoil: replaces the body of every answer to an inference, if set.
    """

    url: str
    batches: list[int] = field(default_factory=list)
    spoil: bytes | None = None


@contextmanager
def serving(repository: Path) -> Iterator[Served]:
    """Serve the models of a repository whose back end is ONNX Runtime."""
    configs = {path.parent.name: read_config(path) for path in repository.glob("*/config.pbtxt")}
    sessions = {
        name: rounding_session((repository / name / "1" / "model.onnx").read_bytes())
        for name in configs
    }
    served = Served("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            _, _, _, name, _ = self.path.split("/")
            if name not in configs:
                self.send(400, json.dumps({"error": f"unknown model {name!r}"}).encode(), 0)
                return
            text = json_format.MessageToJson(
                configs[name],
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            self.send(200, text.encode(), 0)

        def do_POST(self) -> None:  # noqa: N802
            _, _, _, name, _ = self.path.split("/")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            length = int(self.headers[LENGTH])
            request = json.loads(body[:length])
            (given,) = request["inputs"]
            raw = body[length : length + given["parameters"]["binary_data_size"]]
            faces = np.frombuffer(raw, NUMPY_TYPES[given["datatype"]]).reshape(given["shape"])
            if len(faces) > configs[name].max_batch_size:
                self.send(400, json.dumps({"error": "batch too large"}).encode(), 0)
                return
            (wanted,) = request["outputs"]
            assert wanted["parameters"] == {"binary_data": True}
            (logits,) = sessions[name].run([wanted["name"]], {given["name"]: faces})
            served.batches.append(len(faces))
            output = {
                "name": wanted["name"],
                "datatype": "FP32",
                "shape": list(logits.shape),
                "parameters": {"binary_data_size": logits.nbytes},
            }
            head = json.dumps({"model_name": name, "outputs": [output]}).encode()
            body = head + logits.astype("<f4").tobytes()
            self.send(200, body if served.spoil is None else served.spoil, len(head))

        def send(self, status: int, body: bytes, json_length: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if json_length:
                self.send_header(LENGTH, str(json_length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

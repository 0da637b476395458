"""A model on an NVIDIA Triton server, behind the same seam as one that runs here.

It speaks the KServe protocol, version 2, over HTTP with Triton's binary tensors, by the standard
library alone, so that a client needs no package of NVIDIA's. What the model expects is read from
the server (`triton_contract.py`), and a model that says nothing is refused.

Shapes: N faces in a call, S model input size, C classes.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from edge_arm.runtime.backend import BackendInfo, Float32Array, check_input
from edge_arm.runtime.errors import BackendUnavailableError, InferenceError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.triton_contract import (
    INPUT_NAME,
    OUTPUT_NAME,
    ServedContract,
    contract_from_parameters,
)

DEFAULT_URL = "http://localhost:8000"
_JSON_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class TritonServer:
    """Where a server is.

    Attributes:
        url: such as "http://localhost:8000", or https; a path in it stands before `/v2`.
        timeout_s: how long one answer may take.
    """

    url: str = DEFAULT_URL
    timeout_s: float = 30.0

    def answer(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, http.client.HTTPMessage]:
        """Body and headers of the server's answer to a GET, or with a body to a POST.

        Raises:
            BackendUnavailableError: if the server is not there, or is no Triton.
            InferenceError: if it refuses, with its reason.
        """
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:  # half an IPv6 address, a port that is none
            host = port = None
        if not host or parts.scheme not in kinds:
            raise BackendUnavailableError(
                f"got the server {self.url!r}, expected one such as {DEFAULT_URL!r}; name it with "
                "http:// or https:// and its port"
            )
        try:
            connection = kinds[parts.scheme](host, port, timeout=self.timeout_s)
            try:
                method = "GET" if body is None else "POST"
                connection.request(method, parts.path.rstrip("/") + path, body, dict(headers or {}))
                response = connection.getresponse()
                content = response.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise BackendUnavailableError(
                f"no answer from {self.url!r} ({error or type(error).__name__}), expected a Triton "
                f"server within {self.timeout_s:g} s; start it, or name another one"
            ) from error
        if response.status != 200:
            raise InferenceError(
                f"the server {self.url!r} answered {response.status} to {path!r} "
                f"({_reason(content)}), expected 200; look into the server's log"
            )
        return content, response.headers


class TritonBackend:
    """A served model as a `Backend`. Open it with `open_triton`.

    Each call is a connection of its own: nothing is held open that a restart of the server or a
    lost network could break. Calls of several threads do not disturb each other.
    """

    def __init__(
        self, server: TritonServer, name: str, *, contract: ServedContract, max_batch: int
    ) -> None:
        self.contract = contract
        self.max_batch = max_batch
        self._server = server
        self._path = f"/v2/models/{quote(name, safe='')}/infer"
        self._info = BackendInfo(
            name=f"triton/{name}",
            version="v2",
            model_sha256=contract.model_sha256,
            size_bytes=0,
            input_size=contract.preprocess.size,
            num_classes=len(contract.labels),
            file=name,
        )

    @property
    def info(self) -> BackendInfo:
        """What runs; the size of the file is not told by the server and is 0."""
        return self._info

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        """Logits of some faces, in as many requests as the server's largest batch asks for.

        Args:
            images_nhwc: (N, S, S, 3) uint8 RGB, N >= 1.

        Returns:
            (N, C) float32, a fresh array that the caller owns.

        Raises:
            BackendUnavailableError: if the server has gone.
            InferenceError: if the shape or type is wrong, or the server refuses or answers with
                something else than logits.
        """
        check_input(images_nhwc, self._info.input_size)
        starts = range(0, len(images_nhwc), self.max_batch)
        return np.concatenate(
            [self._request(images_nhwc[start : start + self.max_batch]) for start in starts]
        )

    def __enter__(self) -> TritonBackend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing is held open."""

    def _request(self, images_nhwc: Uint8Array) -> Float32Array:
        pixels = images_nhwc.tobytes()
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": INPUT_NAME,
                        "shape": list(images_nhwc.shape),
                        "datatype": "UINT8",
                        "parameters": {"binary_data_size": len(pixels)},
                    }
                ],
                "outputs": [{"name": OUTPUT_NAME, "parameters": {"binary_data": True}}],
            }
        ).encode()
        content, headers = self._server.answer(
            self._path,
            head + pixels,
            {"Content-Type": "application/octet-stream", _JSON_LENGTH: str(len(head))},
        )
        return self._logits(content, headers, len(images_nhwc))

    def _logits(
        self, content: bytes, headers: http.client.HTTPMessage, num_faces: int
    ) -> Float32Array:
        expected = (num_faces, self._info.num_classes)
        try:
            length = int(headers[_JSON_LENGTH])
            (output,) = json.loads(content[:length])["outputs"]
            got = (output["name"], output["datatype"], tuple(output["shape"]))
            if got != (OUTPUT_NAME, "FP32", expected):
                raise ValueError(f"it is {got}")
            logits = np.frombuffer(content[length:], "<f4").reshape(expected).astype(np.float32)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InferenceError(
                f"the answer of {self._info.name!r} cannot be read ({type(error).__name__}: "
                f"{error}), expected {OUTPUT_NAME!r} as FP32 of shape {expected} in binary form; "
                "is it a Triton server?"
            ) from error
        if not np.isfinite(logits).all():
            raise InferenceError(
                f"{self._info.name!r} answered with logits that are not finite, expected numbers; "
                "look into the server's log"
            )
        return logits


def open_triton(name: str, server: TritonServer | None = None) -> TritonBackend:
    """Ask a server for a model and make sure that this client may use it.

    Args:
        name: of the model, such as "fer_int8".
        server: that has it.

    Raises:
        BackendUnavailableError: if the server is not there, the model has not the form of ours, or
            it does not say what its client must do, see `contract_from_parameters`.
        InferenceError: if the server does not have the model.
    """
    server = server or TritonServer()
    content, _ = server.answer(f"/v2/models/{quote(name, safe='')}/config")
    try:
        config = json.loads(content)
        parameters = {
            str(key): str(value["string_value"])
            for key, value in config.get("parameters", {}).items()
        }
        max_batch = int(config["max_batch_size"])
        form = [_form(tensor) for tensor in (*config["input"], *config["output"])]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BackendUnavailableError(
            f"the configuration of {name!r} on {server.url!r} cannot be read "
            f"({type(error).__name__}: {error}), expected a model's configuration; is it a Triton "
            "server?"
        ) from error
    contract = contract_from_parameters(parameters, name)
    size = contract.preprocess.size
    expected = [
        (INPUT_NAME, "TYPE_UINT8", (size, size, 3)),
        (OUTPUT_NAME, "TYPE_FP32", (len(contract.labels),)),
    ]
    if form != expected or max_batch < 1:
        raise BackendUnavailableError(
            f"the model {name!r} on {server.url!r} has {form} with batches up to {max_batch}, "
            f"expected {expected} as its parameters say; write the model repository again with "
            "'edge-arm serve-triton'"
        )
    return TritonBackend(server, name, contract=contract, max_batch=max_batch)


def _form(tensor: Any) -> tuple[str, str, tuple[int, ...]]:
    return tensor["name"], tensor["data_type"], tuple(int(size) for size in tensor["dims"])


def _reason(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return content[:200].decode("utf-8", "replace") or "no reason"

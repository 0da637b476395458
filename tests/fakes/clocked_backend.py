"""A model that takes exactly the time it is told to, on a clock of its own or on the real one."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edge_arm.runtime.backend import BackendInfo, Float32Array
from edge_arm.runtime.preprocess import Uint8Array

FACES = np.zeros((1, 8, 8, 3), np.uint8)


class FakeClock:
    """Time that only passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += seconds


class ClockedBackend:
    """Sleeps for each call as long as it is told, and answers with zeros."""

    def __init__(
        self,
        seconds: Callable[[int], float],
        sleep: Callable[[float], None] = time.sleep,
        *,
        log: list[str] | None = None,
        name: str = "clocked",
    ) -> None:
        """A loaded model.

        Args:
            seconds: of a call by its number, from 0.
            sleep: passes the time.
            log: gets the name at each call.
            name: of the model.
        """
        self.calls = 0
        self._seconds, self._sleep = seconds, sleep
        self._log, self._name = log, name
        self.info = BackendInfo(name, "1", "0" * 64, 1000, 8, 7, "model.onnx")

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        self._sleep(self._seconds(self.calls))
        self.calls += 1
        if self._log is not None:
            self._log.append(self._name)
        return np.zeros((len(images_nhwc), 7), np.float32)

    def __enter__(self) -> ClockedBackend:
        return self

    def __exit__(self, *_: object) -> None:
        return None

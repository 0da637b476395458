"""Ctrl-C while TensorRT builds: kept until it returns, because an exception cannot pass through it.

TensorRT calls our logger during a build. Python would raise KeyboardInterrupt in there, TensorRT's
binding would print it and go on, and the user's Ctrl-C would be lost.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_log = logging.getLogger(__name__)


@contextmanager
def interrupt_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt when the block ends, if Ctrl-C came inside; the second ends at once.

    Ending at once is safe: a build has written nothing yet, and the operating system gives its lock
    back. In a thread other than the main one Python delivers no signals, and nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def keep(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        del frame
        if asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        asked = True
        _log.warning("stopping when TensorRT returns; Ctrl-C again ends at once")

    before = signal.signal(signal.SIGINT, keep)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt

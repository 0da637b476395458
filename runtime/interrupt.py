"""Ctrl-C kept until a piece of work is done that an exception must not pass through.

Two are of this kind. TensorRT calls our logger during a build: Python would raise KeyboardInterrupt
in there, TensorRT's binding would print it and go on, and the user's Ctrl-C would be lost. And
whoever ends threads must not leave half of them to run on while the interpreter is taken down.
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
def interrupt_kept(work: str) -> Iterator[None]:
    """Raise KeyboardInterrupt when the block ends, if Ctrl-C came inside; the second ends at once.

    SIGTERM is kept as well where it stands for Ctrl-C. In a thread other than the main one Python
    delivers no signals, and nothing is changed.

    Args:
        work: what is waited for, as in "stopping when TensorRT returns".
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
        _log.warning("stopping when %s; Ctrl-C again ends at once", work)

    # Whoever gave SIGINT another meaning, or SIGTERM its own, keeps it.
    before = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if (handler := signal.getsignal(number)) is signal.default_int_handler
    }
    for number in before:
        signal.signal(number, keep)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt

"""Ctrl-C is neither lost nor let loose inside work that it must not end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from edge_arm.runtime.interrupt import interrupt_kept

TWICE = """
import os, signal
from edge_arm.runtime.interrupt import interrupt_kept
with interrupt_kept("TensorRT returns"):
    os.kill(os.getpid(), signal.SIGINT)
    print("still here", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("never", flush=True)
"""


def test_it_is_raised_after_the_block_and_not_inside(caplog: pytest.LogCaptureFixture) -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), interrupt_kept("TensorRT returns"):
        os.kill(os.getpid(), signal.SIGINT)
        reached = True
    assert reached
    assert "stopping when TensorRT returns" in caplog.text


def test_the_handler_of_before_is_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupt_kept("TensorRT returns"):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_of_the_block_is_not_replaced() -> None:
    with pytest.raises(ValueError, match="the block's own"), interrupt_kept("TensorRT returns"):
        raise ValueError("the block's own")


def test_the_second_one_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWICE], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGINT
    assert done.stdout == "still here\n"


def test_another_thread_builds_without_touching_signals() -> None:
    seen = []

    def build() -> None:
        with interrupt_kept("TensorRT returns"):
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    assert seen == [before]


def test_sigterm_is_kept_only_where_it_stands_for_ctrl_c() -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), interrupt_kept("the work is done"):
            os.kill(os.getpid(), signal.SIGTERM)
            done = True
        assert done
    finally:
        signal.signal(signal.SIGTERM, before)
    with interrupt_kept("the work is done"):
        assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt_kept("the work is done"):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

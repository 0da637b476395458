"""A queue that holds little and can be abandoned from either end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from edge_arm.runtime.live.bounded_queue import BoundedQueue, QueueClosed

SOON_S = 5.0
NOT_YET_S = 0.05


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """The thread, and what the work came to: its result or the exception that it raised."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except QueueClosed as closed:
            outcome.append(closed)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_items_come_out_in_the_order_they_went_in() -> None:
    queue = BoundedQueue[int](3, 100)
    for item in (3, 1, 2):
        queue.put(item)
    assert [queue.get() for _ in range(3)] == [3, 1, 2]


def test_a_full_queue_makes_the_next_item_wait() -> None:
    queue = BoundedQueue[str](1, 100)
    queue.put("first")
    thread, outcome = in_thread(lambda: queue.put("second"))
    thread.join(NOT_YET_S)
    assert thread.is_alive()
    assert queue.get() == "first"
    thread.join(SOON_S)
    assert outcome == [None]
    assert queue.get() == "second"


def test_bytes_make_the_next_item_wait_as_well() -> None:
    queue = BoundedQueue[str](10, 100)
    queue.put("first", 60)
    thread, _ = in_thread(lambda: queue.put("second", 60))
    thread.join(NOT_YET_S)
    assert thread.is_alive()
    queue.get()
    thread.join(SOON_S)
    assert not thread.is_alive()


def test_an_item_larger_than_the_limit_is_taken_when_it_is_alone() -> None:
    queue = BoundedQueue[str](10, 100)
    queue.put("huge", 1000)
    assert queue.get() == "huge"


def test_an_item_is_taken_without_waiting_only_if_it_is_wanted() -> None:
    queue = BoundedQueue[int](10, 100)
    assert queue.get_while(lambda item: True, most=9) == []
    queue.put_all((item, 0) for item in (7, 7, 8, 7))
    assert queue.get_while(lambda item: item == 8, most=9) == []
    assert queue.get_while(lambda item: item == 7, most=1) == [7]
    assert queue.get_while(lambda item: item == 7, most=9) == [7]
    assert queue.get() == 8


def test_small_items_are_taken_together_and_large_ones_alone() -> None:
    queue = BoundedQueue[str](10, 1000)
    queue.put_all([("a", 40), ("b", 40), ("c", 40), ("huge", 500), ("d", 10)])
    assert queue.get_some(most_bytes=100) == ["a", "b"]
    assert queue.get_some(most_bytes=100) == ["c"]
    assert queue.get_some(most_bytes=100) == ["huge"]
    assert queue.get_some(most_bytes=100) == ["d"]


def test_more_items_than_there_is_room_for_go_in_as_room_is_made() -> None:
    queue = BoundedQueue[int](2, 100)
    thread, outcome = in_thread(lambda: queue.put_all((item, 0) for item in range(5)))
    assert [queue.get() for _ in range(5)] == [0, 1, 2, 3, 4]
    thread.join(SOON_S)
    assert outcome == [None]


def test_closing_wakes_whoever_waits_for_an_item() -> None:
    queue = BoundedQueue[int](1, 100)
    thread, outcome = in_thread(queue.get)
    queue.close()
    thread.join(SOON_S)
    assert isinstance(outcome[0], QueueClosed)


def test_closing_wakes_whoever_waits_for_room() -> None:
    queue = BoundedQueue[int](1, 100)
    queue.put(1)
    thread, outcome = in_thread(lambda: queue.put(2))
    queue.close()
    thread.join(SOON_S)
    assert isinstance(outcome[0], QueueClosed)


def test_a_closed_queue_takes_and_gives_nothing() -> None:
    queue = BoundedQueue[int](5, 100)
    queue.put(1)
    queue.close()
    queue.close()
    with pytest.raises(QueueClosed):
        queue.get()
    with pytest.raises(QueueClosed):
        queue.get_while(lambda item: True, most=1)
    with pytest.raises(QueueClosed):
        queue.put(2)

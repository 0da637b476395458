"""What stands between two stages of the pipeline: a queue that holds little and can be abandoned.

The standard library's queue bounds the number of items; a frame of a 4K video is 25 MB and an
aligned face 40 kB, so bytes are bounded as well. And a stage that waits at one end must wake up
when the other end has gone, which `queue.Queue` does from Python 3.13 on only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")


class QueueClosed(Exception):  # noqa: N818 - no error: the sign for a stage to stop
    """Nobody wants what the queue holds any more."""


class BoundedQueue(Generic[Item]):
    """First in, first out, between threads; the first item is taken whatever its size.

    Args:
        max_items: to hold at most, at least 1.
        max_bytes: the same for the sum of their sizes.
    """

    def __init__(self, max_items: int, max_bytes: int) -> None:
        assert max_items >= 1
        self._max_items, self._max_bytes = max_items, max_bytes
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = Condition()

    def put(self, item: Item, size_bytes: int = 0) -> None:
        """Add an item as soon as there is room.

        Raises:
            QueueClosed: if it is closed, or gets closed in the meantime.
        """
        with self._changed:
            while not self._closed and self._is_full(size_bytes):
                self._changed.wait()
            if self._closed:
                raise QueueClosed
            self._items.append((item, size_bytes))
            self._bytes += size_bytes
            self._changed.notify_all()

    def get(self) -> Item:
        """Take the oldest item as soon as there is one.

        Raises:
            QueueClosed: if it is closed, or gets closed in the meantime.
        """
        with self._changed:
            while not self._closed and not self._items:
                self._changed.wait()
            return self._take()

    def get_if(self, wanted: Callable[[Item], bool]) -> Item | None:
        """Take the oldest item if it is there already and wanted; never waits.

        Raises:
            QueueClosed: if it is closed.
        """
        with self._changed:
            if not self._closed and not (self._items and wanted(self._items[0][0])):
                return None
            return self._take()

    def close(self) -> None:
        """Forget everything and wake whoever waits; may be called more than once."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._bytes = 0
            self._changed.notify_all()

    def _is_full(self, size_bytes: int) -> bool:
        if not self._items:
            return False
        return len(self._items) >= self._max_items or self._bytes + size_bytes > self._max_bytes

    def _take(self) -> Item:
        if self._closed:
            raise QueueClosed
        item, size_bytes = self._items.popleft()
        self._bytes -= size_bytes
        self._changed.notify_all()
        return item

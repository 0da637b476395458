"""What stands between two stages of the pipeline: a queue that holds little and can be abandoned.

The standard library's queue bounds the number of items; a frame of a 4K video is 25 MB and an
aligned face 40 kB, so bytes are bounded as well. A stage that waits at one end must wake up when
the other end has gone, which `queue.Queue` does from Python 3.13 on only. And several items can go
in or out at once: waking the other end costs more than a small face does in all other respects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import Condition, Lock
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
        lock = Lock()
        self._room, self._arrived = Condition(lock), Condition(lock)

    def put(self, item: Item, size_bytes: int = 0) -> None:
        """Add an item as soon as there is room.

        Raises:
            QueueClosed: if it is closed, or gets closed in the meantime.
        """
        self.put_all([(item, size_bytes)])

    def put_all(self, items: Iterable[tuple[Item, int]]) -> None:
        """Add items with their sizes in order, each as soon as there is room.

        Raises:
            QueueClosed: if it is closed, or gets closed in the meantime.
        """
        with self._room:
            for item, size_bytes in items:
                while not self._closed and self._is_full(size_bytes):
                    self._arrived.notify_all()
                    self._room.wait()
                if self._closed:
                    raise QueueClosed
                self._items.append((item, size_bytes))
                self._bytes += size_bytes
            self._arrived.notify_all()

    def get(self) -> Item:
        """Take the oldest item as soon as there is one.

        Raises:
            QueueClosed: if it is closed, or gets closed in the meantime.
        """
        (item,) = self.get_some(most_bytes=0)
        return item

    def get_some(self, *, most_bytes: int) -> list[Item]:
        """Take the oldest item as soon as there is one, and those behind it that are small.

        Args:
            most_bytes: of all that are taken; the first one is taken whatever its size.

        Raises:
            QueueClosed: if it is closed, or gets closed in the meantime.
        """
        with self._arrived:
            while not self._closed and not self._items:
                self._arrived.wait()
            if self._closed:
                raise QueueClosed
            left = most_bytes - self._items[0][1]
            taken = [self._take()]
            while self._items and 0 < self._items[0][1] <= left:
                left -= self._items[0][1]
                taken.append(self._take())
            self._room.notify_all()
            return taken

    def get_while(self, wanted: Callable[[Item], bool], *, most: int) -> list[Item]:
        """Take the oldest items that are there already, as long as they are wanted; never waits.

        Args:
            wanted: asked about one item after the other; what it does not want stays.
            most: items to take.

        Raises:
            QueueClosed: if it is closed.
        """
        with self._arrived:
            if self._closed:
                raise QueueClosed
            taken: list[Item] = []
            while self._items and len(taken) < most and wanted(self._items[0][0]):
                taken.append(self._take())
            self._room.notify_all()
            return taken

    def close(self) -> None:
        """Forget everything and wake whoever waits; may be called more than once."""
        with self._room:
            self._closed = True
            self._items.clear()
            self._bytes = 0
            self._room.notify_all()
            self._arrived.notify_all()

    def _is_full(self, size_bytes: int) -> bool:
        if not self._items:
            return False
        return len(self._items) >= self._max_items or self._bytes + size_bytes > self._max_bytes

    def _take(self) -> Item:
        item, size_bytes = self._items.popleft()
        self._bytes -= size_bytes
        return item

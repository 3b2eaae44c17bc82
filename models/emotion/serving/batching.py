"""Texts that wait for the model, and which of them make the next batch. Pure; for one thread."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

# A batch takes in texts of other lengths until this share of it would be padding.
# Below, two smaller batches cost less than the padding of one.
MOST_PADDING = 0.25


@dataclass(frozen=True, slots=True, order=True)
class _Waiting(Generic[T]):
    length: int
    number: int
    item: T


class Pool(Generic[T]):
    """Tokenised texts, sorted by length."""

    def __init__(self) -> None:
        self._sorted: list[_Waiting[T]] = []
        self._next = 0

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, item: T, length: int) -> None:
        """Let an item of so many tokens wait."""
        # The number is unique, so that two items are never compared.
        insort(self._sorted, _Waiting(length, self._next, item))
        self._next += 1

    def take(self, budget: int, *, equal: bool = False) -> list[T]:
        """Remove and return the next batch: the oldest item with its nearest in length.

        texts x longest stays within `budget` tokens, unless one text alone exceeds it.
        The oldest is always taken, so that no length waits for ever. `equal`: only
        items of its very length go with it.
        """
        if not self._sorted:
            return []
        waiting = self._sorted
        low = min(range(len(waiting)), key=lambda i: waiting[i].number)
        high = low + 1
        tokens = waiting[low].length
        while low > 0 or high < len(waiting):
            longest = waiting[high - 1].length
            shorter = longest - waiting[low - 1].length if low > 0 else None
            longer = waiting[high].length - longest if high < len(waiting) else None
            upwards = shorter is None or (longer is not None and longer <= shorter)
            added = waiting[high] if upwards else waiting[low - 1]
            padded = (high - low + 1) * max(longest, added.length)
            unequal = equal and added.length != longest
            if unequal or padded > budget or tokens + added.length < (1 - MOST_PADDING) * padded:
                break
            tokens += added.length
            low, high = (low, high + 1) if upwards else (low - 1, high)
        batch = [entry.item for entry in waiting[low:high]]
        del waiting[low:high]
        return batch

    def drain(self) -> list[T]:
        """Remove and return all, oldest first."""
        items = [entry.item for entry in sorted(self._sorted, key=lambda e: e.number)]
        self._sorted.clear()
        return items

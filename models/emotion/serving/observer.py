"""Hooks for metrics. Every method does nothing here; override what you want to count.

Called from the reader's threads and from the event loop: must be thread-safe, must
not block, must not raise.
"""

from __future__ import annotations


class Observer:
    """Base class of no-op hooks."""

    def batch(self, texts: int, tokens: int, padded: int, seconds: float) -> None:
        """A forward pass: texts, their tokens, tokens with padding, seconds in the model."""

    def stage(self, name: str, seconds: float) -> None:
        """Seconds that a batch or chunk spent in `tokenise`, `collate` or `post`."""

    def cache(self, *, hit: bool) -> None:
        """A text was looked up in the cache."""

    def queue(self, depth: int) -> None:
        """Texts accepted and not yet answered."""

    def status(self, status: str) -> None:
        """The breaker's state changed: `ok`, `open`, `half-open`, `starting`, `stopped`."""

    def out_of_memory(self, batch_tokens: int) -> None:
        """Memory ran out; batches now hold at most so many padded tokens."""

    def batches_grew(self, batch_tokens: int) -> None:
        """Memory has sufficed for a while; batches may hold so many padded tokens again."""

    def unreadable(self) -> None:
        """A text was given up because the model raises at it."""

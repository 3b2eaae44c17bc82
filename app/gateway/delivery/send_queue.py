"""What one connection has yet to be sent. Pure, bounded, in order.

Errors:
    Overflow    more is unsent than the bound allows: the client is too slow
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import orjson

from agents.runtime.ports import PushKind, WhenSlow

_OVERHEAD: Final = 64
"""Bytes that an entry costs beside its payload, roughly."""


class Overflow(Exception):
    """The bound is reached; the connection is to be closed."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, encoded.

    Attributes:
        kind: of a push. None for an answer (hello, ack, error, resumed, pong), and for a push of
            a kind that this release does not know: during an upgrade the log may hold some.
        payload: the JSON as it goes over the wire.
        offset: its place in the push log; 0 for an answer.
        caused_by: what `causedBy` in the payload says.
    """

    kind: PushKind | None
    payload: bytes
    offset: int = 0
    caused_by: tuple[str, ...] = ()

    @property
    def when_slow(self) -> WhenSlow:
        """How it may be treated while the client is slow; what has no kind is never dropped."""
        return WhenSlow.KEPT if self.kind is None else self.kind.when_slow


@dataclass(slots=True)
class _Entry:
    frame: Frame
    inherited: dict[str, None] = field(default_factory=dict)
    """Causes of the frames that this one took the place of, in order."""
    inherited_bytes: int = 0

    @property
    def size(self) -> int:
        return len(self.frame.payload) + _OVERHEAD + self.inherited_bytes

    def inherit(self, other: _Entry) -> None:
        # The older one's memory is taken over, not copied: a client that reads nothing
        # must not make each push dearer than the one before.
        older = other.inherited
        for cause in (*other.frame.caused_by, *self.inherited):
            if cause not in older:
                older[cause] = None
                other.inherited_bytes += len(cause) + 3
        self.inherited, self.inherited_bytes = older, other.inherited_bytes

    def payload(self) -> bytes:
        if not self.inherited:
            return self.frame.payload
        document = orjson.loads(self.frame.payload)
        document["causedBy"] = list(dict.fromkeys((*self.inherited, *self.frame.caused_by)))
        return orjson.dumps(document)


class SendQueue:
    """The unsent frames of one connection.

    Up to `conflate_above` unsent bytes everything is kept. Above it the client counts
    as slow: a state update takes the place of all unsent ones, recommendations likewise,
    with the union of their `causedBy`. The newcomer goes to the *end*: what a client has
    seen must be all up to the last offset it has seen, or resume would leave a hole.

    Args:
        max_bytes: unsent bytes at which `push` raises Overflow.
        conflate_above: unsent bytes from which on the client counts as slow.
    """

    def __init__(self, max_bytes: int, conflate_above: int) -> None:
        self._max_bytes = max_bytes
        self._conflate_above = conflate_above
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._unsent: dict[PushKind | None, list[int]] = {
            kind: [] for kind in PushKind.latest_wins()
        }
        self._next = 0
        self.bytes = 0
        """Unsent bytes, entries' overhead included."""
        self.conflated = 0
        """Frames that a newer one took the place of, so far."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def slow(self) -> bool:
        """Whether the client counts as slow."""
        return self.bytes > self._conflate_above

    def push(self, frame: Frame) -> None:
        """Append a frame. Raises Overflow; the frame is then not in the outbox."""
        if frame.when_slow is WhenSlow.SKIPPED and self.slow:
            # The client's place in the log stays before it: a resume would bring it.
            self.conflated += 1
            return
        entry = _Entry(frame)
        conflates = frame.when_slow is WhenSlow.LATEST
        if conflates and self.slow:
            self._replace_unsent(entry)
        # A lone message always goes out, whatever its size.
        if self._entries and self.bytes + entry.size > self._max_bytes:
            raise Overflow
        self._entries[self._next] = entry
        if conflates:
            self._unsent[frame.kind].append(self._next)
        self._next += 1
        self.bytes += entry.size

    def pop(self) -> bytes | None:
        """The payload to be sent next; None when all is sent."""
        if not self._entries:
            return None
        number, entry = self._entries.popitem(last=False)
        if entry.frame.when_slow is WhenSlow.LATEST:
            self._unsent[entry.frame.kind].remove(number)
        self.bytes -= entry.size
        return entry.payload()

    def drop_pushes(self) -> None:
        """Drop unsent pushes: they are about to be read from the log again."""
        for number in [n for n, entry in self._entries.items() if entry.frame.offset]:
            self.bytes -= self._entries.pop(number).size
        for numbers in self._unsent.values():
            numbers.clear()

    def clear(self) -> None:
        """Drop everything: the connection is gone."""
        self._entries.clear()
        for numbers in self._unsent.values():
            numbers.clear()
        self.bytes = 0

    def _replace_unsent(self, newcomer: _Entry) -> None:
        numbers = self._unsent[newcomer.frame.kind]
        merged: _Entry | None = None
        for number in numbers:
            entry = self._entries.pop(number)
            self.bytes -= entry.size
            self.conflated += 1
            if merged is not None:
                entry.inherit(merged)
            merged = entry
        numbers.clear()
        if merged is not None:
            newcomer.inherit(merged)

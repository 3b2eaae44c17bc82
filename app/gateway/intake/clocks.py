"""How far is a device's clock from ours? Message in, milliseconds out; who asks is `intake`.

A learner may use two devices, and one of them may be half an hour slow. Its events would
count as old ones, and what happened last would not be what counts most. So each record
says by how much its sender's clock is off, and the learner's evidence adds that. The times
that the client gave stay as they are.
"""

from __future__ import annotations

from app.gateway.intake.events import Batch, Submission
from app.settings import ClockSettings
from schemas.wire.client import ChatMessage


class DeviceClock:
    """The clock at the other end of one connection.

    Args:
        infers: bounds for guessing from the times of events; None: only `sentAt` tells.
    """

    def __init__(self, infers: ClockSettings | None = None) -> None:
        self._infers = infers
        self._least: int | None = None

    def offset(self, message: Submission, receipt: int) -> int:
        """What to add to the message's times so that they are ours, in milliseconds.

        With `sentAt` it is receipt - `sentAt`. Without, it is the least receipt - time of
        an event on this connection so far, where that lies within the bounds: the event
        that was sent soonest after it happened tells the clock best, and what is below
        the bounds may be a slow network, above them a page that was offline.

        Args:
            message: what came.
            receipt: when it came by our clock, UTC milliseconds.
        """
        if message.sent_at is not None:
            return receipt - message.sent_at
        newest = newest_of(message)
        if self._infers is None or newest is None:
            return 0
        behind = receipt - newest
        self._least = behind if self._least is None else min(self._least, behind)
        within = self._infers.least * 1000 <= abs(self._least) <= self._infers.most * 1000
        return self._least if within else 0


def newest_of(message: Submission) -> int | None:
    """The newest time in a message, as its clock gave it; None where it gives none."""
    if isinstance(message, Batch):
        return max(one.timestamp for one in message.interactions)
    return message.timestamp if isinstance(message, ChatMessage) else None

"""What can go wrong with a reading.

ReaderError
├── UnreadableText      this text makes the model raise, while others pass: a dead letter
├── NotRead             this text is no evidence of how the learner feels; `reason` says why
├── ModelUnavailable    the model does not work at present: try again later
└── ReaderStopped       the reader was stopped, or not started
"""

from __future__ import annotations

from schemas.topics.emotions import Unread


class ReaderError(Exception):
    """Any failure of a reading."""


class UnreadableText(ReaderError):
    """The model raises at this text alone and still reads others; trying again will not help.

    The cause is chained; the message never holds the text.
    """


class NotRead(ReaderError):
    """The text says nothing that the model can read, although the model works.

    Asked, it would answer "neutral" with confidence: a figure that nobody has measured.
    """

    def __init__(self, reason: Unread) -> None:
        super().__init__(f"this text is no evidence: {reason.value}")
        self.reason = reason


class ModelUnavailable(ReaderError):
    """The model fails at known-good texts too. `retry_after`: seconds until it is tried again."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(f"the emotion model does not work at present: {reason}")
        self.retry_after = retry_after


class ReaderStopped(ReaderError):
    """The reader is not running."""


def unreadable(cause: Exception) -> UnreadableText:
    """The error of one text, with its cause but without its words."""
    error = UnreadableText(f"the model cannot read this text ({type(cause).__name__})")
    error.__cause__ = cause
    return error

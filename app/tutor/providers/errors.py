"""What can go wrong between a request and its answer.

TutorError
  NoAnswer           the request ends without an answer; says why, and when to try again
  ProviderFailure    one provider failed once
  Shut               one provider is not to be asked now
  OverBudget         the learner has used what a day allows
  StoreDown          Redis did not do what it was asked to

None of them holds a text of the learner's or of a provider's: they may be logged as they are.
"""

from __future__ import annotations

from enum import StrEnum

from agents.runtime.retrying import StoreError


class TutorError(Exception):
    """The root of this package's errors."""


class Reason(StrEnum):
    """Why there is no answer."""

    OFF = "off"
    """No provider is configured."""
    DEADLINE = "deadline"
    EXHAUSTED = "exhausted"
    """Every provider was asked and failed, or is not to be asked now."""
    BUDGET = "budget"
    BUSY = "busy"
    """This worker has as many requests as it may have."""
    STORE = "store"
    """Budgets and health cannot be known."""


class FailureKind(StrEnum):
    """How a provider failed."""

    CONNECT = "connect"
    """No connection, or lost before any answer."""
    SLOW = "slow"
    """No text in time."""
    STALLED = "stalled"
    """Text, and then none for too long."""
    CUT = "cut"
    """The stream ended before the answer did."""
    MALFORMED = "malformed"
    """Not what the protocol says."""
    EMPTY = "empty"
    """An answer without text that can be seen."""
    NO_ROOM = "no_room"
    """The limit of tokens was used up, by thoughts, before there was any text."""
    FILTERED = "filtered"
    """The provider withheld its answer."""
    RATE_LIMITED = "rate_limited"
    SERVER = "server"
    """5xx, 408 or 409, or an error within the stream."""
    DENIED = "denied"
    """401, 402, 403, or a quota that is spent: the operator has to act."""
    REFUSED = "refused"
    """Another 4xx: it will not take this request, or does not know the model."""
    UNFIT = "unfit"
    """The reply guard has stopped its answer (`models/tutor/guard`)."""


_TRY_AGAIN = frozenset(
    {
        *(FailureKind.CONNECT, FailureKind.CUT, FailureKind.MALFORMED, FailureKind.EMPTY),
        *(FailureKind.RATE_LIMITED, FailureKind.SERVER),
    }
)
# What is unfit is not asked again: the same words are likely, and cost money. It tells of the
# model's health: several in a row leave it alone.
# What is slow is not asked again: half of the learner's patience is gone. 429 has a cooldown
# of its own; what a provider refuses or withholds is about the request and not its health.
_HARMLESS = frozenset(
    {
        *(FailureKind.RATE_LIMITED, FailureKind.REFUSED, FailureKind.FILTERED),
        # The request's limit is too low for this model, which says nothing of a longer answer.
        FailureKind.NO_ROOM,
    }
)


class ProviderFailure(TutorError):
    """One provider failed once.

    Attributes:
        status: of HTTP, or None.
        retry_after: seconds the provider asks to be left alone, or None.
        used: tokens of input and output that it has reported all the same, or None.
    """

    def __init__(
        self,
        provider: str,
        kind: FailureKind,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        used: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(f"{provider}: {kind}" + (f" ({status})" if status else ""))
        self.provider = provider
        self.kind = kind
        self.status = status
        self.retry_after = retry_after
        self.used = used

    @property
    def may_pass(self) -> bool:
        """Whether the same provider may well answer when asked again."""
        return self.kind in _TRY_AGAIN

    @property
    def counts(self) -> bool:
        """Whether it tells of the provider's health."""
        return self.kind not in _HARMLESS


class Shut(TutorError):
    """One provider is not to be asked for so many seconds."""

    def __init__(self, provider: str, wait: float) -> None:
        super().__init__(f"{provider}: not to be asked for {wait:.1f} s")
        self.provider = provider
        self.wait = wait


class OverBudget(TutorError):
    """The learner has used what a day allows, or was erased after asking.

    Attributes:
        limit: "tokens" or "cost"; "erasure".
        wait: seconds until the next day begins.
    """

    def __init__(self, limit: str, wait: float) -> None:
        super().__init__(f"the day's budget does not allow it: {limit}")
        self.limit = limit
        self.wait = wait


class StoreDown(TutorError):
    """Redis did not do what it was asked to.

    Attributes:
        error: which kind of failure, for whoever waits for the store.
    """

    def __init__(self, error: StoreError) -> None:
        super().__init__(error.reason)
        self.error = error


class NoAnswer(TutorError):
    """The request ends without an answer; the learner is told that there is none now.

    Attributes:
        retry_after: seconds after which a repeated request may fare better, or None.
        shown: number of the attempt whose text the learner has seen a part of and that is
            void now, or 0.
    """

    def __init__(self, reason: Reason, *, retry_after: float | None = None, shown: int = 0) -> None:
        super().__init__(f"no answer now: {reason}")
        self.reason = reason
        self.retry_after = retry_after
        self.shown = shown

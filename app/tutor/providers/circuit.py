"""May this provider be asked? A circuit breaker and a cooldown for each, shared by all workers.

Closed: everybody may. After `threshold` failures in a row, open: nobody may, for a while.
Then half open: one request of one worker tries; its success closes the circuit, its failure
opens it for twice as long. A trial whose worker dies is over with its lease.

The breaker is ours because purgatory's, when run with its Redis store, let all of twenty
waiting requests through a half-open circuit, opened after forty failures at a threshold of
five, and took five cancelled calls for failures of a healthy provider.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.tutor.config import BreakerSettings
from app.tutor.metrics import CIRCUIT
from app.tutor.providers.errors import FailureKind, ProviderFailure, Shut
from app.tutor.scripts import ENTER, LEAVE, STATUSES
from app.tutor.store import TutorStore


class Verdict(StrEnum):
    """What an attempt tells of a provider's health."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Entry:
    """The permission to ask one provider once; hand it back by `leave`."""

    provider: str
    trial: bool


class ProviderCircuit:
    """Circuit breakers and cooldowns. Every method raises StoreDown.

    Args:
        lease: seconds that a trial may last; no attempt lasts longer.
    """

    def __init__(self, store: TutorStore, settings: BreakerSettings, lease: float) -> None:
        self._store = store
        self._settings = settings
        self._lease = _millis(lease)
        longest = max(settings.open_max, settings.cooldown_max, settings.window, lease)
        # Idle for this long, nothing that is kept means anything any more.
        self._ttl = 2 * _millis(longest)

    async def waits(self, providers: Sequence[str]) -> dict[str, float]:
        """Seconds until each may be asked; 0.0 for now."""
        if not providers:
            return {}
        found = await self._store.run(STATUSES, [self._key(name) for name in providers])
        for name, trips in zip(providers, found[1::2], strict=True):
            CIRCUIT.labels(name).set(1 if trips else 0)
        return {name: wait / 1000 for name, wait in zip(providers, found[0::2], strict=True)}

    async def enter(self, provider: str) -> Entry:
        """Ask for permission. Raises Shut."""
        wait, trial = await self._store.run(ENTER, [self._key(provider)], self._lease, self._ttl)
        if wait:
            raise Shut(provider, wait / 1000)
        return Entry(provider, bool(trial))

    async def leave(
        self, entry: Entry, verdict: Verdict, failure: ProviderFailure | None = None
    ) -> None:
        """Say how it went; `failure` names what a failed or a limited provider asked for."""
        breaker = self._settings
        # A bad key does not get better with the next request.
        hopeless = failure is not None and failure.kind is FailureKind.DENIED
        trips = await self._store.run(
            LEAVE,
            [self._key(entry.provider)],
            verdict,
            int(entry.trial),
            breaker.threshold if hopeless else 1,
            _millis(self._cooldown(failure)),
            breaker.threshold,
            _millis(breaker.window),
            _millis(breaker.open_for),
            _millis(breaker.open_max),
            self._ttl,
        )
        CIRCUIT.labels(entry.provider).set(1 if trips else 0)

    def _cooldown(self, failure: ProviderFailure | None) -> float:
        if failure is None:
            return 0.0
        asked = failure.retry_after
        if asked is None:
            limited = failure.kind is FailureKind.RATE_LIMITED
            asked = self._settings.cooldown if limited else 0.0
        return min(asked, self._settings.cooldown_max)

    def _key(self, provider: str) -> str:
        return self._store.keys.shared(f"health:{provider}")


def _millis(seconds: float) -> int:
    return math.ceil(seconds * 1000)

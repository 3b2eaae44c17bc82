"""A listener that remembers, and what must be true of everything it hears."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from prometheus_client import REGISTRY

from app.tutor.providers.router_types import Answer, PromptMessage, PromptRole, Request
from models.tutor.providers.evidence import Situation
from schemas.vocabulary import Mood, Task

SITUATION = Situation(Task.DIRECT, Mood.NEUTRAL)


class Ear:
    """Hears, and checks the order while it does."""

    def __init__(self) -> None:
        self.attempts: list[list[str]] = []
        self.void: set[int] = set()
        self.spoken = asyncio.Event()

    async def piece(self, attempt: int, index: int, text: str) -> None:
        assert text
        if attempt == len(self.attempts) + 1:
            assert len(self.void) == len(self.attempts), "a new attempt before the old one is void"
            self.attempts.append([])
        assert attempt == len(self.attempts)
        assert attempt not in self.void
        assert index == len(self.attempts[-1])
        self.attempts[-1].append(text)
        self.spoken.set()

    async def superseded(self, attempt: int) -> None:
        assert attempt == len(self.attempts)
        assert attempt not in self.void
        self.void.add(attempt)

    @property
    def standing(self) -> int:
        """Number of the attempt that is not void, or 0."""
        return len(self.attempts) if len(self.attempts) > len(self.void) else 0

    def check(self, answer: Answer) -> None:
        assert answer.attempt == self.standing == len(self.attempts) > 0
        assert "".join(self.attempts[-1]) == answer.text


def request(text: str = "Why is one half more than one third?", **fields: object) -> Request:
    given = {
        "event_id": str(uuid4()),
        "user_id": f"learner-{uuid4().hex[:8]}",
        "situation": SITUATION,
        "turns": (
            PromptMessage(PromptRole.SYSTEM, "You are a tutor."),
            PromptMessage(PromptRole.USER, text),
        ),
        "input_tokens": 12,
    }
    return Request(**(given | fields))


def metric(name: str, **labels: str) -> float:
    full = f"masterx_tutor_{name}"
    # This family alone: the registry holds the labels of every provider of the session.
    for family in REGISTRY.restricted_registry([full]).collect():
        for sample in family.samples:
            if sample.labels == labels:
                return sample.value
    return 0.0

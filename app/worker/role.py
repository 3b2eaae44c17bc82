"""What a role is made of, and what every role is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from agents.runtime.in_flight import InFlight
from agents.runtime.ports import DeadLetters, Outbox
from app.settings import Role, Settings
from app.worker.health import Watch


@dataclass(frozen=True, slots=True)
class Parts:
    """What every role is given."""

    settings: Settings
    outbox: Outbox
    dead_letters: DeadLetters
    window: InFlight
    watch: Watch


@dataclass(frozen=True, slots=True)
class Agent:
    """A role's agent, ready to be given its stream.

    `on_revoked` is called before the worker rejoins the group, `on_assigned` with its
    new partitions after that.
    """

    topics: tuple[str, ...]
    run: Callable[[AsyncIterator[Any]], Awaitable[None]]
    on_revoked: Callable[[], Awaitable[None]]
    on_assigned: Callable[[set[int]], None]


Builder = Callable[[Parts], AbstractAsyncContextManager[Agent]]
"""Opens what the role needs, yields its agent, and closes everything again."""


def builder(role: Role) -> Builder:
    """The builder of a role; imports its module."""
    build: Builder = import_module(f"app.worker.roles.{role}").build
    return build


def stateless(
    parts: Parts, topics: tuple[str, ...], run: Callable[[AsyncIterator[Any]], Awaitable[None]]
) -> Agent:
    """An agent that keeps nothing between records."""
    return Agent(topics, run, parts.outbox.flush, lambda _partitions: None)

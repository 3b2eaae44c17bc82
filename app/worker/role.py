"""What a worker role is, and the registry of all of them.

A role is one module in `app/worker/roles/` that sets `ROLE`. Whoever has to know the roles asks
here: the command line, the gateway's readiness, erasure, `masterx up`, tests. What is written for
people and orchestrators (compose, Procfile, the pages) is checked against the registry by tests.

Light to import: a declaration imports names of topics only, and `build` what the role needs,
when it runs.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agents.runtime.topics import ERASURES

if TYPE_CHECKING:
    from agents.runtime.in_flight import InFlight
    from agents.runtime.ports import DeadLetters, Outbox
    from app.settings import Settings
    from app.worker.health import WorkerHealth

_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
_LOWEST: Final = 19
"""The niceness behind which there is none."""


class RoleError(ValueError):
    """A role that does not exist, is asked for twice, or is declared wrongly; says which."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What every role is given."""

    role: Role
    settings: Settings
    outbox: Outbox
    dead_letters: DeadLetters
    window: InFlight
    health: WorkerHealth


@dataclass(frozen=True, slots=True)
class Agent:
    """A role's agent, ready to be given its stream.

    `on_revoked` is called before the worker rejoins the group, `on_assigned` with its
    new partitions after that.
    """

    run: Callable[[AsyncIterator[Any]], Awaitable[None]]
    on_revoked: Callable[[], Awaitable[None]]
    on_assigned: Callable[[set[int]], None]


Builder = Callable[[Parts], AbstractAsyncContextManager[Agent]]
"""Opens what the role needs, yields its agent, and closes everything again."""


class Scaling(NamedTuple):
    """What says that a role needs more workers: a metric, and the topics that it is read of.

    No topics: the metric has no such label.
    """

    metric: str
    topics: tuple[str, ...] = ()


def lag_of(*topics: str) -> Scaling:
    """More workers are needed while records of these topics wait."""
    return Scaling("masterx_lag_records", topics)


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of worker.

    Args:
        name: of the role, its consumer group (`<worker.group_prefix>-<name>`) and its module.
        topics: that it reads; partition p of all of them goes to one worker.
        build: opens what it needs. Imports that when it is called.
        erases: whether an erasure is done only once this role has passed it.
        scales_by: what says that it needs more workers; at most one a partition work.
        sends: topics that it writes for other roles. Within one process, such a record wakes the
            role that waits for it (`app.kafka.quirks.Bell`).
        process: under `masterx up`, roles with the same word share a process; None: alone.
        fetch_pause: seconds between two fetches from a broker that does not hold an empty one;
            None: `kafka.empty_fetch_pause`, and a record that another role of the process sends
            ends it. `worker.fetch_pauses` overrides it.
        niceness: 0 to 19, under `masterx up`: on few cores what a learner waits for goes first.
        reads: the newest format of its records that it reads, where it keeps any; called before
            its first heartbeat, which tells it.

    Raises RoleError for what cannot be.
    """

    name: str
    topics: tuple[str, ...]
    build: Builder
    erases: bool
    scales_by: Scaling
    sends: tuple[str, ...] = ()
    process: str | None = None
    fetch_pause: float | None = None
    niceness: int = 0
    reads: Callable[[], int] | None = None

    @property
    def woken(self) -> bool:
        """Whether a record that another role of its process sends ends its pause.

        One with a pause of its own waits for more records, not for the next one.
        """
        return self.fetch_pause is None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise RoleError(f"role {self.name!r}: a name is lower case letters, digits and -")
        if not self.topics or len(set(self.topics)) < len(self.topics):
            raise RoleError(f"role {self.name}: topics must be one or more, each once")
        if self.erases and ERASURES not in self.topics:
            raise RoleError(f"role {self.name}: it cannot erase without reading {ERASURES}")
        if not set(self.scales_by.topics) <= set(self.topics):
            raise RoleError(f"role {self.name}: it cannot scale by topics that it does not read")
        if set(self.sends) & set(self.topics):
            raise RoleError(f"role {self.name}: it cannot send to topics that it reads")
        if self.fetch_pause is not None and self.fetch_pause < 0:
            raise RoleError(f"role {self.name}: fetch_pause {self.fetch_pause} is below 0")
        if not 0 <= self.niceness <= _LOWEST:
            raise RoleError(f"role {self.name}: niceness {self.niceness} is not 0 to {_LOWEST}")


def stateless(parts: Parts, run: Callable[[AsyncIterator[Any]], Awaitable[None]]) -> Agent:
    """An agent that keeps nothing between records."""
    return Agent(run, parts.outbox.flush, lambda _partitions: None)


@cache
def roles() -> Mapping[str, Role]:
    """All roles by name, in the order of the alphabet. Raises RoleError for a wrong module."""
    package = import_module("app.worker.roles")
    found: dict[str, Role] = {}
    for module in sorted(one.name for one in iter_modules(package.__path__)):
        role = getattr(import_module(f"{package.__name__}.{module}"), "ROLE", None)
        if not isinstance(role, Role) or role.name.replace("-", "_") != module:
            raise RoleError(
                f"{package.__name__}.{module}: every module there sets ROLE to a Role that has"
                " the module's name"
            )
        found[role.name] = role
    return MappingProxyType(found)


def chosen(names: Sequence[str]) -> tuple[Role, ...]:
    """The roles of these names. Raises RoleError for an unknown one, a second one, and none."""
    if not names:
        raise RoleError(f"name a role: {', '.join(roles())}")
    for position, name in enumerate(names):
        if name not in roles():
            raise RoleError(f"{name!r} is no role; there are {', '.join(roles())}")
        if name in names[:position]:
            raise RoleError(f"{name!r} is named twice; a process runs each role once")
    return tuple(roles()[name] for name in names)


def alone() -> tuple[tuple[Role, ...], ...]:
    """All roles, each in a process of its own."""
    return tuple((role,) for role in roles().values())


def sharing() -> tuple[tuple[Role, ...], ...]:
    """All roles, those together that share a process on one machine."""
    together: dict[str, list[Role]] = {}
    for role in roles().values():
        together.setdefault(role.process or role.name, []).append(role)
    return tuple(tuple(each) for each in together.values())


def check_names(settings: Settings) -> None:
    """Raises RoleError where a setting names a role that there is not."""
    for name in settings.worker.fetch_pauses:
        if name not in roles():
            raise RoleError(
                f"worker.fetch_pauses names {name!r}, which is no role; there are "
                f"{', '.join(roles())}"
            )


def erasing_roles() -> tuple[str, ...]:
    """The roles that an erasure waits for."""
    return tuple(role.name for role in roles().values() if role.erases)

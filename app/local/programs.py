"""What `masterx up` runs on this machine, and the settings that point at it."""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.local.embedded import Broker, DocumentStore, RedisServer, Service, free_port
from app.settings import GatewaySettings, Settings
from app.worker.role import Role, alone, sharing

_GRACE_BEYOND: Final = 5.0
"""Seconds that a child gets beyond the time in which it ends by itself."""

_LLM_NICENESS: Final = 10
"""The model would take every core while it writes."""


@dataclass(frozen=True, slots=True)
class Program:
    """A child to keep running. `grace`: seconds between SIGTERM and SIGKILL.

    `niceness`: 0-19; on few cores what a learner waits for goes first.
    `roles`: that it runs; their states are told, not its own.
    """

    name: str
    command: Sequence[str]
    grace: float
    niceness: int = 0
    roles: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Of what its state is told."""
        return self.roles or (self.name,)


def programs(settings: Settings) -> tuple[Program, ...]:
    """The gateway, every role, and a local language model where one is wanted."""
    python = [sys.executable, "-m", "app.cli"]
    gateway_grace = 3.5 * settings.gateway.shutdown_timeout + _GRACE_BEYOND  # docs/operations.md
    worker_grace = settings.worker.shutdown_timeout + _GRACE_BEYOND
    local = settings.tutor.local.enabled
    return (
        Program("gateway", [*python, "gateway"], gateway_grace),
        *(
            _worker([*python, "worker"], together, worker_grace)
            for together in (sharing() if settings.embedded.share_processes else alone())
        ),
        *([Program("llm", [*python, "llm"], worker_grace, _LLM_NICENESS)] if local else []),
    )


def _worker(command: Sequence[str], roles: Sequence[Role], grace: float) -> Program:
    names = tuple(role.name for role in roles)
    # Somebody waits for the least nice of them.
    niceness = min(role.niceness for role in roles)
    return Program("+".join(names), [*command, *names], grace, niceness, names)


def embedded_services(settings: Settings) -> tuple[Service, ...]:
    """The services that are ours to start: those whose place no setting names."""
    embedded = settings.embedded
    if not embedded.enabled:
        return ()
    chosen: list[Service] = []
    common: dict[str, Any] = {"host": embedded.host, "start_timeout": embedded.start_timeout}
    if "bootstrap" not in settings.kafka.model_fields_set:
        chosen.append(Broker(embedded.data_dir, port=embedded.kafka_port, **common))
    if "url" not in settings.redis.model_fields_set:
        chosen.append(RedisServer(embedded.data_dir, port=embedded.redis_port, **common))
    if "url" not in settings.mongo.model_fields_set:
        chosen.append(DocumentStore(embedded.data_dir, port=embedded.mongo_port, **common))
    return tuple(chosen)


def connected(settings: Settings, services: Sequence[Service]) -> Settings:
    """The settings, pointing at the services that run."""
    fields = {"kafka": "bootstrap", "redis": "url", "mongo": "url"}
    update: dict[str, Any] = {
        service.name: getattr(settings, service.name).model_copy(
            update={fields[service.name]: service.endpoint}
        )
        for service in services
    }
    gateway = settings.gateway
    if gateway.status_port == 0:  # chosen here, so that we know where to ask
        update["gateway"] = gateway.model_copy(update={"status_port": free_port("127.0.0.1")})
    if not settings.worker.instance:
        # A worker with a name takes its predecessor's place at once. Without, the group
        # waits after a kill until the dead one's session is over; the embedded broker
        # waits without an end, as it never puts a dead leader out.
        ours = any(isinstance(service, Broker) for service in services)
        name = "local" if ours else _instance(settings.embedded.data_dir.absolute())
        update["worker"] = settings.worker.model_copy(update={"instance": name})
    return settings.model_copy(update=update)


def status_url(gateway: GatewaySettings) -> str:
    """Where this machine reaches the gateway's private port."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not bound
    return f"http://{anywhere.get(gateway.status_host, gateway.status_host)}:{gateway.status_port}"


def _instance(data_dir: Path) -> str:
    """A name that lasts: only one supervisor runs with a data folder (app.local.supervisor)."""
    return f"{socket.gethostname()}-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:8]}"

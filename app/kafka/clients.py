"""Every Kafka client that masterx opens: where, with which certificates, as whom.

`producer`, `consumer` and `admin` build one of aiokafka's; a test forbids building one elsewhere.
Faust's own clients take `connection` (app.worker.transport).

aiokafka only says that it cannot connect. `start` and `check` say why, by connecting once more
with the same settings (app.kafka.refusals).

Errors:
    Misconfigured   a file cannot be used, or the broker does not take this client
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final

import aiokafka.errors
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from app.kafka import refusals
from app.kafka.oauth import TokenFile
from app.kafka.settings import PREFIX, KafkaSettings
from app.process.tls import client_context

FAILURES: Final = (aiokafka.errors.KafkaError, OSError, TimeoutError)
"""What a client of aiokafka's raises where it cannot connect."""


def producer(settings: KafkaSettings, **options: Any) -> AIOKafkaProducer:
    """An idempotent producer that waits for all replicas; not yet started.

    Args:
        options: of AIOKafkaProducer, beside those of the connection.
    """
    return AIOKafkaProducer(
        **connection(settings),
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=int(settings.request_timeout * 1000),
        **options,
    )


def consumer(settings: KafkaSettings, *topics: str, **options: Any) -> AIOKafkaConsumer:
    """A consumer that commits only when told to; not yet started.

    Args:
        options: of AIOKafkaConsumer, beside those of the connection.
    """
    return AIOKafkaConsumer(*topics, **connection(settings), enable_auto_commit=False, **options)


@asynccontextmanager
async def admin(
    settings: KafkaSettings, *, client_id: str = "masterx-admin", within: float | None = None
) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client, closed at the end.

    Args:
        within: seconds for one answer; None: `kafka.request_timeout`.

    Raises:
        Misconfigured
        KafkaError, OSError, TimeoutError: no broker answers.
    """
    seconds = settings.request_timeout if within is None else within
    client = AIOKafkaAdminClient(
        **connection(settings),
        client_id=client_id,
        request_timeout_ms=max(1, int(seconds * 1000)),
    )
    await start(settings, client)
    try:
        yield client
    finally:
        await client.close()


async def start(
    settings: KafkaSettings, client: AIOKafkaProducer | AIOKafkaConsumer | AIOKafkaAdminClient
) -> None:
    """Start a client; one that cannot is stopped, or it would linger and say so at exit.

    Raises:
        Misconfigured: the broker does not take it.
        KafkaError, OSError, TimeoutError: no broker answers.
    """
    try:
        await client.start()
    except BaseException as error:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
        if isinstance(error, FAILURES) and _can_be_refused(settings):
            await check(settings, refusals.WITHIN)
        raise


async def check(settings: KafkaSettings, within: float) -> None:
    """Return if a broker takes this client, or if none answers: that may change.

    Args:
        within: seconds at most.

    Raises:
        Misconfigured
    """
    if _can_be_refused(settings):
        await refusals.look(settings, connection(settings), within)


def _can_be_refused(settings: KafkaSettings) -> bool:
    return settings.encrypted or settings.authenticated


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """What every client of aiokafka's is told: where, and how to speak to it.

    Raises:
        UnusableFile: names the setting and the path.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap,
        "security_protocol": settings.security_protocol,
    }
    if settings.encrypted:
        options["ssl_context"] = _context(
            settings.ca_file,
            settings.certificate_file,
            settings.key_file,
            settings.key_password,
            _changed_at(settings),
        )
    if settings.authenticated:
        options["sasl_mechanism"] = settings.sasl_mechanism
    if settings.sasl_username is not None and settings.sasl_password is not None:
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    if settings.oauth_token_file is not None:
        options["sasl_oauth_token_provider"] = TokenFile(settings.oauth_token_file)
    return options


def _changed_at(settings: KafkaSettings) -> tuple[int, ...]:
    """When the files of a context were last written, so that a renewed one is read."""
    found = []
    for path in (settings.ca_file, settings.certificate_file, settings.key_file):
        try:
            found.append(0 if path is None else path.stat().st_mtime_ns)
        except OSError:
            found.append(-1)  # the context says what is wrong with it
    return tuple(found)


# The authorities of a system are read in some 20 ms, and the gateway asks a broker each second.
@lru_cache(maxsize=8)
def _context(
    ca_file: Path | None,
    certificate_file: Path | None,
    key_file: Path | None,
    key_password: Any,
    changed_at: tuple[int, ...],
) -> SSLContext:
    return client_context(
        PREFIX,
        ca_file=ca_file,
        certificate_file=certificate_file,
        key_file=key_file,
        key_password=key_password,
    )

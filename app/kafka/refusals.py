"""Why no broker takes this client: which setting to put right, and how.

Connects to each bootstrap server, and then to each broker that one of them names, as aiokafka's
clients do, and reads what comes back. Used by `app.kafka.clients`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.conn import collect_hosts
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from app.kafka.oauth import ChallengedConnection, TokenUnusable
from app.kafka.settings import PREFIX, KafkaSettings
from app.process.errors import Rejected
from app.process.tls import fault_of

WITHIN: Final = 5.0
"""Seconds for finding out."""
_BROKERS: Final = 16
"""How many of a cluster's brokers are looked at."""

Place = tuple[str, int]


async def look(settings: KafkaSettings, connection: dict[str, Any], within: float) -> None:
    """Return if the brokers take this client, or none answers.

    Args:
        connection: of app.kafka.clients.connection.

    Raises:
        Rejected: names the setting.
    """
    places = [(host, port) for host, port, _ in collect_hosts(connection["bootstrap_servers"])]
    try:
        async with asyncio.timeout(within):
            brokers = await _among(settings, connection, places)
            await _among(settings, connection, brokers[:_BROKERS])
    except TimeoutError:
        return


async def _among(
    settings: KafkaSettings, connection: dict[str, Any], places: list[Place]
) -> list[Place]:
    """The brokers that one of these places names; none where none answers.

    Raises Rejected where one refuses this client and none takes it.
    """
    answers = await asyncio.gather(*(_brokers(connection, place) for place in places))
    refused: list[Rejected] = []
    for place, answer in zip(places, answers, strict=True):
        if isinstance(answer, list):
            return answer
        if (found := _meaning(settings, answer)) is not None:
            setting, reason = found
            refused.append(Rejected("Kafka", f"{place[0]}:{place[1]}", reason, PREFIX + setting))
    if refused:
        raise refused[0]
    return []


async def _brokers(connection: dict[str, Any], place: Place) -> list[Place] | Exception:
    """The brokers that a place names, or why it does not."""
    options = {name: value for name, value in connection.items() if name != "bootstrap_servers"}
    asked = ChallengedConnection(
        *place, client_id="masterx-check", request_timeout_ms=int(WITHIN * 1000), **options
    )
    try:
        await asked.connect()
        metadata = await asked.send(MetadataRequest([]))
        return [(broker[1], broker[2]) for broker in metadata.brokers]
    except (KafkaError, OSError, TimeoutError) as error:
        return error
    finally:
        asked.close()


def _meaning(settings: KafkaSettings, error: BaseException) -> tuple[str, str] | None:
    """Setting and reason; None for what may pass by itself."""
    fault = fault_of(error)
    if settings.encrypted and fault is not None:
        setting = {"authority": "CA_FILE", "own": "CERTIFICATE_FILE", "plain": "SECURITY_PROTOCOL"}
        return setting.get(fault.kind, "BOOTSTRAP"), fault.reason
    return _of_login(settings, error)


def _of_login(settings: KafkaSettings, error: BaseException) -> tuple[str, str] | None:
    mechanism = settings.sasl_mechanism
    said = f" ({error})" if str(error) else ""
    if isinstance(error, TokenUnusable):
        return "OAUTH_TOKEN_FILE", str(error)
    if isinstance(error, UnsupportedSaslMechanismError):
        return "SASL_MECHANISM", f"it does not offer {mechanism} at this port; ask it for another"
    if isinstance(error, IllegalSaslStateError):
        return "SECURITY_PROTOCOL", "nobody logs in at this port; set SSL or PLAINTEXT"
    if isinstance(error, SaslAuthenticationFailed):
        if mechanism == "OAUTHBEARER":
            return "OAUTH_TOKEN_FILE", f"it does not take the token{said}; renew it"
        return "SASL_PASSWORD", (
            f"it does not take this password for {PREFIX}SASL_USERNAME={settings.sasl_username}"
            f"{said}"
        )
    return None

"""The WebSocket's door: who may come in, and how many.

A client that may not is accepted and closed at once with a code of ours: a browser
shows its page the close code, but not the status of a refused handshake. Only a page
of a foreign origin is refused before that, with 403.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import structlog
from pydantic import TypeAdapter, ValidationError
from redis.exceptions import RedisError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from app.gateway.auth.tokens import InvalidToken, KeysUnavailable
from app.gateway.intake import trace
from app.gateway.intake.clocks import DeviceClock
from app.gateway.intake.intake import Sender
from app.gateway.process import metrics
from app.gateway.websocket.connection import Connection
from app.gateway.websocket.protocol import STATE_KEY, GatewayProtocol
from schemas.base import InvalidMessage, Message, UserId
from schemas.wire import CloseCode

if TYPE_CHECKING:
    from app.gateway.process.gateway import Gateway

SUBPROTOCOL: Final = "masterx.v1"
_BEARER: Final = "bearer."
_USER_ID: Final[TypeAdapter[str]] = TypeAdapter(UserId)
_TOKEN_PARAMETERS: Final = frozenset({"token", "access_token", "jwt", "bearer", "authorization"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """Not let in: the close code and the reason."""

    code: int
    reason: str


class WebSocketDoor:
    """ASGI endpoint of `/ws/{user_id}`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._within = gateway.settings.gateway.handshake_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await receive()  # websocket.connect
        headers = Headers(scope=scope)
        if not self._gateway.origin_allowed(headers.get("origin")):
            await send({"type": "websocket.close"})  # before accept: 403
            metrics.CLOSES.labels("403").inc()
            return
        offered = scope.get("subprotocols", [])
        chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
        protocol = scope["state"].get(STATE_KEY)
        if not isinstance(protocol, GatewayProtocol):
            raise RuntimeError(
                "the server runs without GatewayProtocol (app.gateway.process.server)"
            )
        sender = await self._admit_in_time(scope, headers, receive)
        if sender is None:
            return
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": []})
        if isinstance(sender, Refused):
            await _close(send, sender)
            return
        full = await self._gateway.connections.make_room(sender.user_id)
        if full is not None:
            await _close(send, Refused(CloseCode.TRY_AGAIN, full))
            return
        await self._serve(sender, protocol, receive, send)

    async def _serve(
        self, sender: Sender, protocol: GatewayProtocol, receive: Receive, send: Send
    ) -> None:
        connection = Connection(self._gateway, sender, protocol, receive, send)
        self._gateway.connections.add(connection)
        protocol.admitted()
        try:
            code = await connection.run()
        except (RedisError, OSError) as error:
            log.warning("push_log_unavailable", error=type(error).__name__)
            await _close(send, Refused(CloseCode.TRY_AGAIN, "pushes are not available"))
        else:
            metrics.CLOSES.labels(_label(code)).inc()
        finally:
            self._gateway.connections.remove(connection)

    async def _admit_in_time(
        self, scope: Scope, headers: Headers, receive: Receive
    ) -> Sender | Refused | None:
        """As `_admit`; None when the client has gone, or the server ends, before that."""
        admission = asyncio.ensure_future(self._admit(scope, headers))
        # Before it is accepted a client has nothing to send: whatever comes is its end.
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait(
                {admission, gone}, timeout=self._within, return_when=asyncio.FIRST_COMPLETED
            )
            if gone.done():
                return None
            if admission.done():
                return admission.result()
            return Refused(CloseCode.TRY_AGAIN, "the token could not be checked in time")
        finally:
            admission.cancel()
            gone.cancel()

    async def _admit(self, scope: Scope, headers: Headers) -> Sender | Refused:
        user_id = scope["path_params"]["user_id"]
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        if any(name.lower() in _TOKEN_PARAMETERS for name, _ in query):
            # Addresses end up in logs. This token has; its owner should know.
            return Refused(CloseCode.UNAUTHORIZED, "no token in the address, please")
        try:
            principal = await self._gateway.authenticator.verify(_token(scope, headers))
        except InvalidToken as error:
            return Refused(CloseCode.UNAUTHORIZED, str(error))
        except KeysUnavailable as error:
            return Refused(CloseCode.TRY_AGAIN, str(error))
        if not principal.may_see(user_id):
            return Refused(CloseCode.FORBIDDEN, "this token may not see this learner")
        try:
            # A service names anybody, and a record of this learner has to be possible.
            _USER_ID.validate_python(user_id)
        except ValidationError as error:
            why = InvalidMessage.from_pydantic(error, Message).message
            return Refused(CloseCode.FORBIDDEN, f"the user id {why}")
        traceparent = headers.get("traceparent")
        return Sender(
            principal,
            user_id,
            traceparent if trace.valid(traceparent) else None,
            DeviceClock(self._gateway.settings.clock),
        )


def _token(scope: Scope, headers: Headers) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    for offered in scope.get("subprotocols", []):
        if offered.startswith(_BEARER):
            return str(offered.removeprefix(_BEARER))
    return None


async def _close(send: Send, refused: Refused) -> None:
    metrics.CLOSES.labels(str(refused.code)).inc()
    with suppress(OSError):  # it may be gone already
        await send(
            {"type": "websocket.close", "code": refused.code, "reason": refused.reason[:120]}
        )


def _label(code: int) -> str:
    # A client may close with any code; a label may not take any value.
    known = {1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 1011, 1012}
    ours = {value for name, value in vars(CloseCode).items() if name.isupper()}
    return str(code) if code in known | ours else "other"

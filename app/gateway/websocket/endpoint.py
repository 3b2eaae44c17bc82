"""The WebSocket endpoint: who may come in, and how many.

A client that may not is accepted and closed at once with a code of ours: a browser
shows its page the close code, but not the status of a refused handshake. Only a page
of a foreign origin is refused before that, with 403.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qsl

import structlog
from redis.exceptions import RedisError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from app.gateway.auth.admission import Admission, Sender, bearer
from app.gateway.intake.refusal import CLOSE, Refusal
from app.gateway.process import metrics
from app.gateway.websocket.connection import Connection
from app.gateway.websocket.connections import Connections
from app.gateway.websocket.protocol import STATE_KEY, GatewayProtocol
from schemas.wire.errors import CloseCode, ErrorCode

SUBPROTOCOL: Final = "masterx.v1"
_BEARER: Final = "bearer."

Connect = Callable[[Sender, GatewayProtocol, Receive, Send], Connection]
"""Makes the connection of a client that was let in."""

log = structlog.get_logger(__name__)


class WebSocketEndpoint:
    """ASGI endpoint of `/ws/{user_id}`.

    Args:
        admission: who may come in.
        connections: how many.
        connect: makes the connection.
        within: seconds in which a token must be checked.
    """

    def __init__(
        self, admission: Admission, connections: Connections, connect: Connect, within: float
    ) -> None:
        self._admission = admission
        self._connections = connections
        self._connect = connect
        self._within = within

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await receive()  # websocket.connect
        protocol = scope["state"].get(STATE_KEY)
        if not isinstance(protocol, GatewayProtocol):
            raise RuntimeError(
                "the server runs without GatewayProtocol (app.gateway.process.server)"
            )
        sender = await self._enter(scope, receive, send)
        if sender is not None:
            await self._serve(sender, protocol, receive, send)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> Sender | None:
        """Let the client in; None when it may not, or has gone."""
        headers = Headers(scope=scope)
        if not self._admission.origin_allowed(headers.get("origin")):
            await send({"type": "websocket.close"})  # before accept: 403
            metrics.CLOSES.labels("403").inc()
            return None
        offered = scope.get("subprotocols", [])
        chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
        sender = await self._admit_in_time(scope, headers, receive)
        if sender is None:
            return None
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": []})
        if isinstance(sender, Refusal):
            await _close(send, CLOSE[sender.code], sender.message)
            return None
        full = await self._connections.make_room(sender.user_id)
        if full is not None:
            await _close(send, CloseCode.TRY_AGAIN, full)
            return None
        return sender

    async def _serve(
        self, sender: Sender, protocol: GatewayProtocol, receive: Receive, send: Send
    ) -> None:
        connection = self._connect(sender, protocol, receive, send)
        self._connections.add(connection)
        protocol.admitted()
        try:
            code = await connection.run()
        except (RedisError, OSError) as error:
            log.warning("websocket.push_log_unavailable", error=type(error).__name__)
            await _close(send, CloseCode.TRY_AGAIN, "pushes are not available")
        else:
            metrics.CLOSES.labels(_label(code)).inc()
        finally:
            self._connections.remove(connection)

    async def _admit_in_time(
        self, scope: Scope, headers: Headers, receive: Receive
    ) -> Sender | Refusal | None:
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
            return Refusal(ErrorCode.UNAVAILABLE, "the token could not be checked in time")
        finally:
            admission.cancel()
            gone.cancel()

    async def _admit(self, scope: Scope, headers: Headers) -> Sender | Refusal:
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        try:
            principal = await self._admission.principal(
                _token(scope, headers), (name for name, _ in query)
            )
            user_id = scope["path_params"]["user_id"]
            return self._admission.sender(principal, user_id, headers.get("traceparent"))
        except Refusal as refusal:
            return refusal


def _token(scope: Scope, headers: Headers) -> str | None:
    token = bearer(headers.get("authorization"))
    if token is not None:
        return token
    for offered in scope.get("subprotocols", []):
        if offered.startswith(_BEARER):
            return str(offered.removeprefix(_BEARER))
    return None


async def _close(send: Send, code: int, reason: str) -> None:
    metrics.CLOSES.labels(str(int(code))).inc()
    with suppress(OSError):  # it may be gone already
        await send({"type": "websocket.close", "code": int(code), "reason": reason[:120]})


def _label(code: int) -> str:
    # A client may close with any code; a label may not take any value.
    known = {1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 1011, 1012}
    ours = {value for name, value in vars(CloseCode).items() if name.isupper()}
    return str(code) if code in known | ours else "other"

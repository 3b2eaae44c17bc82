"""uvicorn's HTTP and WebSocket protocols, for a port that anyone may connect to.

1. A client is answered or cut. It has `handshake_timeout` seconds to say what it wants, and
   the number of those that have not said it is bounded (`Handshakes`). A request head that is
   too large gets 431 at once, one that is no handshake 400.
2. Tokens fit. The `websockets` library takes header lines of 8 KiB; it gets only the headers
   that it needs for the handshake, the endpoint gets all.
3. Little is buffered below us. What the kernel has taken cannot be conflated any more,
   so it is told to hold little that is not yet sent (TCP_NOTSENT_LOWAT).
4. Closing does not wait for the client to read. `transport.close()` waits until everything is
   sent; here the connection is cut after CLOSE_GRACE.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import BaseTransport, Transport
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.http11 import Request, Response

from app.gateway.process import metrics
from app.gateway.websocket.connections import Handshakes

CLOSE_GRACE: Final = 3.0
"""Seconds in which a client may read what was sent before the close, and answer it."""
STATE_KEY: Final = "websocket_protocol"
"""Where an endpoint finds its protocol in the ASGI scope's `state`."""
MAX_HEAD_BYTES: Final = 32 * 1024
"""Of a request's line and headers: two tokens (`auth.MAX_TOKEN_LENGTH`) and 16 KiB more."""
MAX_HEADERS: Final = 128
SERVICE_RESTART: Final = 1012
INVALID_DATA: Final = 1007

_NOT_SENT: Final = 16 * 1024
_HANDSHAKE_HEADERS: Final = frozenset(
    {
        b"host",
        b"upgrade",
        b"connection",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-extensions",
        # A handshake has no body; these are refused.
        b"content-length",
        b"transfer-encoding",
    }
)
_SUBPROTOCOLS: Final = b"sec-websocket-protocol"

log = structlog.get_logger(__name__)


class GatewayConfig(uvicorn.Config):
    """uvicorn's configuration, and what its protocols share."""

    def __init__(self, app: Any, *, handshakes: Handshakes, **options: Any) -> None:
        super().__init__(
            app,
            http=HttpProtocol,
            ws=GatewayProtocol,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            **options,
        )
        self.handshakes = handshakes


class HttpProtocol(H11Protocol):
    """One HTTP connection, until it becomes a WebSocket; hand it to uvicorn as `http`."""

    config: GatewayConfig

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Count it, or say that there is no room."""
        super().connection_made(transport)
        if not self.config.handshakes.waits_for_client(self):
            self._answer(503, "too many connections at the moment")

    def connection_lost(self, exc: Exception | None) -> None:
        """It needs no room any more."""
        self.config.handshakes.done(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a request that is not whole keeps its deadline."""
        if self.transport.is_closing():
            return
        before = self.conn.their_state
        super().data_received(data)
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return
        handshakes = self.config.handshakes
        unfinished = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if self.conn.their_state is not before:
            handshakes.done(self)  # a body has its own time, and so has the next request
        if unfinished and not handshakes.waits_for_client(self):
            self._answer(503, "too many connections at the moment")

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection to a `GatewayProtocol`, with all that the client said."""
        size = len(event.target) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            metrics.HANDSHAKES_REFUSED.labels("headers").inc()
            self._answer(
                431, f"a handshake has at most {MAX_HEADERS} headers, {MAX_HEAD_BYTES} bytes in all"
            )
            return
        self.connections.discard(self)
        self.config.handshakes.done(self)
        protocol = GatewayProtocol(
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.shake_hands(event, self.headers)

    def on_response_complete(self) -> None:
        """The next request may begin; what the client does not read is cut some time."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._cut_soon()

    def timeout_keep_alive_handler(self) -> None:
        """No further request came."""
        super().timeout_keep_alive_handler()
        self._cut_soon()

    def cut(self, reason: str) -> None:
        """End it: the client kept us waiting, or others need the room."""
        if self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE:
            self._answer(408 if reason == "timeout" else 503, "no whole request came in time")
        else:
            self.transport.abort()

    def shutdown(self) -> None:
        """The server ends. Never raises: others are to be shut down, too."""
        try:
            super().shutdown()
        except h11.LocalProtocolError:  # its answer broke off; nothing more can be said
            self.transport.abort()
        if self.transport.is_closing():
            self._cut_soon()

    def _answer(self, status: int, text: str) -> None:
        body = f"{text}\n".encode("ascii")
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        if status == 503:
            headers.append(("Retry-After", "1"))
        with suppress(h11.LocalProtocolError):  # an answer has begun
            answer = self.conn.send(h11.Response(status_code=status, headers=headers)) or b""
            answer += self.conn.send(h11.Data(data=body)) or b""
            self.conn.send(h11.EndOfMessage())
            self.transport.write(answer)
        self.transport.close()
        self._cut_soon()

    def _cut_soon(self) -> None:
        # Of a connection that is gone by then this does nothing.
        self.loop.call_later(CLOSE_GRACE, self.transport.abort)


class GatewayProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection, from its handshake on."""

    config: GatewayConfig

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._headers: list[tuple[bytes, bytes]] = []
        self._heard_at = self.loop.time()
        self._asked_at = self._heard_at
        self._heard: asyncio.Future[None] | None = None
        self._cut_timer: asyncio.TimerHandle | None = None

    # -- the handshake -----------------------------------------------------------------

    def connection_made(self, transport: BaseTransport) -> None:
        """Bound what the kernel holds."""
        super().connection_made(transport)
        self.config.handshakes.waits_for_us(self)
        connection = transport.get_extra_info("socket")
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if option is not None and connection is not None:
            with suppress(OSError):  # a Unix socket has no TCP options
                connection.setsockopt(socket.IPPROTO_TCP, option, _NOT_SENT)

    def shake_hands(self, request: h11.Request, headers: list[tuple[bytes, bytes]]) -> None:
        """Begin with a request to upgrade; `headers` have names in lower case."""
        self._headers = headers
        lines = [b"%s %s HTTP/1.1" % (request.method, request.target)]
        lines += [b"%s: %s" % one for one in headers if one[0] in _HANDSHAKE_HEADERS]
        self.data_received(b"\r\n".join([*lines, b"", b""]))
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # The library could not read it, and uvicorn would leave the client without answer.
            self._refuse()

    def handle_connect(self, event: Request) -> None:
        """Let the endpoint find this protocol, and all headers."""
        super().handle_connect(event)
        if self.response.status_code != 101:
            self._cut_soon()
            return
        offered = [
            value.decode("latin-1") for name, value in self._headers if name == _SUBPROTOCOLS
        ]
        self.scope["headers"] = self._headers
        self.scope["subprotocols"] = [one.strip() for one in ",".join(offered).split(",") if one]
        self.scope["state"][STATE_KEY] = self

    def admitted(self) -> None:
        """The client is in: the handshake is over, and nobody reads its headers any more."""
        self.config.handshakes.done(self)
        # The token among them. Several kilobytes of an idle socket, held in four places.
        self._headers.clear()
        self.scope["headers"] = []
        self.scope["subprotocols"] = []
        self.request.headers.clear()
        self.response.headers.clear()

    def _refuse(self, status: int = 400, text: str = "not a WebSocket handshake") -> None:
        # The library may have an answer of its own to what it could not read.
        answer = b"".join(self.conn.data_to_send())
        if not answer:
            headers = Headers({"Content-Length": str(len(text)), "Connection": "close"})
            phrase = HTTPStatus(status).phrase
            answer = Response(status, phrase, headers, text.encode("ascii")).serialize()
        self.handshake_complete = self.close_sent = True
        self.transport.write(answer)
        self.transport.close()
        self._cut_soon()

    # -- what comes in -----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """A sign of life."""
        self._heard_at = self.loop.time()
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)
        super().data_received(data)

    def send_receive_event_to_app(self) -> None:
        """A whole message; a text that is no UTF-8 ends the connection."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError as error:
                self.frames = []
                self.conn.fail(INVALID_DATA, f"{error.reason} at position {error.start}")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """The client does not speak the protocol: one line in the log, and the close."""
        close = self.conn.close_sent
        log.info("connection.invalid_frame", code=close.code if close is not None else None)
        if close is not None:
            super().handle_parser_exception()
            self._cut_soon()
            return
        # Before it was open, or behind a close frame: no close frame can say it.
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        self.close_sent = True
        self.transport.abort()

    def handle_ping(self) -> None:
        """Answer, but do not pile up answers for a client that does not read them."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    async def silent(self, within: float) -> bool:
        """Whether nothing comes for `within` seconds after a ping; one is sent if need be."""
        if self._heard is None or self._heard.done():
            self._heard = self.loop.create_future()
            if self.pending_ping_payload is not None and self.ping_sent_at > self._heard_at:
                self._asked_at = self.ping_sent_at
            else:
                self._asked_at = self.loop.time()
                with suppress(InvalidState):
                    self.conn.send_ping(b"")
                    self.transport.write(b"".join(self.conn.data_to_send()))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._asked_at + within):
                await asyncio.shield(self._heard)
        return not self._heard.done()

    # -- the end -----------------------------------------------------------------------

    async def run_asgi(self) -> None:
        """The endpoint, after which the client has a moment to read what is left."""
        await super().run_asgi()
        if self.disconnected:
            return
        self._cut_soon()
        if not self.config.handshakes.waits_for_client(self):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.config.handshakes.done(self)
        if self._cut_timer is not None:
            self._cut_timer.cancel()
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)
        super().connection_lost(exc)

    def cut(self, reason: str) -> None:
        """End it: it is refused, and does not go."""
        self.transport.abort()

    def close_now(self, code: int, reason: str = "") -> None:
        """Send a close frame behind what is in the transport; cut after CLOSE_GRACE."""
        self.stop_keepalive()
        self._cut_soon()
        if self.close_sent or self.transport.is_closing():
            return
        with suppress(InvalidState):
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def shutdown(self) -> None:
        """The server ends. Never raises: others are to be shut down, too."""
        if self.handshake_complete:
            self.close_now(SERVICE_RESTART, "the server restarts")
        else:
            # The endpoint need not wait for whatever it waits for.
            self.queue.put_nowait({"type": "websocket.disconnect", "code": SERVICE_RESTART})
            self._refuse(503, "the server restarts")

    def keepalive_timeout(self) -> None:
        """The client has not answered a ping."""
        super().keepalive_timeout()
        self._cut_soon()

    def _cut_soon(self) -> None:
        if self._cut_timer is None:
            self._cut_timer = self.loop.call_later(CLOSE_GRACE, self.transport.abort)

"""uvicorn's WebSocket protocol, with the two things that a server of slow clients needs.

1. Little is buffered below us. What the kernel has taken cannot be conflated any more,
   so it is told to hold little that is not yet sent (TCP_NOTSENT_LOWAT).
2. Closing does not wait for the client to read. uvicorn queues the close frame behind
   whatever the client does not read, and its `transport.close()` waits for that too, for
   ever; here the connection is cut after a grace.
"""

from __future__ import annotations

import socket
from asyncio import BaseTransport
from contextlib import suppress
from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

CLOSE_GRACE: Final = 3.0
"""Seconds in which a client may read what was sent before the close, and answer it."""
STATE_KEY: Final = "websocket_protocol"
"""Where an endpoint finds its protocol in the ASGI scope's `state`."""
SERVICE_RESTART: Final = 1012

_NOT_SENT: Final = 16 * 1024


class GatewayProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection; hand it to uvicorn as `ws`."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Bound what the kernel holds."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if option is not None and connection is not None:
            with suppress(OSError):  # a Unix socket has no TCP options
                connection.setsockopt(socket.IPPROTO_TCP, option, _NOT_SENT)

    def handle_connect(self, event: Request) -> None:
        """Let the endpoint find this protocol."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["state"][STATE_KEY] = self

    def close_now(self, code: int, reason: str = "") -> None:
        """Send a close frame behind what is in the transport; cut after CLOSE_GRACE."""
        self.stop_keepalive()
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
        self.close_timer = self.loop.call_later(CLOSE_GRACE, self.transport.abort)

    def shutdown(self) -> None:
        """The server ends."""
        if self.handshake_complete:
            self.close_now(SERVICE_RESTART, "the server restarts")
        else:
            super().shutdown()

    def keepalive_timeout(self) -> None:
        """The client has not answered a ping."""
        super().keepalive_timeout()
        self.loop.call_later(CLOSE_GRACE, self.transport.abort)

"""The gateway as a process: the ASGI app, and uvicorn around it.

On SIGTERM: stop accepting, answer what is under way, close every socket with 1012,
deliver what Kafka has not acknowledged, end. In units of `gateway.shutdown_timeout`, answering
takes at most 1, telling the clients 0.5, closing 1 and delivering 1.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from socket import socket
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.gateway.auth.admission import local_origins, origins
from app.gateway.intake.refusal import STATUS, Refusal
from app.gateway.process import status
from app.gateway.process.gateway import Gateway
from app.gateway.rest import openapi, pages, routes
from app.gateway.rest.bodies import may_go_on
from app.gateway.websocket.protocol import GatewayConfig
from app.kafka import clients
from app.process.errors import Misconfigured, Unavailable
from app.process.exits import Exit, end_now
from app.process.logs import configure
from app.process.probes import probe_mongo
from app.redis.requirements import Unfit, require
from app.settings import Settings
from schemas.wire.errors import ErrorCode
from schemas.wire.rest import Problem

_HARD_LIMIT: Final = 2
"""Messages up to this many times the allowed size get an error, and the connection lives
on; larger ones are not read at all (close code 1009)."""
_ASKED_WITHIN: Final = 3.0
"""Seconds at the start for a service to refuse this client."""
_ABORTED: Final = 0.05
"""Seconds after which a connection that was aborted is no longer among the open ones."""

log = structlog.get_logger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """The ASGI app. Its WebSockets need `GatewayProtocol` (see `server`)."""
    gateway = Gateway(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await gateway.open()
        try:
            yield
        finally:
            await gateway.close()

    app = FastAPI(
        title="masterx",
        summary="Interactions and chat in; state, recommendations and interventions out.",
        description="Live pushes come over the WebSocket, or to polls: docs/wire.md.",
        version="1",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.gateway = gateway
    app.state.rest = gateway.rest
    app.state.readiness = gateway.readiness
    app.include_router(routes.router)
    app.include_router(status.router)
    app.include_router(pages.router(example=settings.environment == "development"))
    path = f"{routes.PREFIX}/ws/{{user_id:path}}"
    app.router.routes.append(WebSocketRoute(path, gateway.websocket))
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins(settings)),
        allow_origin_regex=local_origins(settings),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "traceparent"],
        expose_headers=["Retry-After"],
        max_age=600,
    )
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _fault)
    openapi.install(app)
    return app


class GatewayServer(uvicorn.Server):
    """uvicorn's server, which lets the gateway say goodbye before it closes sockets."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self.gateway = gateway
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, but a signal that was obeyed is not raised again: exit status 0."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Connect, listen, say so."""
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop accepting, drain, then what uvicorn does.

        The lifespan's end delivers what Kafka has not acknowledged: it runs whatever fails before.
        """
        for server in self.servers:
            server.close()
        try:
            await self.gateway.drain()
        except Exception:
            log.exception("gateway.drain_failed")
        # First, each by itself: uvicorn goes through them too, and ends with the first that fails.
        for connection in list(self.server_state.connections):
            try:
                connection.shutdown()
            except Exception:
                log.exception("gateway.connection_not_closed")
                connection.transport.abort()
        await asyncio.sleep(_ABORTED)
        await super().shutdown(sockets)


def server(settings: Settings) -> GatewayServer:
    """A server for these settings; `await server(settings).serve()` runs it."""
    app = create_app(settings)
    bounds = settings.gateway
    config = GatewayConfig(
        _past_the_middleware(app),
        interface="asgi3",
        handshakes=app.state.gateway.handshakes,
        host=bounds.host,
        port=bounds.port,
        loop="uvloop",
        # Deflate costs some 300 kB a connection, and our messages are small.
        ws_per_message_deflate=False,
        ws_max_size=_HARD_LIMIT * bounds.max_message_bytes,
        ws_ping_interval=bounds.ping_interval,
        ws_ping_timeout=bounds.ping_interval,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(bounds.shutdown_timeout),
    )
    # At info uvicorn logs each address with its query: somebody's token may stand there.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return GatewayServer(config, app.state.gateway)


def _past_the_middleware(app: FastAPI) -> ASGIApp:
    """The app, but a WebSocket goes straight to its route.

    All middleware is for HTTP, and each frame of it would stay in memory with the socket.
    """
    [sockets] = (route for route in app.router.routes if isinstance(route, WebSocketRoute))

    def serve(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "websocket":
            return sockets(scope, receive, send)
        return app(scope, receive, send)

    return serve


def run(settings: Settings) -> None:
    """Run the gateway until SIGTERM or SIGINT.

    Ends the process with `Exit.UNAVAILABLE` where Redis cannot be used as it is, and with
    `Exit.CONFIG` where a service does not take this client as the settings say.
    """
    configure(settings.log, role="gateway")
    try:
        asyncio.run(_require(settings))
    except Misconfigured as error:
        end_now(Exit.CONFIG, str(error))
    except Unfit as error:
        end_now(Exit.UNAVAILABLE, str(error))
    log.info("gateway.starting", host=settings.gateway.host, port=settings.gateway.port)
    server(settings).run()
    log.info("gateway.stopped")


async def _require(settings: Settings) -> None:
    """Return where all services take this client, or do not answer: the gateway waits for those.

    Raises Misconfigured, Unfit.
    """
    await asyncio.gather(
        clients.check(settings.kafka, _ASKED_WITHIN),
        require(settings.redis),
        _taken_by_mongo(settings),
    )


async def _taken_by_mongo(settings: Settings) -> None:
    with suppress(Unavailable):
        await probe_mongo(settings.mongo, within=_ASKED_WITHIN)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.code is ErrorCode.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if may_go_on(request, request.app.state.rest.max_body_bytes):
        headers["Connection"] = "close"
    problem = Problem(error=error.error(getattr(request.state, "message_id", None)))
    response = routes.answer(problem, STATUS[error.code])
    response.headers.update(headers)
    return response


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {404: ErrorCode.NOT_FOUND, 405: ErrorCode.METHOD_NOT_ALLOWED}
    code = known.get(error.status_code, ErrorCode.INVALID_MESSAGE)
    refusal = Refusal(code, str(error.detail))
    response = routes.answer(Problem(error=refusal.error()), error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _fault(request: Request, error: Exception) -> Response:
    return await _refused(request, Refusal.internal())

"""/healthz and /readyz of the public port, and what the private port adds to them.

The public port says yes or no: it is free of tokens and limits, and anyone may reach it.
The private one (`gateway.status_host`, `gateway.status_port`) says why, and has /metrics.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any, Final, Literal
from urllib.parse import parse_qs

import orjson
import structlog
from fastapi import APIRouter, Query, Request, Response

from app.gateway.process.health import LoopLag, Readiness
from app.process.status_server import Answer, StatusServer
from app.settings import GatewaySettings

router = APIRouter(tags=["operations"])
log = structlog.get_logger(__name__)

_ANSWER_WITHIN: Final = 4.0
"""Seconds in which the event loop must answer the private port; its dependencies take half."""


@router.get("/healthz")
async def healthz() -> Response:
    """Alive: it answers."""
    return _json({"status": "alive"}, 200)


@router.get("/readyz", responses={503: {"description": "Not ready"}})
async def readyz(
    request: Request,
    roles: Literal["all"] | None = Query(
        None, description="`all`: MongoDB and every worker role have to be ready, too"
    ),
) -> Response:
    """Ready to take messages: Kafka and Redis answer. The private port says what does not."""
    readiness: Readiness = request.app.state.readiness
    ready = await readiness.ready(roles=roles is not None)
    return _json({"ready": ready}, 200 if ready else 503)


class PrivateStatus:
    """The private port of one gateway.

    Args:
        settings: where it listens.
        readiness, loop_lag: asked on the event loop that calls `open`.
    """

    def __init__(self, settings: GatewaySettings, readiness: Readiness, loop_lag: LoopLag) -> None:
        self._settings = settings
        self._readiness = readiness
        self._loop_lag = loop_lag
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: StatusServer | None = None

    @property
    def address(self) -> str:
        """host:port; empty before `open`."""
        return "" if self._server is None else self._server.address

    def open(self) -> None:
        """Listen, and log where. Ends the process when the port cannot be had."""
        self._loop = asyncio.get_running_loop()
        self._server = StatusServer(
            self._settings.status_host,
            self._settings.status_port,
            {"/healthz": self._healthz, "/readyz": self._readyz},
            setting="gateway.status_host and gateway.status_port",
        )
        log.info("gateway.status_listening", address=self.address)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            await asyncio.to_thread(self._server.close)

    # -- in a thread of the server --------------------------------------------------------

    def _healthz(self, _query: str) -> Answer:
        document = {
            "status": "alive",
            "loopLagSeconds": round(self._loop_lag.worst, 4),
            "loopSilentSeconds": round(self._loop_lag.silent, 1),
        }
        return 200, document

    def _readyz(self, query: str) -> Answer:
        assert self._loop is not None
        asked = asyncio.run_coroutine_threadsafe(self._readiness.report(), self._loop)
        try:
            report: dict[str, Any] = asked.result(_ANSWER_WITHIN)
        except (TimeoutError, concurrent.futures.CancelledError):
            asked.cancel()
            return 503, {"ready": False, "detail": f"no answer within {_ANSWER_WITHIN:g} s"}
        asked_for = "allReady" if parse_qs(query).get("roles") == ["all"] else "ready"
        return 200 if report[asked_for] else 503, report


def _json(document: object, status: int) -> Response:
    return Response(
        orjson.dumps(document),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )

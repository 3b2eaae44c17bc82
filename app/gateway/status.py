"""/healthz, /readyz, /metrics: for operators, free of tokens and limits."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.gateway.gateway import Gateway

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz(request: Request) -> Response:
    """Alive: it answers. `loopLagSeconds`: how late its event loop was at worst, lately."""
    gateway: Gateway = request.app.state.gateway
    document = {"status": "alive", "loopLagSeconds": round(gateway.loop_lag.worst, 4)}
    return _json(document, 200)


@router.get(
    "/readyz", responses={503: {"description": "Something is not ready; the body says what"}}
)
async def readyz(request: Request) -> Response:
    """Ready: every dependency and every worker role. With each one's state."""
    gateway: Gateway = request.app.state.gateway
    report = await gateway.readiness.report()
    return _json(report, 200 if report["ready"] else 503)


@router.get("/metrics")
async def metrics() -> Response:
    """Prometheus metrics of this process."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _json(document: object, status: int) -> Response:
    return Response(
        orjson.dumps(document),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )

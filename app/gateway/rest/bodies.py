"""A request's body as a JSON object, never more of it in memory than allowed."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from app.gateway.intake.refusal import Refusal
from app.gateway.websocket import codec
from schemas.wire.errors import ErrorCode


def may_go_on(request: Request, max_bytes: int) -> bool:
    """Whether an unread body may be larger than allowed: then the connection has to end,
    or the server would read on and throw away for as long as the client likes to send.
    """
    declared = request.headers.get("content-length", "")
    small = declared.isascii() and declared.isdigit() and int(declared) <= max_bytes
    return "transfer-encoding" in request.headers or (bool(declared) and not small)


async def read_json(request: Request, max_bytes: int) -> dict[str, Any]:
    """Read the body.

    Raises:
        Refusal: UNSUPPORTED_MEDIA_TYPE, TOO_LARGE, INVALID_JSON, INVALID_MESSAGE.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if media_type != "application/json" or encoding != "identity":
        raise Refusal(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            "the body is application/json, not compressed",
            "Content-Type" if media_type != "application/json" else "Content-Encoding",
        )
    too_large = Refusal(ErrorCode.TOO_LARGE, f"a body has at most {max_bytes} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        # A client may declare no length, or a wrong one.
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    try:
        document = codec.load(body)
    except ValueError:
        raise Refusal(ErrorCode.INVALID_JSON, "not JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise Refusal(ErrorCode.INVALID_MESSAGE, "the body is a JSON object")
    return document

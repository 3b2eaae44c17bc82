"""What the client library raises, as one of our kinds of failure. Nothing of its text is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2
import openai

from app.tutor.errors import FailureKind, ProviderFailure

_DENIED: Final = frozenset({401, 402, 403})
_SERVER: Final = frozenset({408, 409, 425})


def failure(provider: str, error: Exception, *, streaming: bool) -> ProviderFailure:
    """As a ProviderFailure.

    Args:
        error: what openai or httpx2 raised, or reading a chunk did.
        streaming: whether the response had begun.
    """
    match error:
        case openai.APIStatusError(status_code=int(status)):
            return ProviderFailure(
                provider,
                _of_status(status),
                status=status,
                retry_after=retry_after(error.response.headers, time.time()),
            )
        case openai.APITimeoutError() | httpx2.TimeoutException():
            kind = FailureKind.STALLED if streaming else FailureKind.SLOW
        case openai.APIConnectionError() | httpx2.HTTPError() | OSError():
            kind = FailureKind.CUT if streaming else FailureKind.CONNECT
        case openai.APIResponseValidationError():
            kind = FailureKind.MALFORMED
        case openai.APIError():
            # A well-formed error in place of the next chunk.
            kind = FailureKind.SERVER
        case _:
            kind = FailureKind.MALFORMED
    return ProviderFailure(provider, kind)


def _of_status(status: int) -> FailureKind:
    if status == 429:
        return FailureKind.RATE_LIMITED
    if status in _DENIED:
        return FailureKind.DENIED
    if status >= 500 or status in _SERVER:
        return FailureKind.SERVER
    return FailureKind.REFUSED


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a response asks for, >= 0; None when it does not, or not understandably.

    `Retry-After` holds seconds or a date (RFC 9110); `retry-after-ms` is OpenAI's finer one.

    Args:
        now: seconds since the epoch.
    """
    millis, plain = headers.get("retry-after-ms"), headers.get("retry-after")
    seconds = _number(millis)
    if seconds is not None:
        return seconds / 1000
    if plain is None:
        return None
    seconds = _number(plain)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(plain).timestamp() - now)
    except (ValueError, OverflowError, TypeError):
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None

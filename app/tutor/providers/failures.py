"""What the client library raises, as one of our kinds of failure. Nothing of its text is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2
import openai

from app.tutor.providers.errors import FailureKind, ProviderFailure

_DENIED: Final = frozenset({401, 402, 403})
_SERVER: Final = frozenset({408, 409, 425})
_LIMITED: Final = frozenset({429, 498})
"""498 is Groq's: its capacity is used up for now."""
_STATUSES: Final = range(400, 600)
_CODES: Final[Mapping[str, FailureKind]] = {
    code: kind
    for kind, codes in {
        # Money, and not a rate: no waiting helps. Other codes speak of a "quota" for limits that
        # are over in milliseconds, so only these.
        FailureKind.DENIED: "insufficient_quota exceeded_current_quota_error"
        " billing_hard_limit_reached billing_not_active insufficient_balance insufficient_credits"
        " insufficient_funds account_deactivated access_terminated invalid_api_key"
        " authentication_error permission_error permission_denied billing_error",
        FailureKind.RATE_LIMITED: "rate_limit_exceeded rate_limit_error rate_limited"
        " too_many_requests resource_exhausted",
        FailureKind.FILTERED: "content_filter content_policy_violation data_inspection_failed"
        " responsible_ai_policy_violation",
        FailureKind.REFUSED: "invalid_request_error context_length_exceeded model_not_found"
        " not_found_error request_too_large",
    }.items()
    for code in codes.split()
}
"""What a provider's `code`, `type` or `status` says more exactly than HTTP's status does."""


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
                _of_status(status, _said(error.body)),
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
            kind = FailureKind.SERVER
        case _:
            kind = FailureKind.MALFORMED
    return ProviderFailure(provider, kind)


def of_error_object(provider: str, error: object) -> ProviderFailure:
    """Of an error that stands in a stream whose HTTP status was 200."""
    if isinstance(error, dict):
        for field in ("code", "status", "status_code"):
            status = _status(error.get(field))
            if status is not None:
                kind = _of_status(status, _said(error))
                return ProviderFailure(provider, kind, status=status)
    return ProviderFailure(provider, _said(error) or FailureKind.SERVER)


def _said(error: object) -> FailureKind | None:
    """The kind that an error object's own words name; None where they name none."""
    if isinstance(error, str):
        return _CODES.get(error.strip().lower())
    if not isinstance(error, dict):
        return None
    inner = error.get("error")
    if isinstance(inner, dict | str):
        error = inner if isinstance(inner, dict) else {"code": inner}
    words = (error.get(field) for field in ("code", "type", "status"))
    kinds = [kind for word in words if isinstance(word, str) and (kind := _said(word))]
    # `type` is often the wider of the two: a spent quota may be an `invalid_request_error`.
    return next((kind for kind in kinds if kind is not FailureKind.REFUSED), None) or next(
        iter(kinds), None
    )


def _status(value: object) -> int | None:
    """An HTTP status of failure, as a number or as text."""
    if isinstance(value, str) and value.isdecimal() and len(value) == len(str(_STATUSES.start)):
        value = int(value)
    return value if type(value) is int and value in _STATUSES else None


def _of_status(status: int, said: FailureKind | None) -> FailureKind:
    """By HTTP's status, and by the error's own words where it is the request's or the key's."""
    if status >= 500 or status in _SERVER:
        return FailureKind.SERVER
    if said in (FailureKind.DENIED, FailureKind.FILTERED, FailureKind.RATE_LIMITED):
        return said
    if status in _LIMITED:
        return FailureKind.RATE_LIMITED
    if status in _DENIED:
        return FailureKind.DENIED
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

"""What went wrong, for programs: error codes, and the close codes of a WebSocket."""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """What went wrong, for programs."""

    INVALID_JSON = "invalid_json"
    INVALID_MESSAGE = "invalid_message"
    UNKNOWN_TYPE = "unknown_type"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_LARGE = "too_large"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    CONSENT_REQUIRED = "consent_required"
    RATE_LIMITED = "rate_limited"
    SLOW_DOWN = "slow_down"
    UNAVAILABLE = "unavailable"
    NOT_FOUND = "not_found"
    INTERNAL = "internal"


class CloseCode:
    """WebSocket close codes of our own (RFC 6455 leaves 4000-4999 to applications)."""

    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    TOO_SLOW = 4408
    TRY_AGAIN = 4503

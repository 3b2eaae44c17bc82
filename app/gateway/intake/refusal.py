"""Why a message or a connection was not accepted, said once for both doors.

Errors:
    Refusal    carries the code, the field and a sentence; the WebSocket sends it as
               `error` or closes with a code, REST sends a status with `Problem`
"""

from __future__ import annotations

from typing import Final

from schemas.wire.errors import CloseCode, ErrorCode
from schemas.wire.server import Error

STATUS: Final[dict[ErrorCode, int]] = {
    ErrorCode.INVALID_JSON: 422,
    ErrorCode.INVALID_MESSAGE: 422,
    ErrorCode.UNKNOWN_TYPE: 422,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.CONSENT_REQUIRED: 403,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.SLOW_DOWN: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.INTERNAL: 500,
}
"""HTTP status of each code."""

CLOSE: Final[dict[ErrorCode, int]] = {
    ErrorCode.UNAUTHORIZED: CloseCode.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: CloseCode.FORBIDDEN,
    ErrorCode.UNAVAILABLE: CloseCode.TRY_AGAIN,
}
"""WebSocket close code of each code that keeps a client from coming in."""


class Refusal(Exception):
    """Not accepted. Its words go to the client: no text, no token in them.

    Attributes:
        code: for programs.
        message: one sentence for people.
        field: dotted path of the offending field, or None.
        retry_after: seconds after which trying again makes sense, or None.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.field = field
        self.retry_after = retry_after

    def error(self, message_id: str | None = None) -> Error:
        """As it goes over the wire, in answer to the message with this id."""
        return Error(
            id=message_id,
            code=self.code,
            field=self.field,
            message=self.message,
            retry_after=self.retry_after,
        )

    @classmethod
    def internal(cls) -> Refusal:
        """A fault in masterx; the log says which."""
        return cls(ErrorCode.INTERNAL, "masterx failed; try again with the same id")

    @classmethod
    def unavailable(cls, what: str) -> Refusal:
        """A service behind us does not answer; the client keeps the message and tries again."""
        return cls(ErrorCode.UNAVAILABLE, f"{what}; try again with the same id", retry_after=1.0)

"""Who comes in through either door, WebSocket or REST, and for which learner they speak.

Errors:
    Refusal    UNAUTHORIZED, FORBIDDEN, or UNAVAILABLE while the signing keys cannot be fetched
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter, ValidationError

from app.gateway.auth.tokens import Authenticator, InvalidToken, KeysUnavailable, Principal
from app.gateway.intake import trace
from app.gateway.intake.clocks import DeviceClock
from app.gateway.intake.refusal import Refusal
from app.settings import Settings
from schemas.base import InvalidMessage, Message, UserId
from schemas.wire.errors import ErrorCode

_TOKEN_PARAMETERS: Final = frozenset({"token", "access_token", "jwt", "bearer", "authorization"})
"""Query parameters that clients put tokens into. Addresses end up in logs."""
_LOCAL_ORIGIN: Final = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
_USER_ID: Final[TypeAdapter[str]] = TypeAdapter(UserId)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, for which learner, within which trace, by which clock."""

    principal: Principal
    user_id: str
    traceparent: str | None = None
    clock: DeviceClock = field(default_factory=DeviceClock)

    @property
    def acts(self) -> bool:
        """Whether this sender speaks as the learner, and does not only look."""
        return self.principal.may_act_as(self.user_id)


class Admission:
    """Checks tokens, origins, and which learner a principal may see."""

    def __init__(self, settings: Settings, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._clock = settings.clock
        self._origins = {origin.lower() for origin in origins(settings)}
        self._local = local_origins(settings)

    def origin_allowed(self, origin: str | None) -> bool:
        """Whether a page of this origin may connect; programs send none."""
        if origin is None:
            return True
        said = origin.strip().lower()
        return said in self._origins or (
            self._local is not None and re.fullmatch(self._local, said) is not None
        )

    async def principal(self, token: str | None, query: Iterable[str]) -> Principal:
        """Who showed this token. Raises Refusal.

        Args:
            token: from a header or a subprotocol.
            query: names of the address's query parameters; none may be a token's.
        """
        if any(name.lower() in _TOKEN_PARAMETERS for name in query):
            raise Refusal(
                ErrorCode.UNAUTHORIZED, "send the token in a header, never in the address"
            )
        try:
            return await self._authenticator.verify(token)
        except InvalidToken as error:
            raise Refusal(ErrorCode.UNAUTHORIZED, str(error)) from None
        except KeysUnavailable as error:
            raise Refusal.unavailable(str(error)) from None

    def sender(self, principal: Principal, user_id: str, traceparent: str | None) -> Sender:
        """A principal who connects to one learner, by one device. Raises Refusal."""
        check_may_see(principal, user_id)
        try:
            # A service names anybody, and a record of this learner has to be possible.
            _USER_ID.validate_python(user_id)
        except ValidationError as error:
            why = InvalidMessage.from_pydantic(error, Message).message
            raise Refusal(ErrorCode.FORBIDDEN, f"the user id {why}", "userId") from None
        valid = traceparent if trace.valid(traceparent) else None
        return Sender(principal, user_id, valid, DeviceClock(self._clock))


def bearer(authorization: str | None) -> str | None:
    """The token of an Authorization header; None where it holds no bearer token."""
    scheme, _, credentials = (authorization or "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def check_may_see(principal: Principal, user_id: str) -> None:
    """Raises Refusal (FORBIDDEN) unless this principal may see this learner."""
    if not principal.may_see(user_id):
        raise Refusal(ErrorCode.FORBIDDEN, "this token may not see this learner", "userId")


def origins(settings: Settings) -> tuple[str, ...]:
    """Origins that may connect; in development the gateway's own address, too."""
    allowed = settings.gateway.allowed_origins
    if settings.environment == "development":
        allowed += (f"http://{settings.gateway.host}:{settings.gateway.port}",)
    return allowed


def local_origins(settings: Settings) -> str | None:
    """A pattern of further ones: in development any page that this machine serves."""
    return _LOCAL_ORIGIN if settings.environment == "development" else None

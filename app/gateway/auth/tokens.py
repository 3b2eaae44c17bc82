"""Who is speaking, and for whom may they speak? Signed tokens (JWT) in, a `Principal` out.

HS256 with a shared secret for development; public keys from a JWKS with issuer and
audience for production, never both: a token chooses neither its algorithm's family
nor its key's type.

Errors:
    AuthError
      InvalidToken        what was shown is no valid token of ours (401, 4401)
        ExpiredToken      it was one
      KeysUnavailable     the keys cannot be had, so nobody can tell (503, 4503)
      CannotIssue         tokens come from elsewhere (`auth.jwks_url`), or it would be refused
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError
from joserfc.jwk import Key, OctKey
from joserfc.jws import extract_compact
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry
from pydantic import TypeAdapter, ValidationError

from app.gateway.auth.jwks import ALGORITHMS as PUBLIC_ALGORITHMS
from app.gateway.auth.jwks import FetchFailed, JwksCache, UnknownKey
from app.settings import AuthSettings
from schemas.base import UserId, new_event_id
from schemas.vocabulary import Role

MAX_TOKEN_LENGTH: Final = 8_192
"""Characters; a longer one is not looked at."""

_SECRET_ALGORITHMS: Final = ("HS256",)
_JSON_TYPES: Final[dict[type, str]] = {str: "string", list: "array", dict: "object"}
_USER_ID: Final[TypeAdapter[str]] = TypeAdapter(UserId)


class AuthError(Exception):
    """Nobody in particular is speaking. The text is fit for the client; it never holds a token."""


class InvalidToken(AuthError):
    """Not a valid token of ours."""


class ExpiredToken(InvalidToken):
    """A token of ours, but its time is over."""


class KeysUnavailable(AuthError):
    """The signing keys could not be fetched; trying again may help."""


class CannotIssue(AuthError):
    """With a JWKS, tokens come from the identity provider; and none is valid for too long."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever showed a valid token.

    Attributes:
        subject: user id.
        role: what it may do.
        learners: whom an observer may see.
        consent: whether the learner has agreed to be processed.
        expires_at: epoch seconds, leeway included.
        why_no_consent: for whoever made the token; means nothing with consent.
    """

    subject: str
    role: Role
    learners: frozenset[str]
    consent: bool
    expires_at: float
    why_no_consent: str = "the token gives no consent; nothing is processed without it"

    def may_act_as(self, user_id: str) -> bool:
        """Whether events of this learner are taken from this principal."""
        if self.role is Role.LEARNER:
            return user_id == self.subject
        return self.role in (Role.SERVICE, Role.ADMIN)

    def may_see(self, user_id: str) -> bool:
        """Whether this principal is shown this learner's state."""
        if self.role is Role.OBSERVER:
            return user_id in self.learners
        return self.may_act_as(user_id)


def issue(
    auth: AuthSettings,
    user: str,
    *,
    role: str = "learner",
    ttl: float = 3600.0,
    consent: bool = True,
    learners: Iterable[str] = (),
) -> str:
    """A token signed with the shared secret.

    Args:
        auth: secret, issuer, audience, names of the claims.
        user: the subject.
        role: one of `Role`.
        ttl: seconds from now until it expires, at most `auth.max_lifetime`; may be negative, for
            tests of expiry.
        consent: whether the learner has agreed to be processed.
        learners: whom an observer may see.

    Raises:
        CannotIssue: `auth.jwks_url` is set, or `ttl` is above `auth.max_lifetime`.
        ValueError: no such role, or no usable user id.
    """
    if auth.jwks_url is not None:
        raise CannotIssue("tokens come from the identity provider behind auth.jwks_url")
    if ttl > auth.max_lifetime:
        raise CannotIssue(f"a token is valid for at most {auth.max_lifetime:.0f} s")
    now = time.time()
    claims: dict[str, Any] = {
        "sub": _USER_ID.validate_python(user),
        "iat": int(min(now, now + ttl)),
        "exp": now + ttl,
        "jti": new_event_id(),
        auth.role_claim: Role(role).value,
        auth.consent_claim: consent,
    }
    if auth.issuer is not None:
        claims["iss"] = auth.issuer
    if auth.audience is not None:
        claims["aud"] = auth.audience
    if learners:
        claims[auth.learners_claim] = list(learners)
    return jwt.encode({"alg": "HS256"}, claims, _secret_key(auth))


class Authenticator:
    """Verifies tokens.

    Args:
        auth: the secret or the JWKS, and what the claims must say.
        now: epoch seconds.
    """

    def __init__(self, auth: AuthSettings, now: Callable[[], float] = time.time) -> None:
        self._auth = auth
        self._now = now
        self._jwks = None
        if auth.jwks_url:
            self._jwks = JwksCache(
                auth.jwks_url,
                ttl=auth.jwks_ttl,
                timeout=auth.jwks_timeout,
                stale_for=auth.jwks_stale_for,
            )
        self._secret = None if self._jwks else _secret_key(auth)

    async def close(self) -> None:
        """Let go of the connection to the JWKS."""
        if self._jwks is not None:
            await self._jwks.close()

    async def verify(self, token: str | None) -> Principal:
        """Who showed this token.

        Raises:
            InvalidToken: missing, malformed, wrong key, algorithm, issuer, audience or claim, or
                valid for longer than `auth.max_lifetime`.
            ExpiredToken: its time is over.
            KeysUnavailable: the JWKS cannot be fetched.
        """
        if not token:
            raise InvalidToken("a token is needed")
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidToken("the token is too long")
        try:
            if self._jwks is not None:
                key = await self._public_key(self._jwks, token)
                algorithms: tuple[str, ...] = PUBLIC_ALGORITHMS
            else:
                assert self._secret is not None
                key, algorithms = self._secret, _SECRET_ALGORITHMS
            claims = jwt.decode(token, key, algorithms=algorithms).claims
            self._check(claims)
        except ExpiredTokenError:
            raise ExpiredToken("the token has expired") from None
        except (JoseError, ValueError, TypeError, OverflowError) as error:
            # Without the original text: it may quote the token.
            raise InvalidToken(f"the token is not valid ({_reason(error)})") from None
        return self._principal(claims)

    async def _public_key(self, jwks: JwksCache, token: str) -> Key:
        header = extract_compact(token.encode()).headers()
        try:
            return await jwks.find(header.get("kid"), str(header.get("alg")))
        except UnknownKey as error:
            raise InvalidToken(f"the token is not valid ({error})") from None
        except FetchFailed as error:
            raise KeysUnavailable("the signing keys cannot be fetched at the moment") from error

    def _check(self, claims: dict[str, Any]) -> None:
        required: dict[str, ClaimsOption] = {"exp": {"essential": True}, "sub": {"essential": True}}
        if self._auth.issuer is not None:
            required["iss"] = {"essential": True, "value": self._auth.issuer}
        if self._auth.audience is not None:
            required["aud"] = {"essential": True, "value": self._auth.audience}
        # The registry counts whole seconds: it is asked with those to spare, for the types.
        registry = JWTClaimsRegistry(
            now=lambda: int(self._now()), leeway=math.ceil(self._auth.leeway) + 1, **required
        )
        registry.validate(claims)
        now, leeway = self._now(), self._auth.leeway
        if claims["exp"] + leeway <= now:
            raise ExpiredTokenError("exp")
        for claim in ("nbf", "iat"):
            if claims.get(claim, now) > now + leeway:
                raise InvalidClaimError(claim)
        if claims["exp"] > now + self._auth.max_lifetime:
            days = self._auth.max_lifetime / 86_400
            raise InvalidToken(
                f"the token's `exp` is more than {days:g} days ahead; it is seconds since 1970, "
                "not milliseconds"
            )

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        auth = self._auth
        try:
            subject = _USER_ID.validate_python(claims["sub"])
        except ValidationError:
            raise InvalidToken("the token's `sub` is no usable user id") from None
        try:
            role = Role(claims.get(auth.role_claim, Role.LEARNER))
        except ValueError:
            raise InvalidToken(f"the token's `{auth.role_claim}` is no role of ours") from None
        learners = claims.get(auth.learners_claim, [])
        if not isinstance(learners, list) or not all(isinstance(one, str) for one in learners):
            raise InvalidToken(f"the token's `{auth.learners_claim}` is no list of user ids")
        return Principal(
            subject=subject,
            role=role,
            learners=frozenset(learners),
            consent=claims.get(auth.consent_claim) is True,
            expires_at=claims["exp"] + auth.leeway,
            why_no_consent=_why_no_consent(auth.consent_claim, claims.get(auth.consent_claim)),
        )


def _why_no_consent(claim: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return f"the token's `{claim}` is not true: without consent nothing is processed"
    kind = _JSON_TYPES.get(type(value), "number")
    return (
        f"the token's `{claim}` is a JSON {kind}; only the boolean true is consent, and without "
        "it nothing is processed"
    )


def _secret_key(auth: AuthSettings) -> OctKey:
    return OctKey.import_key(auth.secret.get_secret_value())


def _reason(error: Exception) -> str:
    claim = getattr(error, "claim", None)
    code = getattr(error, "error", None) or "malformed"
    return f"{code}: {claim}" if claim else str(code)

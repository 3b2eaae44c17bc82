"""OAUTHBEARER: the token that a client shows, and what a broker says of one that it refuses.

Errors:
    TokenUnusable   the token file cannot be read, or its token is over
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from pathlib import Path
from typing import Any

import aiokafka.errors
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator


class TokenUnusable(aiokafka.errors.KafkaError):  # type: ignore[misc]
    """The file cannot be read, or its token is over.

    aiokafka tries again, as with a broker that is away: whoever renews the token may be late.
    """

    def __str__(self) -> str:
        return str(self.args[0])


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    """The token of OAUTHBEARER, read from its file for each connection."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """The token. Raises TokenUnusable."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> str:
        try:
            token = self._path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise TokenUnusable(f"cannot read {self._path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise TokenUnusable(f"{self._path} holds no token: it is not plain text") from None
        if not token:
            raise TokenUnusable(f"{self._path} is empty")
        over = _expiry(token)
        if over is not None and over <= time.time():
            ago = time.time() - over
            raise TokenUnusable(f"the token in {self._path} expired {ago:.0f} s ago; renew it")
        return token


def _expiry(token: str) -> float | None:
    """A JWT's `exp` in seconds since 1970; None for a token of another kind."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, binascii.Error, ValueError, KeyError, TypeError):
        return None


class ChallengedConnection(AIOKafkaConnection):  # type: ignore[misc]
    """A connection that reads why a broker refuses a token; aiokafka's does not.

    A broker answers a token that it refuses with a challenge, and closes at the next request.
    """

    def __init__(
        self, *args: Any, sasl_oauth_token_provider: TokenFile | None = None, **options: Any
    ) -> None:
        super().__init__(*args, sasl_oauth_token_provider=sasl_oauth_token_provider, **options)
        self._tokens = sasl_oauth_token_provider

    def authenticator_oauth(self) -> OAuthAuthenticator:
        """Called by aiokafka for each login."""
        return _Challenged(sasl_oauth_token_provider=self._tokens)


class _Challenged(OAuthAuthenticator):  # type: ignore[misc]
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._asked = False

    async def step(self, payload: bytes | None) -> Any:
        if self._asked and payload:
            raise aiokafka.errors.SaslAuthenticationFailed(payload.decode(errors="replace"))
        self._asked = True
        return await super().step(payload)

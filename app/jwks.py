"""The public keys of an identity provider (JWKS, RFC 7517), fetched and kept for a while.

Errors:
    UnknownKey     the set has no key for this token
    FetchFailed    the set cannot be had
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import httpx
import orjson
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA", "Ed25519")
"""What may have signed a token. Never `none`, never a shared-secret algorithm."""

_KEY_TYPE: Final = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP", "Ed25519": "OKP"}
_CURVES: Final = {"ES256": {"P-256"}, "EdDSA": {"Ed25519", "Ed448"}, "Ed25519": {"Ed25519"}}

_REFETCH_AFTER: Final = 5.0
"""Seconds between two fetches, at least: tokens with invented key ids must not become
requests to the identity provider."""
_STALE_FOR: Final = 3_600.0
"""Seconds that keys past their time still serve while the provider does not answer."""
_MAX_BYTES: Final = 1_000_000
_TIMEOUT: Final = 5.0

log = structlog.get_logger(__name__)


class UnknownKey(LookupError):
    """The set has no key that could have signed this token."""


class FetchFailed(RuntimeError):
    """The set could not be fetched, and there is no earlier one to go by."""


class JwksCache:
    """The keys at one URL.

    Args:
        url: of the JWKS document.
        ttl: seconds that fetched keys are taken for current.
        clock: monotonic seconds.
    """

    def __init__(self, url: str, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._ttl = ttl
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False)

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """The key with this id, of the type that the algorithm needs.

        Without an id the set must hold exactly one key of that type.

        Raises:
            UnknownKey: no such key, also after a fresh fetch, or not such an algorithm.
            FetchFailed: there are no keys to look in.
        """
        if algorithm not in _KEY_TYPE:
            raise UnknownKey("its algorithm is not accepted")
        if self._age() > self._ttl:
            await self._fetch()
        key = self._look(kid, algorithm)
        if key is None:
            # Signed with a key that is newer than what we hold, or with none of theirs.
            await self._fetch()
            key = self._look(kid, algorithm)
        if self._age() > self._ttl + _STALE_FOR:
            raise FetchFailed("the keys have not been fetched for too long")
        if key is None:
            raise UnknownKey("its key is not known")
        return key

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    def _look(self, kid: str | None, algorithm: str) -> Key | None:
        fitting = [key for key in self._keys if _fits(key, algorithm)]
        if kid is not None:
            fitting = [key for key in fitting if key.kid == kid]
        return fitting[0] if len(fitting) == 1 else None

    async def _fetch(self) -> None:
        async with self._fetching:
            now = self._clock()
            if self._tried_at is not None and now - self._tried_at < _REFETCH_AFTER:
                return
            self._tried_at = now
            try:
                keys = await self._download()
            except (httpx.HTTPError, ValueError, KeyError, TypeError, JoseError) as error:
                log.warning("jwks_fetch_failed", error=type(error).__name__, keys=len(self._keys))
                return
            self._keys, self._fetched_at = keys, self._clock()

    async def _download(self) -> tuple[Key, ...]:
        body = bytearray()
        async with self._http.stream("GET", self._url) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ValueError("the key set is too large")
        keys = []
        for entry in orjson.loads(body)["keys"]:
            # A shared secret has no place in a public document; kinds we do not know
            # may stand beside those that we do (RFC 7517, section 5).
            if entry.get("kty") in _KEY_TYPE.values() and entry.get("use", "sig") == "sig":
                try:
                    keys.append(JWKRegistry.import_key(entry))
                except (JoseError, ValueError):
                    log.warning("jwks_key_skipped", kid=entry.get("kid"))
        return tuple(keys)


def _fits(key: Key, algorithm: str) -> bool:
    if key.key_type != _KEY_TYPE[algorithm]:
        return False
    declared = key.get("alg")
    if declared is not None and declared != algorithm:
        return False
    curves = _CURVES.get(algorithm)
    return curves is None or key.get("crv") in curves

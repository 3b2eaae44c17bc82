"""The public keys of an identity provider (JWKS, RFC 7517), fetched and kept for a while.

Errors:
    UnknownKey     the set has no key for this token
    FetchFailed    the set cannot be had
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
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
_MAX_BYTES: Final = 1_000_000

log = structlog.get_logger(__name__)


class UnknownKey(LookupError):
    """The set has no key that could have signed this token."""


class FetchFailed(RuntimeError):
    """The set could not be fetched, and there is no earlier one to go by."""


class JwksCache:
    """The keys at one URL.

    They are fetched when they are first needed, and again in the background when they are `ttl`
    old. Nobody waits for that: keys past their time serve on for `stale_for`. Only a token whose
    key we do not hold waits for a fetch, and all such tokens wait for the same one.

    Args:
        url: of the JWKS document.
        ttl: seconds that fetched keys are taken for current.
        timeout: seconds that a fetch may take, its body included.
        stale_for: seconds that keys past their time serve while the provider does not answer.
        refetch_after: seconds from the end of one fetch to the next, at least: tokens with
            invented key ids must not become requests to the identity provider.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        ttl: float,
        timeout: float,
        stale_for: float,
        refetch_after: float = _REFETCH_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._ttl = ttl
        self._timeout = timeout
        self._stale_for = stale_for
        self._refetch_after = refetch_after
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._fetched_at: float | None = None
        self._tried_at = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None
        self._due: asyncio.TimerHandle | None = None
        self._http = httpx.AsyncClient(
            timeout=timeout,
            follow_redirects=False,
            # Fetches are minutes apart: a kept connection would be one that has died.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """End fetching."""
        if self._due is not None:
            self._due.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
            with suppress(asyncio.CancelledError):
                await self._fetching
        await self._http.aclose()

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """The key with this id, of the type that the algorithm needs.

        Without an id the set must hold exactly one key of that type.

        Raises:
            UnknownKey: no such key, also after a fresh fetch, or not such an algorithm.
            FetchFailed: there are no keys to look in, or this one may be newer than they are.
        """
        if algorithm not in _KEY_TYPE:
            raise UnknownKey("its algorithm is not accepted")
        fetching = self._fetch() if self._age() > self._ttl else None
        key = self._look(kid, algorithm)
        if key is None or self._too_old():
            # Signed with a key that is newer than what we hold, or with none of theirs.
            fetching = fetching or self._fetch()
            if fetching is not None:
                await asyncio.shield(fetching)  # another token waits for it, too
            key = self._look(kid, algorithm)
        if self._too_old():
            raise FetchFailed("the keys have not been fetched for too long")
        if key is None:
            if self._failed:
                raise FetchFailed("the key is not among those held, and no fetch succeeds")
            raise UnknownKey("its key is not known")
        return key

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    def _too_old(self) -> bool:
        return self._age() > self._ttl + self._stale_for

    def _look(self, kid: str | None, algorithm: str) -> Key | None:
        fitting = [key for key in self._keys if _fits(key, algorithm)]
        if kid is not None:
            fitting = [key for key in fitting if key.kid == kid]
        return fitting[0] if len(fitting) == 1 else None

    def _fetch(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, else a new one; None so soon after the last."""
        if self._fetching is None:
            if self._clock() - self._tried_at < self._refetch_after:
                return None
            self._fetching = asyncio.create_task(self._try(), name="jwks")
        return self._fetching

    async def _try(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                keys = await self._download()
        except Exception as error:
            # Whatever a provider sends: no token is the worse for it while there are keys.
            self._failed = True
            log.warning("jwks.fetch_failed", error=type(error).__name__, keys=len(self._keys))
        else:
            self._failed = False
            self._keys, self._fetched_at = keys, self._clock()
        finally:
            # Behind the attempt: those who waited for it must not each begin one of their own.
            self._tried_at = self._clock()
            self._fetching = None
        if not self._failed:
            # Ahead of the tokens: so a key that was withdrawn goes, and no token is the first.
            if self._due is not None:
                self._due.cancel()
            wait = max(self._ttl, self._refetch_after)
            self._due = asyncio.get_running_loop().call_later(wait, self._fetch)

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
                    log.warning("jwks.key_skipped", kid=entry.get("kid"))
        return tuple(keys)


def _fits(key: Key, algorithm: str) -> bool:
    if key.key_type != _KEY_TYPE[algorithm]:
        return False
    declared = key.get("alg")
    if declared is not None and declared != algorithm:
        return False
    curves = _CURVES.get(algorithm)
    return curves is None or key.get("crv") in curves

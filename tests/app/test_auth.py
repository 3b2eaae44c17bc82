"""Who is let in, and with whose keys. The JWKS comes from a real HTTP server."""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from app.auth import (
    Authenticator,
    CannotIssue,
    ExpiredToken,
    InvalidToken,
    KeysUnavailable,
    Principal,
    Role,
    issue,
)
from app.jwks import JwksCache, UnknownKey
from app.settings import AuthSettings

NOW = 1_800_000_000


def claims(**more: Any) -> dict[str, Any]:
    return {
        "sub": "ada",
        "iss": "masterx",
        "aud": "masterx",
        "exp": NOW + 60,
        "consent": True,
        **more,
    }


def authenticator(auth: AuthSettings | None = None) -> Authenticator:
    return Authenticator(auth or AuthSettings(leeway=0), now=lambda: NOW)


def signed(content: dict[str, Any], secret: str | None = None) -> str:
    key = OctKey.import_key(secret or AuthSettings().secret.get_secret_value())
    return jwt.encode({"alg": "HS256"}, content, key)


def part(content: bytes | dict[str, Any]) -> str:
    raw = content if isinstance(content, bytes) else orjson.dumps(content)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(content: dict[str, Any]) -> str:
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(content)}."


def forged(header: dict[str, Any], content: dict[str, Any], secret: bytes) -> str:
    """HMAC by hand: the library would not sign with such a secret."""
    body = f"{part(header)}.{part(content)}"
    return f"{body}.{part(hmac.digest(secret, body.encode(), 'sha256'))}"


# -- the shared secret ----------------------------------------------------------------------


async def test_an_issued_token_says_what_it_was_issued_for():
    auth = AuthSettings()
    token = issue(auth, "tess", role="observer", ttl=60, consent=False, learners=("ada", "bob"))
    principal = await Authenticator(auth).verify(token)
    assert principal.subject == "tess"
    assert principal.role is Role.OBSERVER
    assert principal.learners == {"ada", "bob"}
    assert principal.consent is False


async def test_without_a_role_it_is_a_learner_and_consent_must_be_said():
    content = claims()
    del content["consent"]
    principal = await authenticator().verify(signed(content))
    assert (principal.role, principal.consent) == (Role.LEARNER, False)


@pytest.mark.parametrize("value", ["true", 1, "yes", [], {"given": True}])
async def test_only_true_is_consent(value):
    principal = await authenticator().verify(signed(claims(consent=value)))
    assert principal.consent is False


@pytest.mark.parametrize(
    "change",
    [
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "a\nb"},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"iss": "somebody else"},
        {"iss": None},
        {"aud": "another service"},
        {"aud": ["another", "service"]},
        {"aud": None},
        {"nbf": NOW + 30},
        {"role": "root"},
        {"role": ["admin"]},
        {"learners": "ada"},
        {"learners": [1]},
    ],
)
async def test_a_wrong_or_missing_claim_is_refused(change):
    content = {name: value for name, value in claims(**change).items() if value is not None}
    with pytest.raises(InvalidToken):
        await authenticator().verify(signed(content))


async def test_an_audience_among_several_will_do():
    content = claims(aud=["another", "masterx"])
    assert (await authenticator().verify(signed(content))).subject == "ada"


async def test_issuer_and_audience_are_not_asked_for_when_not_set():
    auth = AuthSettings(issuer=None, audience=None)
    content = {"sub": "ada", "exp": NOW + 60}
    assert (await authenticator(auth).verify(signed(content))).subject == "ada"


@pytest.mark.parametrize(("leeway", "age", "good"), [(0, 1, False), (0, 0, False), (5, 4, True)])
async def test_expiry_is_to_the_second_but_for_the_leeway(leeway, age, good):
    one = authenticator(AuthSettings(leeway=leeway))
    token = signed(claims(exp=NOW - age))
    if good:
        assert (await one.verify(token)).expires_at == NOW - age + leeway
    else:
        with pytest.raises(ExpiredToken):
            await one.verify(token)


async def test_a_token_for_ever_can_be_reckoned_with():
    principal = await authenticator().verify(signed(claims(exp=10**300)))
    assert principal.expires_at < 10**12


@pytest.mark.parametrize(
    "token",
    ["", None, "x", "a.b.c", "..", "a" * 9_000, "é.é.é", "eyJhbGciOiJIUzI1NiJ9.e30."],
)
async def test_what_is_no_token_is_refused(token):
    with pytest.raises(InvalidToken):
        await authenticator().verify(token)


async def test_none_is_no_algorithm():
    with pytest.raises(InvalidToken):
        await authenticator().verify(unsigned(claims()))


async def test_another_secret_is_refused_and_the_error_does_not_show_the_token():
    token = signed(claims(), secret="another secret of sufficient length")
    with pytest.raises(InvalidToken) as refused:
        await authenticator().verify(token)
    assert token.split(".")[1] not in str(refused.value)


@pytest.mark.parametrize(
    ("role", "subject", "acts", "sees"),
    [
        ("learner", "ada", True, True),
        ("learner", "bob", False, False),
        ("observer", "tess", False, True),
        ("observer", "ada", False, True),
        ("service", "lms", True, True),
        ("admin", "root", True, True),
    ],
)
def test_what_each_role_may_do_with_ada(role, subject, acts, sees):
    principal = Principal(subject, Role(role), frozenset({"ada"}), True, NOW)
    assert principal.may_act_as("ada") is acts
    assert principal.may_see("ada") is sees


def test_an_observer_sees_nobody_else():
    observer = Principal("tess", Role.OBSERVER, frozenset({"ada"}), True, NOW)
    assert not observer.may_see("bob")
    assert not observer.may_see("tess")


def test_with_a_jwks_no_token_is_issued_here():
    with pytest.raises(CannotIssue):
        issue(AuthSettings(jwks_url="http://127.0.0.1:1/"), "ada")


# -- public keys ----------------------------------------------------------------------------


@dataclass
class KeyServer:
    """An identity provider's JWKS endpoint."""

    url: str = ""
    keys: list[Any] = field(default_factory=list)
    up: bool = True
    asked: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        body = orjson.dumps({"keys": self.keys})
        status = "200 OK" if self.up else "500 Internal Server Error"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[KeyServer]:
    served = KeyServer()
    listener = await asyncio.start_server(served.answer, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/jwks.json"
    async with listener:
        yield served


class Clock:
    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
KEYS = {
    "RS256": RSA,
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}


def public(*keys: Any) -> list[Any]:
    return [key.as_dict(private=False) for key in keys]


def by(key: Any, algorithm: str, kid: str | None = "", **more: Any) -> str:
    header = {"alg": algorithm}
    if kid is not None:
        header["kid"] = kid or key.kid
    return jwt.encode(header, claims(**more), key, algorithms=[algorithm])


@pytest_asyncio.fixture
async def behind(provider: KeyServer) -> AsyncIterator[Authenticator]:
    one = authenticator(AuthSettings(jwks_url=provider.url, leeway=0))
    yield one
    await one.close()


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_each_algorithm_with_its_key(provider, behind, algorithm):
    provider.keys = public(*KEYS.values())
    assert (await behind.verify(by(KEYS[algorithm], algorithm))).subject == "ada"


async def test_keys_are_fetched_once(provider, behind):
    provider.keys = public(*KEYS.values())
    await asyncio.gather(*(behind.verify(by(RSA, "RS256")) for _ in range(20)))
    assert provider.asked == 1


async def test_a_public_key_is_no_shared_secret(provider, behind):
    """Algorithm confusion: the public key's own text, used as an HMAC secret."""
    provider.keys = public(RSA)
    for text in (RSA.as_pem(private=False), orjson.dumps(public(RSA)[0])):
        for algorithm in ("HS256", "RS256"):
            token = forged({"alg": algorithm, "kid": "rsa"}, claims(), text)
            with pytest.raises(InvalidToken):
                await behind.verify(token)


async def test_a_secret_in_the_key_set_counts_for_nothing(provider, behind):
    secret = OctKey.generate_key(256, {"kid": "oct"})
    provider.keys = [secret.as_dict(private=True), *public(RSA)]
    with pytest.raises(InvalidToken):
        await behind.verify(jwt.encode({"alg": "HS256", "kid": "oct"}, claims(), secret))


async def test_the_development_secret_opens_nothing_behind_a_jwks(provider, behind):
    provider.keys = public(RSA)
    with pytest.raises(InvalidToken):
        await behind.verify(signed(claims()))
    with pytest.raises(InvalidToken):
        await behind.verify(unsigned(claims()))


async def test_a_key_for_another_algorithm_or_use_is_not_taken(provider, behind):
    provider.keys = [public(RSA)[0] | {"alg": "RS512"}]
    with pytest.raises(InvalidToken):
        await behind.verify(by(RSA, "RS256"))


async def test_an_encryption_key_signs_nothing(provider, behind):
    provider.keys = [public(RSA)[0] | {"use": "enc"}]
    with pytest.raises(InvalidToken):
        await behind.verify(by(RSA, "RS256"))


async def test_without_a_key_id_there_must_be_no_choice(provider, behind):
    other = RSAKey.generate_key(2048, {"kid": "other"})
    provider.keys = public(RSA, KEYS["ES256"])
    assert (await behind.verify(by(RSA, "RS256", kid=None))).subject == "ada"
    provider.keys = public(RSA, other)
    fresh = authenticator(AuthSettings(jwks_url=provider.url))
    with pytest.raises(InvalidToken):
        await fresh.verify(by(RSA, "RS256", kid=None))
    await fresh.close()


async def test_a_kind_of_key_we_do_not_know_does_not_spoil_the_set(provider, behind):
    provider.keys = [{"kty": "AKP", "kid": "pq", "pub": "AAAA"}, {"kty": "RSA", "kid": "broken"}]
    provider.keys += public(RSA)
    assert (await behind.verify(by(RSA, "RS256"))).subject == "ada"


async def test_the_claims_of_a_well_signed_token_are_checked_too(provider, behind):
    provider.keys = public(RSA)
    with pytest.raises(ExpiredToken):
        await behind.verify(by(RSA, "RS256", exp=NOW - 1))
    with pytest.raises(InvalidToken):
        await behind.verify(by(RSA, "RS256", iss="https://elsewhere"))


async def test_a_provider_that_was_never_reached_is_not_the_tokens_fault(provider, behind):
    provider.up = False
    with pytest.raises(KeysUnavailable):
        await behind.verify(by(RSA, "RS256"))


async def test_a_rotated_key_is_fetched_but_not_more_often_than_allowed(provider):
    clock = Clock()
    cache = JwksCache(provider.url, ttl=300, clock=clock)
    provider.keys = public(RSA)
    assert (await cache.find("rsa", "RS256")).kid == "rsa"

    # When the provider rotates at once, a flood of unknown ids asks it nothing more
    rotated = RSAKey.generate_key(2048, {"kid": "next"})
    provider.keys = public(rotated)
    for _ in range(10):
        with pytest.raises(UnknownKey):
            await cache.find("next", "RS256")
    assert provider.asked == 1

    # Then after the pause the new key is there, within its time and without the old one
    clock.time += 10
    assert (await cache.find("next", "RS256")).kid == "next"
    assert provider.asked == 2
    with pytest.raises(UnknownKey):
        await cache.find("rsa", "RS256")
    await cache.close()


async def test_a_withdrawn_key_is_forgotten_after_its_time(provider):
    clock = Clock()
    cache = JwksCache(provider.url, ttl=300, clock=clock)
    provider.keys = public(RSA, KEYS["ES256"])
    await cache.find("rsa", "RS256")
    provider.keys = public(KEYS["ES256"])
    await cache.find("rsa", "RS256")
    clock.time += 301
    with pytest.raises(UnknownKey):
        await cache.find("rsa", "RS256")
    await cache.close()


async def test_keys_outlive_a_provider_that_is_down_for_a_while(provider):
    clock = Clock()
    cache = JwksCache(provider.url, ttl=300, clock=clock)
    provider.keys = public(RSA)
    await cache.find("rsa", "RS256")
    provider.up = False
    clock.time += 600
    assert (await cache.find("rsa", "RS256")).kid == "rsa"
    clock.time += 86_400
    with pytest.raises(Exception, match="too long"):
        await cache.find("rsa", "RS256")
    await cache.close()

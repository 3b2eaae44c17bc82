"""Who is let in, and with whose keys. The JWKS comes from a real HTTP server."""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from app.gateway.auth.jwks import FetchFailed, JwksCache, UnknownKey
from app.gateway.auth.tokens import (
    Authenticator,
    CannotIssue,
    ExpiredToken,
    InvalidToken,
    KeysUnavailable,
    Principal,
    issue,
)
from app.settings import AuthSettings
from schemas.vocabulary import Role
from tests.app.gateway.auth.keys import KEYS, RSA, KeyServer, public, serving_keys

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


@pytest.mark.parametrize(
    ("value", "kind"),
    [("true", "string"), (1, "number"), (1.0, "number"), ([], "array"), ({"a": True}, "object")],
)
async def test_only_true_is_consent_and_another_type_is_named(value, kind):
    principal = await authenticator().verify(signed(claims(consent=value)))
    assert principal.consent is False
    assert f"`consent` is a JSON {kind}" in principal.why_no_consent


@pytest.mark.parametrize("value", [None, False])
async def test_no_consent_is_not_taken_for_a_mistake(value):
    principal = await authenticator().verify(signed(claims(consent=value)))
    assert principal.consent is False
    assert "is not true" in principal.why_no_consent
    assert "JSON" not in principal.why_no_consent


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
        {"role": "Learner"},
        {"iat": NOW + 30},
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


@pytest.mark.parametrize("exp", [(NOW + 60) * 1_000, 10**300, NOW + 31_536_001])
async def test_a_token_that_hardly_expires_is_refused_with_what_is_wrong(exp):
    with pytest.raises(InvalidToken, match=r"`exp` is more than 365 days ahead.*milliseconds"):
        await authenticator().verify(signed(claims(exp=exp)))


async def test_how_far_ahead_a_token_may_expire_is_a_setting():
    token = signed(claims(exp=NOW + 31_536_000))
    assert (await authenticator().verify(token)).expires_at == NOW + 31_536_000
    with pytest.raises(InvalidToken, match="more than 1 days ahead"):
        await authenticator(AuthSettings(max_lifetime=86_400)).verify(token)


def test_no_token_is_issued_that_would_be_refused():
    with pytest.raises(CannotIssue, match="31536000 s"):
        issue(AuthSettings(), "ada", ttl=31_536_001)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_a_clock_that_is_ahead_is_forgiven_within_the_leeway(claim):
    half = Authenticator(AuthSettings(leeway=5), now=lambda: NOW + 0.9)
    for ahead in (-60, 4, 5.8):
        assert (await half.verify(signed(claims(**{claim: NOW + ahead})))).subject == "ada"
    for value in (NOW + 6, "now", True):
        with pytest.raises(InvalidToken, match=claim):
            await half.verify(signed(claims(**{claim: value})))


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


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[KeyServer]:
    async with serving_keys() as served:
        yield served


class Clock:
    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


def cache_of(provider: KeyServer, clock: Clock, timeout: float = 5.0) -> JwksCache:
    return JwksCache(provider.url, ttl=300, timeout=timeout, stale_for=3_600, clock=clock)


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
    cache = cache_of(provider, clock)
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


async def asked(provider: KeyServer, times: int) -> None:
    """Wait for the provider to have been asked so often, and for what it answered."""
    async with asyncio.timeout(5):
        while provider.asked < times:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)


async def test_a_withdrawn_key_is_forgotten_after_its_time(provider):
    clock = Clock()
    cache = cache_of(provider, clock)
    provider.keys = public(RSA, KEYS["ES256"])
    await cache.find("rsa", "RS256")
    provider.keys = public(KEYS["ES256"])
    await cache.find("rsa", "RS256")
    clock.time += 301
    await cache.find("rsa", "RS256")  # does not wait for the fetch that it begins
    await asked(provider, 2)
    with pytest.raises(UnknownKey):
        await cache.find("rsa", "RS256")
    await cache.close()


async def test_keys_are_fetched_again_before_a_token_asks(provider):
    cache = JwksCache(provider.url, ttl=0.2, timeout=5, stale_for=3_600, refetch_after=0.1)
    provider.keys = public(RSA)
    await cache.find("rsa", "RS256")
    provider.keys = public(KEYS["ES256"])
    await asked(provider, 2)
    await cache.close()


async def test_keys_outlive_a_provider_that_is_down_for_a_while(provider):
    clock = Clock()
    cache = cache_of(provider, clock)
    provider.keys = public(RSA)
    await cache.find("rsa", "RS256")
    provider.up = False
    clock.time += 600
    assert (await cache.find("rsa", "RS256")).kid == "rsa"
    clock.time += 86_400
    with pytest.raises(FetchFailed, match="too long"):
        await cache.find("rsa", "RS256")
    await cache.close()


@pytest.mark.parametrize("trouble", ["hangs", "drips"])
async def test_six_tokens_at_once_wait_one_timeout_for_a_provider_without_end(provider, trouble):
    hinder(provider, trouble)
    cache = cache_of(provider, Clock(), timeout=1.0)
    start = time.monotonic()
    results = await asyncio.gather(
        *(cache.find("rsa", "RS256") for _ in range(6)), return_exceptions=True
    )
    took = time.monotonic() - start
    assert [type(one) for one in results] == [FetchFailed] * 6
    assert 0.9 < took < 4  # one after the other would be six
    # Nor do those that come right after it
    with pytest.raises(FetchFailed):
        await cache.find("rsa", "RS256")
    assert provider.asked == 1
    await cache.close()


@pytest.mark.parametrize("trouble", ["hangs", "drips", "fails", "nonsense"])
async def test_with_stale_keys_nobody_waits_for_the_provider(provider, trouble):
    clock = Clock()
    cache = cache_of(provider, clock, timeout=30.0)
    provider.keys = public(RSA)
    await cache.find("rsa", "RS256")
    hinder(provider, trouble)
    clock.time += 301
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(cache.find("rsa", "RS256") for _ in range(6)))
    assert {one.kid for one in found} == {"rsa"}
    await asked(provider, 2)
    assert provider.asked == 2

    # Nor when it is back
    provider.hangs, provider.drip, provider.up, provider.body = False, 0.0, True, None
    clock.time += 10
    assert (await cache.find("rsa", "RS256")).kid == "rsa"
    await cache.close()


async def test_keys_that_are_not_renewed_do_not_serve_beyond_their_bound(provider):
    clock = Clock()
    cache = cache_of(provider, clock, timeout=0.3)
    provider.keys = public(RSA)
    await cache.find("rsa", "RS256")
    provider.hangs = True
    clock.time += 300 + 3_600
    assert (await cache.find("rsa", "RS256")).kid == "rsa"
    clock.time += 10
    with pytest.raises(FetchFailed, match="too long"):
        await cache.find("rsa", "RS256")
    await cache.close()


async def test_invented_key_ids_do_not_become_requests_while_the_provider_hangs(provider):
    clock = Clock()
    cache = cache_of(provider, clock, timeout=0.3)
    provider.keys = public(RSA)
    await cache.find("rsa", "RS256")
    provider.hangs = True
    clock.time += 10
    results = await asyncio.gather(
        *(cache.find(f"invented-{n}", "RS256") for n in range(50)), return_exceptions=True
    )
    # Nobody can tell whether such a key is there by now: try again, not: get another token
    assert {type(one) for one in results} == {FetchFailed}
    assert provider.asked == 2
    assert (await cache.find("rsa", "RS256")).kid == "rsa"
    await cache.close()


async def test_whoever_gives_up_waiting_does_not_end_the_fetch_of_the_others(provider):
    provider.keys = public(RSA)
    provider.drip = 0.001
    cache = cache_of(provider, Clock())
    first = asyncio.create_task(cache.find("rsa", "RS256"))
    second = asyncio.create_task(cache.find("rsa", "RS256"))
    await asyncio.sleep(0.05)
    first.cancel()
    assert (await second).kid == "rsa"
    assert provider.asked == 1
    await cache.close()


def hinder(provider: KeyServer, trouble: str) -> None:
    provider.hangs = trouble == "hangs"
    provider.drip = 0.5 if trouble == "drips" else 0.0
    provider.up = trouble != "fails"
    provider.body = b'{"keys": ["no key"]}' if trouble == "nonsense" else None

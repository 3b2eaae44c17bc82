"""Who comes in: the same rules for both doors."""

from __future__ import annotations

import pytest

from app.gateway.auth.admission import Admission, bearer
from app.gateway.auth.tokens import Authenticator, issue
from app.gateway.intake.refusal import Refusal
from app.settings import Settings
from schemas.wire.errors import ErrorCode


@pytest.fixture
def admission() -> Admission:
    settings = Settings(environment="development")
    return Admission(settings, Authenticator(settings.auth))


def token(**claims: object) -> str:
    return issue(Settings(environment="development").auth, "ada", **claims)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_bearer_token_is_a_token(header: str | None, found: str | None):
    assert bearer(header) == found


async def test_a_good_token_gives_its_principal(admission: Admission):
    assert (await admission.principal(token(), ["page"])).subject == "ada"


@pytest.mark.parametrize("name", ["token", "Access_Token", "jwt", "bearer", "authorization"])
async def test_a_token_in_the_address_is_refused_whatever_the_header_says(
    admission: Admission, name: str
):
    with pytest.raises(Refusal, match="never in the address") as refused:
        await admission.principal(token(), ["page", name])
    assert refused.value.code is ErrorCode.UNAUTHORIZED


async def test_no_token_is_refused(admission: Admission):
    with pytest.raises(Refusal) as refused:
        await admission.principal(None, [])
    assert refused.value.code is ErrorCode.UNAUTHORIZED


async def test_a_sender_may_see_the_learner_and_keeps_only_a_valid_trace(admission: Admission):
    principal = await admission.principal(token(), [])
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert admission.sender(principal, "ada", trace).traceparent == trace
    assert admission.sender(principal, "ada", "nonsense").traceparent is None
    assert admission.sender(principal, "ada", None).acts
    with pytest.raises(Refusal, match="may not see") as refused:
        admission.sender(principal, "bob", None)
    assert refused.value.code is ErrorCode.FORBIDDEN


async def test_a_service_names_no_user_id_that_a_record_cannot_hold(admission: Admission):
    principal = await admission.principal(token(role="service"), [])
    with pytest.raises(Refusal, match="the user id") as refused:
        admission.sender(principal, "a\x00b", None)
    assert refused.value.field == "userId"


async def test_an_observer_looks_and_does_not_act(admission: Admission):
    principal = await admission.principal(token(role="observer", learners=["bob"]), [])
    assert not admission.sender(principal, "bob", None).acts


def test_origins_are_compared_whole_and_without_case(admission: Admission):
    port = Settings(environment="development").gateway.port
    assert admission.origin_allowed(None)
    assert admission.origin_allowed(f" HTTP://LOCALHOST:{port} ")
    assert not admission.origin_allowed(f"http://localhost:{port}.evil.example")
    assert not admission.origin_allowed("null")


@pytest.mark.parametrize(
    ("origin", "environment", "allowed"),
    [
        (None, "production", True),
        ("https://page.example", "production", True),
        ("https://PAGE.example", "production", True),
        ("http://localhost:5173", "production", False),
        ("http://localhost:5173", "development", True),
        ("https://localhost", "development", True),
        ("http://127.0.0.1:8080", "development", True),
        ("http://[::1]:3000", "development", True),
        ("http://localhost.evil.example", "development", False),
        ("http://evil.example/localhost", "development", False),
        ("http://localhost:5173.evil.example", "development", False),
        ("null", "development", False),
    ],
)
def test_pages_of_this_machine_may_connect_in_development(
    origin: str | None, environment: str, allowed: bool
):
    base = Settings(environment="development")
    gateway = base.gateway.model_copy(update={"allowed_origins": ("https://page.example",)})
    settings = base.model_copy(update={"environment": environment, "gateway": gateway})
    assert Admission(settings, Authenticator(settings.auth)).origin_allowed(origin) is allowed

"""docs/tokens.md: what it signs, masterx takes; with the settings that stand beside it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt

from app.gateway.auth.tokens import Authenticator, Principal
from app.settings import AuthSettings, Settings
from schemas.vocabulary import Role
from tests.app.gateway.auth.keys import KEYS, public, serving_keys

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "tokens.md").read_text(encoding="utf-8")
SECRET = "0123456789abcdef0123456789abcdef"
PROVIDERS = ("Keycloak", "Auth0", "Supabase")


def block(language: str, section: str = PAGE) -> str:
    """The first fenced block in this language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found is not None, language
    return found[1]


def section(title: str) -> str:
    return PAGE.split(f"### {title}\n")[1].split("\n### ")[0]


async def shown(auth: AuthSettings, token: str) -> Principal:
    authenticator = Authenticator(auth)
    try:
        return await authenticator.verify(token)
    finally:
        await authenticator.close()


def in_node(consent: bool) -> str:
    node = shutil.which("node")
    if node is None:
        assert "CI" not in os.environ, "node is not installed"
        pytest.skip("node is not installed")
    script = block("js") + f"\nconsole.log(tokenFor('ada', {str(consent).lower()}));"
    run = subprocess.run(
        [node, "--input-type=module", "--eval", script],
        env={**os.environ, "MASTERX_AUTH__SECRET": SECRET},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return run.stdout.strip()


def in_python(consent: bool) -> str:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    return str(names["token_for"]("ada", consent))


@pytest.mark.parametrize("sign", [in_node, in_python])
@pytest.mark.parametrize("consent", [True, False])
async def test_the_ten_lines_sign_a_learners_token(sign, consent: bool, monkeypatch):
    monkeypatch.setenv("MASTERX_AUTH__SECRET", SECRET)
    principal = await shown(Settings().auth, sign(consent))
    assert (principal.subject, principal.role) == ("ada", Role.LEARNER)
    assert principal.consent is consent
    assert 800 < principal.expires_at - time.time() < 1_000


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_providers_token_is_a_learners_with_its_settings(name: str, monkeypatch):
    text = section(name)
    for line in block("", text).splitlines():
        variable, _, value = line.partition("=")
        monkeypatch.setenv(variable, value)
    claims = json.loads(block("json", text))
    now = int(time.time())
    key = KEYS["ES256"]
    token = jwt.encode({"alg": "ES256", "kid": "ec"}, {**claims, "iat": now, "exp": now + 300}, key)
    async with serving_keys() as server:
        server.keys = public(key)
        auth = Settings().auth.model_copy(update={"jwks_url": server.url})
        principal = await shown(auth, token)
    assert (principal.subject, principal.role) == (claims["sub"], Role.LEARNER)
    assert principal.consent


def test_each_provider_has_its_own_settings():
    for name in PROVIDERS:
        names = set(re.findall(r"MASTERX_AUTH__\w+", block("", section(name))))
        assert {"MASTERX_AUTH__JWKS_URL", "MASTERX_AUTH__ISSUER"} <= names
        for one in names:
            assert one.removeprefix("MASTERX_AUTH__").lower() in AuthSettings.model_fields

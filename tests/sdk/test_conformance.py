"""The wire's conformance suite (sdk/tests/conformance) on the real gateway.

`sdk/tests/conformance.test.ts` runs the same cases on the testing gateway of the SDK: so the two
cannot drift apart.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from agents.runtime.ports import PushKind
from schemas.base import new_event_id
from tests.app.gateway.edge import Edge, Pusher
from tests.sdk.test_real_gateway import PAGES, node

pytestmark = pytest.mark.services

SUITE = PAGES / "conformance" / "run.mjs"
SUITE_SECONDS = 100.0
FEWEST_CASES = 40


class Owner:
    """Does for the suite what only a gateway's owner can do."""

    def __init__(self, edge: Edge, pusher: Pusher) -> None:
        self._edge = edge
        self._pusher = pusher

    async def answer(self, ask: dict[str, Any]) -> Any:
        if ask["ask"] == "token":
            return self._token(ask["user"], ask["claims"])
        if ask["ask"] == "push":
            return [await self._push(ask["user"], ask["kind"], ask["body"])]
        assert ask["ask"] == "restart"
        await self._edge.gateway.drain()
        return None

    def _token(self, user: str, claims: dict[str, Any]) -> str:
        """Signed as `issue` does, but with any claims: also wrong ones."""
        auth = self._edge.settings.auth
        now = time.time()
        given = {
            "sub": user,
            "iss": auth.issuer,
            "aud": auth.audience,
            "iat": int(now) - 60,
            "exp": now + 3600,
            "jti": new_event_id(),
            "consent": True,
            **claims,
        }
        key = OctKey.import_key(auth.secret.get_secret_value())
        return jwt.encode({"alg": "HS256"}, given, key)

    async def _push(self, user: str, kind: str, body: dict[str, Any]) -> str:
        state = body.get("userState", {})
        if "longTerm" not in state:
            return await self._pusher.push(user, PushKind(kind), **body)
        live = {name: value for name, value in state.items() if name != "longTerm"}
        await self._pusher.push_state(user, live, state)
        return ""


@pytest.mark.timeout(SUITE_SECONDS + 60)
async def test_the_real_gateway_keeps_the_wire(edge: Edge, pusher: Pusher) -> None:
    owner = Owner(edge, pusher)
    suite = await asyncio.create_subprocess_exec(
        node(),
        "--experimental-websocket",
        "--no-warnings",
        str(SUITE),
        env=os.environ | {"URL": edge.http},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**21,
    )
    assert suite.stdin is not None
    assert suite.stdout is not None
    failed: dict[str, str] = {}
    done = cases = 0
    try:
        async with asyncio.timeout(SUITE_SECONDS):
            async for line in suite.stdout:
                said = orjson.loads(line)
                if "ask" in said:
                    answer = {"n": said["n"], "value": await owner.answer(said)}
                    suite.stdin.write(orjson.dumps(answer) + b"\n")
                elif "case" in said:
                    cases += 1
                    if "error" in said:
                        failed[said["case"]] = said["error"]
                else:
                    done = said["done"]
    finally:
        if suite.returncode is None:
            suite.kill()
            await suite.wait()

    assert not failed, "\n\n".join(f"{name}\n{error}" for name, error in failed.items())
    assert done == cases
    assert cases >= FEWEST_CASES or "ONLY" in os.environ

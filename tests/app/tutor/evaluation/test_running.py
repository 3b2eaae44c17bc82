"""Dialogues through the tutor: a Redis of the run's own, the shipped model, providers on loopback.

Nothing is replaced: what these tests see is what a worker with the same settings would do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from app.tutor.config import TutorSettings
from app.tutor.evaluation.dialogues import Dialogue
from app.tutor.evaluation.report import Report, TurnLine
from app.tutor.evaluation.running import (
    RunBroken,
    UnknownProvider,
    asking_only,
    run_dialogues,
)
from app.tutor.metrics import ATTEMPTS
from models.emotion.config import ConcernSettings, EmotionSettings
from models.words.words import load
from tests.app.tutor.conftest import TIMEOUTS
from tests.app.tutor.sse import Endpoint, say, stall, status

pytestmark = pytest.mark.timeout(180)
SAYS = load("en").unanswered

ASKS = "Which step of it did you try first, and what came out?"
HALVES = "Into how many equal parts is each of the two cut?"

PLAIN = Dialogue(skill="fractions", turns=("what is 1/2 + 1/3?", "i got 2/5", "oh, 5/6"))
UPSET = Dialogue(
    skill="essays",
    turns=("this is so frustrating, i feel stupid and i want to cry", "my topic is school"),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a run may put what it needs while it lasts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def attempts() -> Any:
    yield
    ATTEMPTS.clear()


def asking(*endpoints: Endpoint, **tutor: Any) -> Settings:
    """Of a deployment with these providers, p0, p1, ..."""
    listed = [
        {"name": f"p{n}", "base_url": each.url, "model": "m"} for n, each in enumerate(endpoints)
    ]
    return Settings(tutor=TutorSettings.model_validate({"providers": listed, **tutor}))


async def run(settings: Settings, *dialogues: Dialogue) -> tuple[list[TurnLine], Report]:
    lines: list[TurnLine] = []
    async with asyncio.timeout(120):
        report = await run_dialogues(settings, dialogues, lines.append)
    return lines, report


def prompts(endpoint: Endpoint) -> list[str]:
    """All that a provider was told, a text a request."""
    return [
        "\n".join(message["content"] for message in exchange.body["messages"])
        for exchange in endpoint.seen
    ]


async def test_every_turn_has_a_line_in_order_and_the_conversation_goes_on():
    async with Endpoint(say(ASKS[:12], ASKS[12:])) as endpoint:
        endpoint.script.append(say(HALVES))
        lines, report = await run(asking(endpoint), PLAIN, UPSET)

    assert [(line.dialogue, line.turn) for line in lines] == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1),
    ]  # fmt: skip
    assert [line.learner for line in lines] == [*PLAIN.turns, *UPSET.turns]
    assert [line.reply for line in lines] == [HALVES] + [ASKS] * 4
    assert {(line.provider, line.verdict) for line in lines} == {("p0", "answered")}
    assert all(0 < line.seconds < 60 for line in lines)
    told = prompts(endpoint)
    # The second message is answered with the first and its reply in view.
    assert PLAIN.turns[0] in told[1]
    assert HALVES in told[1]
    # Another dialogue is another learner's.
    assert not any(turn in told[3] for turn in PLAIN.turns)
    assert report.attempts == {"p0": {"answered": 5}}


async def test_what_the_model_reads_in_a_message_chooses_the_mode():
    async with Endpoint(say(ASKS)) as endpoint:
        lines, _ = await run(asking(endpoint), PLAIN, UPSET)

    assert [line.mode for line in lines[:3]] == ["socratic"] * 3
    assert lines[3].mode == "encouragement"


async def test_a_danger_in_plain_words_is_helped_and_no_provider_is_asked():
    dialogue = Dialogue(skill="x", turns=("3x = 6?", "i want to kill myself", "so x is 2"))
    async with Endpoint(say(ASKS)) as endpoint:
        lines, _ = await run(asking(endpoint), dialogue)

    assert [line.verdict for line in lines] == ["answered", "human_help", "answered"]
    assert (lines[1].mode, lines[1].provider) == (None, None)
    assert "talk to somebody you trust" in lines[1].reply
    assert len(endpoint.seen) == 2
    assert "kill myself" not in "".join(prompts(endpoint))


async def test_a_danger_that_only_the_emotion_model_reads_is_helped_too():
    dialogue = Dialogue(skill="x", turns=("i wrote a note for my family, they find it tomorrow",))
    async with Endpoint(say(ASKS)) as endpoint:
        settings = asking(endpoint)
        helped, _ = await run(settings, dialogue)
        deaf = EmotionSettings(concern=ConcernSettings(at=1.0, hint_from=0.99))
        lesson, _ = await run(settings.model_copy(update={"emotion": deaf}), dialogue)

    assert helped[0].verdict == "human_help"
    # So it was not the words that raised it.
    assert lesson[0].verdict == "answered"


async def test_without_a_provider_it_ends_and_says_what_a_learner_gets():
    danger = Dialogue(skill="x", turns=("i want to kill myself",))
    lines, report = await run(Settings(), PLAIN, danger)

    assert [line.verdict for line in lines] == ["off"] * 3 + ["human_help"]
    assert [line.reply for line in lines[:3]] == [SAYS.off] * 3
    assert report.attempts == {}


async def test_a_request_that_is_put_off_says_why_and_the_run_goes_on():
    # Given a provider that fails until its circuit opens, and is not asked behind that
    many = Dialogue(skill="x", turns=tuple(f"question {n}?" for n in range(5)))
    settings = {"retries": {"wait": 0.0, "patience": 0.0}, "breaker": {"threshold": 5}}
    async with Endpoint(status(500)) as endpoint:
        lines, report = await run(asking(endpoint, **settings), many)

    assert [line.verdict for line in lines] == ["server"] * 3 + ["put_off"] * 2
    because = SAYS.later.format(cause=load("en").causes["exhausted"])
    assert {line.reply for line in lines} == {because}
    assert {(line.mode, line.provider) for line in lines} == {(None, None)}
    # It is not tried again: a learner reads the notice once.
    assert len(endpoint.seen) == 5
    assert report.attempts == {"p0": {"server": 5}}


async def test_a_provider_that_hangs_ends_with_its_time():
    async with Endpoint(stall("Well")) as endpoint:
        lines, _ = await run(asking(endpoint, timeouts=TIMEOUTS), UPSET)

    assert [line.verdict for line in lines] == ["stalled"] * 2


async def test_one_that_fails_before_another_answers_stands_in_the_report():
    async with Endpoint(status(400)) as bad, Endpoint(say(ASKS)) as good:
        settings = asking(bad, good)
        lines, report = await run(settings, UPSET)

    assert [line.verdict for line in lines] == ["answered"] * 2
    assert [line.provider for line in lines] == ["p1"] * 2
    assert report.attempts["p1"] == {"answered": 2}
    assert report.attempts.get("p0", {"refused": len(bad.seen)}) == {"refused": len(bad.seen)}


async def test_one_provider_alone_is_asked():
    async with Endpoint(say(ASKS)) as first, Endpoint(say(HALVES)) as second:
        lines, _ = await run(asking_only(asking(first, second), "p1"), PLAIN)

    assert {line.reply for line in lines} == {HALVES}
    assert not first.seen


def test_a_local_provider_may_be_the_one():
    settings = Settings(tutor=TutorSettings.model_validate({"local": {"enabled": True}}))
    other = {"name": "p0", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    both = settings.tutor.model_copy(update={"providers": asking_of(other).tutor.providers})
    settings = settings.model_copy(update={"tutor": both})

    for name in ("local", "p0"):
        alone = asking_only(settings, name)
        assert [each.name for each in alone.tutor.all_providers] == [name]


def asking_of(*providers: dict[str, str]) -> Settings:
    return Settings(tutor=TutorSettings.model_validate({"providers": providers}))


@pytest.mark.parametrize(("settings", "known"), [(Settings(), "none"), (None, "p0")])
def test_an_unknown_provider_is_told_with_those_that_are_known(settings: Settings, known: str):
    configured = settings or asking_of(
        {"name": "p0", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    )
    with pytest.raises(UnknownProvider, match=f"'gpt'; set up: {known}"):
        asking_only(configured, "gpt")


async def test_a_key_that_is_not_there_ends_the_run_with_its_name():
    keyed = {"name": "p0", "base_url": "https://a", "model": "m", "api_key_env": "NO_SUCH_KEY"}
    with pytest.raises(RunBroken, match="p0: no key in variable NO_SUCH_KEY"):
        await run(asking_of(keyed), PLAIN)


async def test_nothing_of_a_run_stays(folder: Path):
    seen: list[list[Path]] = []
    async with Endpoint(say(ASKS)) as endpoint:
        await run_dialogues(
            asking(endpoint), [UPSET], lambda _: seen.append(list(folder.iterdir()))
        )

    assert [len(found) for found in seen] == [1, 1]
    assert list(folder.iterdir()) == []
    assert redis_of(folder) == []


async def test_a_redis_that_ends_ends_the_run(folder: Path):
    def told(line: TurnLine) -> None:
        for pid in redis_of(folder):
            os.kill(pid, signal.SIGKILL)

    async with Endpoint(say(ASKS)) as endpoint, asyncio.timeout(120):
        with pytest.raises(RunBroken, match="the Redis of this run has ended"):
            await run_dialogues(asking(endpoint), [PLAIN] * 500, told)

    assert list(folder.iterdir()) == []


def redis_of(folder: Path) -> list[int]:
    """Servers that keep their data in this folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
        except OSError:
            continue
    return found

"""Runs dialogues through the tutor as a worker would, each with a learner of its own.

A turn takes these steps, in the order in which a worker's topics bring them:
1. The message is heard: the safety rules look at it (`chat-messages`).
2. The emotion agent reads it (`emotions`, `concerns`).
3. The pure update makes the learner's record, and the request for a reply (`tutor-requests`).
4. The tutor replies, or puts the request off (`tutor-replies`).

Dialogues follow each other, so that what one of them takes is not another's doing. Nothing of a
run is left: the Redis that it starts keeps its data in a folder that goes with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog

from agents.learner import step_of
from agents.runtime import envelope
from agents.runtime.retrying import Fatal, Waits
from agents.runtime.topics import EMOTIONS
from agents.tutor import Send
from app.local.embedded import RedisServer
from app.process.concurrency import end
from app.process.errors import OperatorError
from app.settings import Settings
from app.tutor.evaluation.dialogues import Dialogue
from app.tutor.evaluation.readings import MessageReader, message_reader
from app.tutor.evaluation.report import Attempts, Report, Told, TurnLine, text_of, verdict_of
from app.tutor.metrics import ATTEMPTS
from app.tutor.replies.chat_text_cache import RecentTexts
from app.tutor.wiring import Tutor, wired
from models.emotion.artefact.artefact import ArtefactProblem
from models.learner.config import LearnerSettings
from models.learner.record import FORMAT
from models.tutor.context.material import Said, Summary
from models.tutor.moves.serving.artefact import ArtefactProblem as MovesProblem
from schemas.base import Derived, now_ms
from schemas.figures import rounded
from schemas.topics.chat import ChatReceived
from schemas.topics.concerns import ConcernRead
from schemas.topics.emotions import EmotionRead
from schemas.topics.tutor import TutorReplied, TutorRequested

log = structlog.get_logger(__name__)

_COUNTED: Final = "_total"
"""Ends the name of a counter's samples; the others tell when it was made."""


class UnknownProvider(OperatorError):
    """No provider of this name is set up."""


class RunBroken(OperatorError):
    """The run cannot go on."""


def asking_only(settings: Settings, name: str) -> Settings:
    """With this provider alone. Raises UnknownProvider."""
    tutor = settings.tutor
    chosen = tuple(each for each in tutor.all_providers if each.name == name)
    if not chosen:
        known = ", ".join(each.name for each in tutor.all_providers) or "none"
        raise UnknownProvider(f"no provider is called {name!r}; set up: {known}")
    local = tutor.local.model_copy(update={"enabled": False})
    alone = tutor.model_copy(update={"providers": chosen, "local": local})
    return settings.model_copy(update={"tutor": alone})


async def run_dialogues(
    settings: Settings, dialogues: Sequence[Dialogue], told: Callable[[TurnLine], None]
) -> Report:
    """Run them all; `told` is called with each turn when it is over.

    Raises app.process.errors.OperatorError: a model, a key or a template that cannot be read, a
    Redis that does not start or ends.
    """
    with TemporaryDirectory(prefix="masterx-evaluate-") as folder:
        server = RedisServer(Path(folder), start_timeout=settings.embedded.start_timeout)
        await server.start()
        try:
            own = {"url": server.endpoint, "username": None, "password": None, "ca_file": None}
            redis = settings.redis.model_copy(update=own)
            here = settings.model_copy(update={"redis": redis})
            running = asyncio.create_task(_run(here, dialogues, told))
            # The tutor waits for a store as long as it takes. Nobody would bring this one back.
            ended = asyncio.create_task(server.ended())
            try:
                await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not running.done():
                    raise RunBroken("the Redis of this run has ended; run it again")
                return running.result()
            finally:
                await end(*(task for task in (running, ended) if not task.done()))
        finally:
            await server.stop()


async def _run(
    settings: Settings, dialogues: Sequence[Dialogue], told: Callable[[TurnLine], None]
) -> Report:
    before = _attempts()
    async with AsyncExitStack() as stack:
        try:
            run = await _opened(settings, stack, told)
        except (ValueError, ArtefactProblem, MovesProblem) as error:
            raise RunBroken(str(error)) from None
        for number, dialogue in enumerate(dialogues):
            await run.dialogue(number, dialogue)
    # Behind the tutor's end: the account of an attempt is closed beside the reply.
    return Report.of(run.lines, _attempts() - before)


async def _opened(
    settings: Settings, stack: AsyncExitStack, told: Callable[[TurnLine], None]
) -> _Run:
    """Everything that a worker's roles load. Raises as they do."""
    settings.learner.load()
    reader = await stack.enter_async_context(message_reader(settings.emotion))
    # A turn asks for its own message alone.
    texts, history = RecentTexts(1), NoHistory(settings.mongo.chat_days)
    tutor = await stack.enter_async_context(
        wired(settings, texts=texts, history=history, waits=Waits())
    )
    return _Run(tutor, reader, settings.learner, told)


class NoHistory:
    """Of learners who have not been here before (`app.tutor.replies.conversations.History`)."""

    def __init__(self, days: float) -> None:
        self.days = days

    async def turns(self, user_id: str, limit: int) -> list[tuple[Said, str | None]]:
        """None: Redis has the whole dialogue."""
        return []

    async def summary(self, user_id: str) -> Summary | None:
        """None: Redis has it."""
        return None

    async def keep(self, user_id: str, summary: Summary) -> None:
        """Redis keeps it for as long as the run lasts."""


class _Run:
    """The learners of one run, one after the other."""

    def __init__(
        self,
        tutor: Tutor,
        reader: MessageReader,
        settings: LearnerSettings,
        told: Callable[[TurnLine], None],
    ) -> None:
        self._tutor = tutor
        self._reader = reader
        self._settings = settings
        self._told = told
        self.lines: list[TurnLine] = []

    async def dialogue(self, number: int, dialogue: Dialogue) -> None:
        """Every turn of a new learner."""
        user_id, stored = f"dialogue-{number}", None
        for turn, text in enumerate(dialogue.turns):
            told, asked = Told(), _attempts()
            began = asyncio.get_running_loop().time()
            chat = dialogue.message(turn, user_id, now_ms())
            stored = await self._turn(chat, stored, told)
            seconds = asyncio.get_running_loop().time() - began
            reply = told.reply
            line = TurnLine(
                dialogue=number,
                turn=turn,
                learner=text,
                reply=text_of(reply),
                mode=None if reply is None else reply.mode,
                provider=None if reply is None else reply.provider,
                verdict=verdict_of(reply, _attempts() - asked),
                seconds=rounded(seconds),
            )
            self.lines.append(line)
            self._told(line)

    async def _turn(self, chat: ChatReceived, stored: bytes | None, told: Told) -> bytes | None:
        """Steps 1 to 4; the learner's record behind it."""

        async def send(message: Derived) -> None:
            if isinstance(message, TutorReplied):
                told.take(message)

        # The place in the topic: all messages of a run stand in one partition.
        offset = len(self.lines)
        await self._tutor.hearing.hear(chat, 0, offset, send)
        read = await self._reader.read(chat, offset)
        if read.concern is not None:
            concern = envelope.read(ConcernRead, read.concern)
            await self._tutor.replying.concern(concern, send)
        if read.reading is None:
            return stored
        await self._tutor.hearing.feel(envelope.read(EmotionRead, read.reading), send)
        step = step_of(EMOTIONS, read.reading, stored, self._settings, FORMAT)
        for request in step.outputs.requests if step.outputs is not None else ():
            await self._reply(TutorRequested.parse(request.json_bytes()), send)
        return step.record.to_bytes() if step.record is not None else None

    async def _reply(self, request: TutorRequested, send: Send) -> None:
        """As the tutor's agent does: what cannot be worked on is ended, and the learner told."""
        try:
            await self._tutor.replying.reply(request, send)
        except Fatal:
            raise
        except Exception as error:
            log.error("tutor.failed", event_id=request.event_id, error=type(error).__name__)
            await self._tutor.replying.give_up(request, send)


def _attempts() -> Attempts:
    """Every attempt of this process so far, as its metrics count them."""
    return Attempts(
        {
            (sample.labels["provider"], sample.labels["outcome"]): int(sample.value)
            for family in ATTEMPTS.collect()
            for sample in family.samples
            if sample.name.endswith(_COUNTED)
        }
    )

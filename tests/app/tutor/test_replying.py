"""One request, one reply: on a real Redis, with a provider on loopback and no worker around."""

from __future__ import annotations

from typing import Any

import pytest

from app.settings import MongoSettings, Settings
from app.stores.dialogue import Dialogues
from app.stores.pushlog import PushLog
from app.tutor.budget import Budgets
from app.tutor.composing import Composer
from app.tutor.config import TutorSettings
from app.tutor.conversations import Conversations
from app.tutor.layers import LayerOutcomes
from app.tutor.ledger import Ledger
from app.tutor.replying import Replying
from app.tutor.store import TutorStore
from app.tutor.texts import Texts
from schemas.base import Derived, now_ms
from schemas.tutor import TutorReplied, TutorRequested
from tests.app.tutor.asking import Page, a_chat, a_request, pushed
from tests.app.tutor.conftest import Bench
from tests.app.tutor.sse import Endpoint, say, status

NO_MONGO = MongoSettings(url="mongodb://127.0.0.1:1")
"""History is away: a tutor does not wait for it."""


class Killed(Exception):
    """Stands for the end of the process at this point."""


class Desk:
    """A tutor on its own, and what it has sent."""

    def __init__(self, bench: Bench, endpoint: Endpoint) -> None:
        self.bench = bench
        self.endpoint = endpoint
        self.sent: list[Derived] = []
        self.dies_at_sending = False
        self.offset = 0

    async def open(self, **replies: Any) -> Desk:
        client, settings = self.bench.client, self.bench.redis_settings
        tutor = TutorSettings.model_validate(
            {"replies": {"piece_interval": 0.0, "history_timeout": 0.05, **replies}}
        )
        router = await self.bench.router({"p0": self.endpoint})
        store = TutorStore(client, settings, 5)
        self.budgets = Budgets(store, tutor.budget)
        self.texts = Texts(Settings(redis=settings, tutor=tutor))
        dialogues = Dialogues(NO_MONGO, 0.05)
        self.bench.stack.push_async_callback(dialogues.close)
        self.ledger = Ledger(client, settings, tutor.replies.memory)
        self.replying = Replying(
            tutor.replies,
            tutor.timeouts.overall,
            ledger=self.ledger,
            conversations=Conversations(client, settings, dialogues, tutor.replies),
            budgets=self.budgets,
            texts=self.texts,
            words=Composer(tutor, router, LayerOutcomes(store, tutor.context.learning, 5.0)),
            pushes=PushLog(client, settings),
            waiting=lambda _: None,
        )
        self.bench.stack.push_async_callback(self.replying.close)
        return self

    def asked(self, text: str = "why?", user: str = "ada", **fields: Any) -> TutorRequested:
        """A request whose message has just passed."""
        self.offset += 1
        chat = a_chat(user, text)
        self.texts.remember(0, self.offset, chat)
        return a_request(chat, (0, self.offset), **fields)

    async def send(self, message: Derived) -> None:
        if self.dies_at_sending:
            raise Killed
        self.sent.append(message)

    async def reply(self, request: TutorRequested) -> None:
        await self.replying.reply(request, self.send)

    @property
    def told(self) -> list[TutorReplied]:
        return [each for each in self.sent if isinstance(each, TutorReplied)]

    async def page(self, request: TutorRequested) -> Page:
        """What the learner's page holds, of the push log alone."""
        settings = Settings(redis=self.bench.redis_settings)
        made = Page()
        for push in await pushed(settings, request.user_id):
            made.take(push)
        return made

    async def due(self) -> list[TutorRequested]:
        """What is parked, whenever it is due."""
        return await self.ledger.take_due(now_ms() + 10_000_000, 0.0, 10)


@pytest.fixture
async def desk(bench: Bench) -> Desk:
    return await Desk(bench, await bench.endpoint(say("Here ", "it is."))).open()


async def test_killed_between_the_ledger_and_the_topic_a_parked_reply_is_told_by_the_next(
    desk: Desk,
):
    # Given a request that was put off, and so is acknowledged
    request = desk.asked()
    desk.endpoint.script.extend([status(503), status(503)])
    await desk.reply(request)
    assert [each.final for each in desk.told] == [False]
    # When who takes it up is killed with the reply in the ledger and not on the topic
    assert await desk.due() == [request]
    desk.dies_at_sending = True
    with pytest.raises(Killed):
        await desk.reply(request)
    desk.dies_at_sending = False
    # Then it is due again, and the same reply is told; after that no more
    asked = len(desk.endpoint.seen)
    assert await desk.due() == [request]
    await desk.reply(request)
    assert [(each.final, each.text) for each in desk.told][1:] == [(True, "Here it is.")]
    assert len(desk.endpoint.seen) == asked
    assert await desk.due() == []

"""What a learner and the tutor said before, from history in MongoDB; and the running summary.

The history worker keeps `messages` and `replies`; this reads them, and keeps one document a
learner in `summaries` (`_id` is the user id). All three go when the learner is erased. A summary
expires with the oldest turn that is in it, as that turn does.

Every method raises pymongo.errors.PyMongoError as it comes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from agents.runtime.ports import HistoryKind
from app.mongo.client import connect
from app.mongo.history import ERASURES, SUMMARIES
from app.mongo.settings import MongoSettings
from models.tutor.context.material import Said, Summary
from schemas.topics.tutor import ReplyStatus
from schemas.vocabulary import Speaker

_NEWEST_FIRST: Final = -1


class Dialogues:
    """Every learner's dialogue.

    Attributes:
        days: how long words are kept. What is read may be older: a server deletes when it comes
            to it.
    """

    def __init__(self, settings: MongoSettings, timeout: float) -> None:
        self.days = settings.chat_days
        self._client = connect(settings, find_within=timeout, answer_within=max(timeout, 1.0))
        self._database = self._client.get_database(settings.database)

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()

    async def turns(self, user_id: str, limit: int) -> list[tuple[Said, str | None]]:
        """The last turns of the dialogue, oldest first, at most `limit`; the tutor's with mode."""
        query = {"userId": user_id, "status": str(ReplyStatus.ANSWERED)}
        cursor = self._database[HistoryKind.REPLIES].find(query)
        replies = await cursor.sort("eventTime", _NEWEST_FIRST).limit(limit // 2).to_list()
        asked = {reply["replyId"]: next(iter(reply.get("causedBy", ())), "") for reply in replies}
        keys = [f"{user_id}\n{event_id}" for event_id in asked.values()]
        found = await self._database[HistoryKind.MESSAGES].find({"_id": {"$in": keys}}).to_list()
        messages = {message["eventId"]: message for message in found}
        turns: list[tuple[Said, str | None]] = []
        for reply in replies:
            message = messages.get(asked[reply["replyId"]])
            at = reply["ingestTime"]
            if message is not None:
                said = Said(Speaker.STUDENT, message["text"], at, message["eventId"])
                turns.append((said, None))
            said = Said(Speaker.TEACHER, reply["text"], at + 1, reply["replyId"])
            turns.append((said, reply.get("mode")))
        return sorted(turns, key=lambda turn: turn[0].at)

    async def summary(self, user_id: str) -> Summary | None:
        """The running summary."""
        found = await self._database[SUMMARIES].find_one({"_id": user_id})
        return None if found is None else Summary.of(found)

    async def keep(self, user_id: str, summary: Summary) -> None:
        """Replace the summary by one of later turns; an older or an erased one changes nothing."""
        if await self._erased(user_id, summary):
            return
        document = {
            "_id": user_id,
            **summary.document(),
            # By these two it is erased and expires, as all of history.
            "ingestTime": summary.through,
            "expiresAt": datetime.fromtimestamp(summary.since / 1000, UTC)
            + timedelta(days=self.days),
        }
        collection = self._database[SUMMARIES]
        # Two plain steps, as app.mongo.history says.
        try:
            await collection.insert_one(document)
        except (DuplicateKeyError, BulkWriteError):
            newer = {"_id": user_id, "through": {"$lt": summary.through}}
            await collection.bulk_write([ReplaceOne(newer, document)])
        if await self._erased(user_id, summary):
            # In between: it may have been made before this was written.
            await collection.delete_one({"_id": user_id, "through": {"$lte": summary.through}})

    async def _erased(self, user_id: str, summary: Summary) -> bool:
        later = {"userId": user_id, "ingestTime": {"$gte": summary.through}}
        return await self._database[ERASURES].find_one(later) is not None

"""A file of dialogues: one JSON object a line, each with what a learner writes, turn by turn.

{"skill": "fractions", "turns": ["what is 1/2 + 1/3?", "i got 2/5"], "expects": "no answer"}
"""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.base import Words, new_event_id
from schemas.topics.chat import ChatReceived


class DialogueProblem(ValueError):
    """A file that holds no dialogues; names the line and the key."""

    def __init__(self, path: Path, line: int, key: str, problem: str) -> None:
        super().__init__(": ".join((f"{path}:{line}", *filter(None, (key, problem)))))


class Dialogue(BaseModel):
    """What one learner writes. The next message follows when the tutor has replied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    skill: Annotated[str, Field(min_length=1, description="what it is about, for who reads it")]
    turns: Annotated[tuple[Words, ...], Field(min_length=1, description="the messages, in order")]
    expects: str = Field("", description="of the replies, for who reads them")
    exercise: dict[str, Any] | None = Field(
        None, description="that the learner works on; goes with each message that can hold one"
    )

    def message(self, turn: int, user_id: str, at: int) -> ChatReceived:
        """The message of a turn, received at `at` (ms), as the gateway would send it.

        Raises pydantic.ValidationError for an exercise that is none.
        """
        fields: dict[str, Any] = {
            "event_id": new_event_id(),
            "user_id": user_id,
            "event_time": at,
            "ingest_time": at,
            "text": self.turns[turn],
            "wants_reply": True,
        }
        if self.exercise is not None and "exercise" in ChatReceived.model_fields:
            fields["exercise"] = self.exercise
        return ChatReceived(**fields)


def read_dialogues(path: Path) -> list[Dialogue]:
    """Every dialogue of a file; empty lines are skipped. Raises DialogueProblem, OSError."""
    found = []
    # Some editors begin a file with a mark of its encoding.
    lines = path.read_bytes().removeprefix(BOM_UTF8).splitlines()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found.append(_dialogue(path, number, line))
    if not found:
        raise DialogueProblem(path, 1, "", "holds no dialogue")
    return found


def _dialogue(path: Path, number: int, line: bytes) -> Dialogue:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DialogueProblem(path, number, "", f"is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise DialogueProblem(path, number, "", "should be a JSON object")
    try:
        dialogue = Dialogue.model_validate(document)
        # What the message's schema says of the exercise is told before anything runs.
        dialogue.message(0, "anybody", 0)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, problem["loc"]))
        raise DialogueProblem(path, number, key, _said(problem["msg"])) from None
    return dialogue


def _said(problem: str) -> str:
    """What pydantic says, as the rest of a sentence."""
    text = problem.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]

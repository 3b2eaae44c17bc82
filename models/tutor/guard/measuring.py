"""The authored set of fit and unfit replies: read, and given to the guard as a model sends them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from models.tutor.guard.config import GuardSettings
from models.tutor.guard.guard import GuardContext, LanguageOf, ReplyGuard, Unfit, UnfitReply
from models.tutor.modes.config import ModeSettings
from models.tutor.modes.problem import is_a_try
from models.tutor.prompts.instructions import OperatorText, instructions
from models.tutor.prompts.templates import load
from schemas.vocabulary import Task

REPLIES: Final = Path(__file__).parents[1] / "corpus" / "replies"
_LONGEST_PIECE: Final = 9
"""Characters; models send a word or a part of one."""


class Reply(BaseModel):
    """One line: a reply, what it answers, and whether it is fit. reason: of an unfit one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Task
    rung: Annotated[int, Field(ge=0)]
    learner: str
    before: tuple[str, ...]
    answer: tuple[str, ...]
    reply: Annotated[str, Field(min_length=1)]
    fit: bool
    reason: Unfit | None
    language: str


def read(file: Path) -> Iterator[Reply]:
    """The lines of a file, in order. Raises pydantic's ValidationError, OSError."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield Reply.model_validate_json(line)


def context_of(reply: Reply) -> GuardContext:
    """As a worker would make it, with the packaged templates."""
    templates = load()
    telling = reply.rung >= templates.rungs - 1
    rung = min(reply.rung, templates.rungs - 1)
    told = instructions(reply.mode, templates, OperatorText(""), rung=rung)
    return GuardContext(
        mode=reply.mode,
        telling=telling,
        learner=reply.learner,
        tried=is_a_try(reply.learner, ModeSettings()),
        before=reply.before,
        instructions=told.text,
        answers=reply.answer,
    )


def judged(
    reply: Reply,
    settings: GuardSettings,
    language_of: LanguageOf | None,
    rng: random.Random | None = None,
) -> Unfit | None:
    """What the guard says of it, in pieces of chance lengths; None: it is fit."""
    rng = rng or random.Random(reply.reply)  # noqa: S311  where a piece ends, not a secret
    guard = ReplyGuard(context_of(reply), settings, language_of)
    begin, shown = 0, ""
    try:
        while begin < len(reply.reply):
            end = begin + rng.randint(1, _LONGEST_PIECE)
            shown += guard.add(reply.reply[begin:end])
            begin = end
        shown += guard.end()
    except UnfitReply as unfit:
        return unfit.reason
    if shown != reply.reply:
        raise AssertionError("the guard has changed a reply")
    return None

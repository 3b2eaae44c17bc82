"""Words of the tutor beside a model's: help, why a person is called, why it answers so or not.

`help` speaks to the learner, who may be in danger. All others are reasons: teachers read them, and
learners whose page shows them. No text names anything that the learner wrote.
"""

from __future__ import annotations

from pydantic import Field

from models.words.advice import Section, Text
from schemas.vocabulary import Concern


class Help(Section):
    """What a learner is told; `tutor.safety` may have other texts."""

    message: Text = Field(description="instead of an answer to a message that is for a person")
    reply: Text = Field(description="instead of a model's words that failed the check")


class Safety(Section):
    """Why a person is called, beside the reasons of the lexicon's patterns."""

    felt: Text = Field(description="an emotion is enough by itself")
    feelings_agree: Text = Field(description="with what the words alone do not say for sure")
    message: Text = Field(description="one message reads like a kind of concern")
    messages: Text = Field(description="several together do")
    unnamed: Text = Field(description="in place of a concern's kind where none is sure")


class Modes(Section):
    """Why the tutor helps in this way."""

    usual: Text
    chosen: Text
    feelings: Text
    pleasure: Text
    falling: Text
    not_asked: Text
    load: Text
    readiness: Text
    tries: Text
    focusing: Text = Field(description="`tried` is the text of `tries`")
    tired: Text
    telling: Text


class Unanswered(Section):
    """Why there is no answer."""

    later: Text
    too_slow: Text
    too_late: Text
    off: Text
    impossible: Text
    not_kept: Text
    person_called: Text
    for_a_person: Text


class Tutoring(Section):
    """What the tutor says by itself."""

    help: Help
    safety: Safety
    concerns: dict[Concern, Text]
    patterns: dict[str, Text] = Field(description="of the lexicon, by name: in learners' messages")
    replies: dict[str, Text] = Field(description="of the lexicon, by name: in a model's words")
    modes: Modes
    unanswered: Unanswered
    causes: dict[str, Text] = Field(description="of `unanswered`: why there is no answer now")

"""Words about a learner's state: what its facts are called, and why something follows from them.

Teachers read them, and learners whose page shows them. `{...}` in a text is a field, which
whoever says the text fills in. Numbers are put in as `Words.number` writes them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.topics.emotions import Emotion
from schemas.topics.state import Trajectory
from schemas.vocabulary import Level

Text = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A table of a language's file: it has these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Because(Section):
    """Why something is recommended, or why masterx steps in."""

    below: Text
    was_below: Text = Field(description="no longer, but the rule has not let go yet")
    above: Text
    was_above: Text
    heading: Text = Field(description="where the trajectory leads")
    emotion: Text = Field(description="what an emotion's share is called as a fact")
    need: Text = Field(description="what the intervention net sees")
    both: Text = Field(description="the net looked at two things")
    explored: Text
    expected_before: Text
    expected_after: Text


class Advice(Section):
    """What is said about a state."""

    because: Because
    facts: dict[str, Text] = Field(description="as rules name them; `emotions` has the others")
    emotions: dict[Emotion, Text]
    trajectories: dict[Trajectory, Text]
    levels: dict[Level, Text] = Field(description="of help; there is never a need of `none`")
    sides: dict[str, Text] = Field(description="what the intervention net looked at")

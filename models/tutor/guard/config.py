"""Settings of the reply guard: from where on a reply is unfit. docs/tutor.md has its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class GuardSettings(BaseModel):
    """What a model may not say to a learner. Chosen on `models/tutor/corpus/replies`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(True, description="false: whatever a model writes is shown")
    signs: Path | None = Field(
        None, description="a file in place of the packaged signs.toml: tokens, phrases, numbers"
    )
    most_chars: int = Field(
        2_400, ge=1, description="characters of a reply; a longer one has lost its thread"
    )
    loop_words: int = Field(
        8, ge=2, description="words in a row that repeat the ones before them, at least"
    )
    loop_times: int = Field(
        3, ge=2, description="how often in a row the same words stand there, at least"
    )
    loop_code: int = Field(
        3, ge=1, description="times as much of both within code, where repeating is no fault"
    )
    longest_loop: int = Field(40, ge=1, description="words of a loop that is looked for")
    window: int = Field(24, ge=10, description="last words of which `repeated` is the share")
    repeated: Share = Field(
        0.45, description="share of runs of three words that stood in the reply before"
    )
    same_sentence: int = Field(
        3, ge=2, description="times the same sentence or line stands in a reply, but for code"
    )
    bare_lines: int = Field(
        8, ge=2, description="lines in a row that hold a bullet or a number and no more"
    )
    sentence_words: int = Field(4, ge=1, description="least words of a sentence that is counted")
    same_sign: int = Field(25, ge=4, description="times the same character in a row")
    prompt_words: int = Field(
        6, ge=3, description="words in a row of our own instructions that give them away"
    )
    unknown_tags: int = Field(
        1,
        ge=0,
        description="made-up tags (`<next thing>`) outside code, at most; none at the begin",
    )
    html_tags: int = Field(
        6, ge=0, description="tags of HTML outside code, at most, unless the lesson has any"
    )
    echo_new: Share = Field(0.2, description="most share of words that are new, of an echo")
    echo_of: Share = Field(0.6, description="least share of the learner's words, of an echo")
    echo_words: int = Field(4, ge=1, description="least words of a message that can be echoed")
    asked_words: int = Field(
        5, ge=3, description="different words from which the learner's language is known"
    )
    asked_log_odds: float = Field(
        12.0,
        ge=0,
        description="log-odds against all others from which that language is known",
    )
    language_words: int = Field(
        8, ge=3, description="different words from which a reply's language is known"
    )
    language_log_odds: float = Field(
        15.0, ge=0, description="log-odds against all others from which a reply's language is known"
    )
    language_chars: int = Field(
        200, ge=40, description="characters of a reply after which its language is looked at again"
    )
    content_words: int = Field(
        3,
        ge=1,
        description="different words of a subject beside polite phrases that a reply needs at least"
        ", but for a question that has one",
    )
    thanks_words: int = Field(
        6, ge=1, description="a message of at most so many words may be thanks or a greeting alone"
    )
    try_words: int = Field(
        4, ge=1, description="a message of one number and at most so many words is a try"
    )
    plain_below: int = Field(
        101,
        ge=0,
        description="a whole number below this gives an answer away only where it is stated as "
        "one (`= 4`, `the answer is 4`); it may stand anywhere for another reason",
    )

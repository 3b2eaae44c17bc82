"""From what was chosen to the turns of the prompt: who says what, between which fences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from models.tutor.context.material import Layer, Note, Occasion, PromptTurn, Role, Said, Summary
from models.tutor.prompts.sanitising import Fence, fenced, harmless, one_line
from schemas.vocabulary import Speaker

UNASKED = "The learner has not written since. You write first."
LEFT_OUT = "What was said before is left out."
TITLES: Final = {
    Layer.PROFILE: (Fence.NOTES, "Over time:"),
    Layer.STATE: (Fence.NOTES, "Now:"),
    Layer.HISTORY: (Fence.EARLIER, "Earlier exchanges:"),
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a prompt tells beside its instructions. turns: oldest first."""

    occasion: Occasion
    turns: tuple[Said, ...] = ()
    profile: tuple[Note, ...] = ()
    state: tuple[Note, ...] = ()
    history: tuple[Note, ...] = ()
    summary: Summary | None = None


def rendered(system: str, chosen: Chosen) -> tuple[PromptTurn, ...]:
    """One system turn, then user and assistant in turn; user first and last.

    Many chat templates refuse any other order, so neighbours of one role become one turn.
    """
    turns: list[PromptTurn] = []
    for role, text in _blocks(chosen):
        if turns and turns[-1].role is role:
            turns[-1] = PromptTurn(role, f"{turns[-1].text}\n{text}")
        else:
            turns.append(PromptTurn(role, text))
    return (PromptTurn(Role.SYSTEM, system), *turns)


def note_line(note: Note) -> str:
    """A note as it stands in its section."""
    return f"- {one_line(note.text)}"


def said(turn: Said) -> tuple[Role, str]:
    """One turn of the conversation: only a learner's words stand between fences."""
    if turn.speaker is Speaker.STUDENT:
        return Role.USER, fenced(Fence.LEARNER, turn.text)
    return Role.ASSISTANT, harmless(turn.text)


def section(layer: Layer, notes: tuple[Note, ...]) -> str:
    """One layer's notes between its fences."""
    fence, title = TITLES[layer]
    return fenced(fence, "\n".join((title, *map(note_line, notes))))


def rendered_summary(summary: Summary) -> str:
    """The running summary between its fences."""
    return fenced(Fence.EARLIER, f"This conversation so far:\n{summary.text}")


def _before(chosen: Chosen) -> Iterator[str]:
    if chosen.profile:
        yield section(Layer.PROFILE, chosen.profile)
    if chosen.state:
        yield section(Layer.STATE, chosen.state)
    if chosen.history:
        yield section(Layer.HISTORY, chosen.history)
    if chosen.summary is not None:
        yield rendered_summary(chosen.summary)


def _blocks(chosen: Chosen) -> Iterator[tuple[Role, str]]:
    before = list(_before(chosen))
    if not before and chosen.turns and chosen.turns[0].speaker is Speaker.TEACHER:
        before.append(fenced(Fence.NOTES, LEFT_OUT))
    for text in before:
        yield Role.USER, text
    for turn in chosen.turns:
        yield said(turn)
    if chosen.occasion is Occasion.INTERVENTION:
        yield Role.USER, fenced(Fence.NOTES, UNASKED)

"""Deltas to text: however an answer is split, the learner sees the same of it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.tutor.config import ProviderSettings
from app.tutor.providers.answer_text import AnswerText, visible

TAGS = ProviderSettings(name="p", base_url="http://127.0.0.1", model="m").thought_tags
PIECES = (
    *("<think>", "</think>", "<THINK>", "[THINK]", "[/THINK]", "<", "</", "think", ">"),
    *("`", "``", "```", "\n", "\n\n", " ", "a", "b c", "\ud83d", "\ude00", "\u0130", "\u200b"),
)
ANSWERS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def seen(deltas: list[str], *, held: bool = False, cut: bool = False) -> tuple[str, int]:
    """The text that stands at the end, and characters that do not."""
    answer = AnswerText(TAGS, held=held, most=10_000)
    text, unseen = "", 0
    for shown in (*map(answer.feed, deltas), answer.end(cut=cut)):
        if shown.void:
            text, unseen = "", unseen + len(text)
        if not text and shown.text:
            assert visible(shown.text), "a blank beginning"
        text += shown.text
        unseen += shown.thought
    return text, unseen


@given(ANSWERS, st.lists(st.integers(0, 60), max_size=8), st.booleans(), st.booleans())
@example("\n<[THINK][/THINK]", [3], False, False)
@example("`a`<think>`</think>`</think>b", [5, 12, 20], False, False)
def test_how_it_is_split_changes_nothing(answer: str, cuts: list[int], held: bool, cut: bool):
    places = sorted({0, len(answer), *(place for place in cuts if place < len(answer))})
    deltas = [answer[start:end] for start, end in itertools.pairwise(places)]
    assert seen(deltas, held=held, cut=cut) == seen([answer], held=held, cut=cut)
    assert seen(list(answer), held=held, cut=cut) == seen([answer], held=held, cut=cut)


@given(ANSWERS, st.booleans())
def test_what_is_shown_can_be_sent_on(answer: str, held: bool):
    text, _ = seen(list(answer), held=held)
    text.encode()


@given(st.text(st.characters(exclude_characters="`"), max_size=40), st.sampled_from(TAGS))
def test_no_thought_is_seen_whatever_it_says(thought: str, tags: tuple[str, str]):
    opening, closing = tags
    text, _ = seen([*opening, *thought, *closing, "So."])
    inner = thought.casefold().find(closing.casefold())
    assert text == "So." or inner >= 0


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a", True),
        (" \n\t\u00a0\u200b\ufeff\u2060\u00ad\u3164\u2800\ufffd\u0301", False),
        ("", False),
        ("\u200b.", True),
        ("\U0001f600", True),
        ("é", True),
    ],
)
def test_visible(text: str, seen: bool):
    assert visible(text) is seen

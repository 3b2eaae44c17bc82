"""The reply guard: what passes, what is stopped, and when."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.emotion.config import LanguageSettings
from models.emotion.language import LanguageNames
from models.tutor.guard.config import GuardSettings
from models.tutor.guard.guard import GuardContext, ReplyGuard, Unfit, UnfitReply
from models.tutor.guard.measuring import REPLIES, context_of, judged, read
from models.tutor.guard.signs import SignsProblem, signs_of
from schemas.vocabulary import Task

SETTINGS = GuardSettings()


@pytest.fixture(scope="module")
def names() -> LanguageNames:
    return LanguageNames(LanguageSettings())


def told(context: GuardContext, *pieces: str, **settings: object) -> tuple[list[str], str | None]:
    """What is shown piece by piece, and why it ended; None: it is fit."""
    guard = ReplyGuard(context, SETTINGS.model_copy(update=settings))
    shown: list[str] = []
    try:
        for piece in pieces:
            shown.append(guard.add(piece))
        shown.append(guard.end())
    except UnfitReply as unfit:
        return shown, unfit.reason
    return shown, None


def asked(learner: str, mode: Task = Task.DIRECT, **more: object) -> GuardContext:
    return GuardContext(mode=mode, learner=learner, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("file", sorted(REPLIES.glob("*.jsonl")), ids=lambda file: file.stem)
def test_of_the_authored_replies_98_percent_pass_and_95_percent_are_caught(
    file: Path, names: LanguageNames
) -> None:
    replies = list(read(file))
    fit = [reply for reply in replies if reply.fit]
    unfit = [reply for reply in replies if not reply.fit]
    assert len(fit) >= 70
    assert len(unfit) >= 50
    stopped = [reply.reply for reply in fit if judged(reply, SETTINGS, names.of) is not None]
    missed = [reply.reply for reply in unfit if judged(reply, SETTINGS, names.of) is None]
    assert len(stopped) <= 0.02 * len(fit), stopped
    assert len(missed) <= 0.05 * len(unfit), missed


def test_the_authored_replies_say_what_they_are() -> None:
    for file in REPLIES.glob("*.jsonl"):
        replies = list(read(file))
        assert all((reply.reason is None) == reply.fit for reply in replies)
        assert {reply.reason for reply in replies} == {None, *Unfit}
        assert len({reply.reply for reply in replies}) == len(replies)


def test_wherever_pieces_are_cut_the_verdict_is_the_same(names: LanguageNames) -> None:
    for reply in read(REPLIES / "rowan.jsonl"):
        verdicts = {
            judged(reply, SETTINGS, names.of, rng=random.Random(seed)) is None for seed in range(3)
        }
        assert len(verdicts) == 1, reply.reply


def test_what_may_become_a_token_is_not_shown_before_that_is_known() -> None:
    shown, reason = told(asked("name a mammal"), "A dog.", "<|im", "_end", "|>", "user")
    assert reason is Unfit.TEMPLATE
    assert "".join(shown) == "A dog."


def test_a_bracket_that_opens_nothing_is_shown_in_the_end() -> None:
    context = asked("is 2 less than 3")
    shown, reason = told(context, "Yes, 2 <", " 3. And 3", " < 4, as you see [", "here].")
    assert reason is None
    assert "".join(shown) == "Yes, 2 < 3. And 3 < 4, as you see [here]."


def test_a_made_up_tag_is_a_fault_but_for_a_lesson_that_has_it() -> None:
    reply = "Put <remarks> around it."
    assert told(asked("what now"), reply)[1] is Unfit.TEMPLATE
    assert told(asked("my xml has <remarks> in it, is that wrong?"), reply)[1] is None
    assert told(asked("what now"), "Put `<remarks>` around it.")[1] is None
    assert told(asked("what now"), "```xml\n<remarks>mine</remarks>\n```\nSee?")[1] is None


def test_a_token_that_the_learner_asks_about_is_no_leak() -> None:
    reply = "<|im_end|> ends a turn in that chat template. Which one begins it?"
    assert told(asked("what does <|im_end|> mean in the log"), reply)[1] is None
    assert told(asked("what is a turn"), reply)[1] is Unfit.TEMPLATE


def test_our_instructions_are_not_said_but_the_help_message_is() -> None:
    ours = "Ask what the learner thinks and why, or what the problem asks for in plain words."
    helps = "Please talk to somebody you trust today, at home or in school, and do not wait."
    context = asked("hm", instructions=f"{ours} Else say: {helps}", sayable=helps)
    assert told(context, helps)[1] is None
    context = asked("the learner?", instructions=ours)
    assert told(context, ours)[1] is Unfit.PROMPT


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        ("5/6", "It is \\frac{5}{6}, right?"),
        ("5/6", "Together \u2154 + \u2159 make five sixths."),
        ("5/6", "That is about 0.83 of it."),
        ("25%", "A quarter of it is 0.25 in decimals."),
        ("-3", "So x = -3 it is."),
        ("4", "Then x = **4**."),
        ("1,250", "You get 1250 in all."),
        ("Canberra", "Have you thought of Canberra?"),
    ],
)
def test_an_answer_is_known_by_its_worth(answer: str, reply: str) -> None:
    context = asked("how do i do it", Task.SOCRATIC, answers=(answer,))
    assert told(context, reply)[1] is Unfit.GIVES_AWAY


@pytest.mark.parametrize(
    ("learner", "answer", "reply"),
    [
        ("how do i do it", "4", "Question 4 asks for the same. What is given there?"),
        ("i think it is 4", "4", "You say that it is 4. How did you get there?"),
        ("5/6?", "5/6", "How did you come to 5/6?"),
        ("how do i do it", "3", "1. Read it.\n2. Draw it.\n3. Name what you look for."),
        ("how do i do it", "0.5", "Which of the two is on top?"),
        ("is it canberra", "Canberra", "Why do you think that it is Canberra?"),
    ],
)
def test_a_number_may_stand_there_for_another_reason(learner: str, answer: str, reply: str) -> None:
    context = asked(learner, Task.SOCRATIC, answers=(answer,))
    assert told(context, reply)[1] is None


def test_on_the_last_rung_and_in_other_modes_the_answer_may_be_told() -> None:
    reply = "Half and a third are 5/6 together."
    telling = asked("please", Task.SOCRATIC, telling=True, answers=("5/6",))
    assert told(telling, reply)[1] is None
    assert told(asked("please", Task.DIRECT, answers=("5/6",)), reply)[1] is None


def test_a_reply_may_be_said_again() -> None:
    reply = "Which number do both 2 and 3 go into?"
    context = asked("i dont know", before=("i got 2/5", reply))
    assert told(context, reply)[1] is None


def test_thanks_may_be_answered_with_politeness_alone() -> None:
    reply = "You're welcome! Good luck!"
    assert told(asked("thanks a lot"), reply)[1] is None
    assert told(asked("what is a verb"), reply)[1] is Unfit.EMPTY
    greeting = asked("hi, can you tell me how a plant makes its food?")
    assert told(greeting, "Hello! I'm happy to help.")[1] is Unfit.EMPTY


def test_a_turn_in_the_learners_name_is_found_behind_one_in_code() -> None:
    code = "```yaml\nuser: ada\n```\n"
    assert told(asked("what does the key mean"), code, "It names you.")[1] is None
    reply = (code, "It names you.\n", "User: ", "thanks")
    assert told(asked("what does the key mean"), *reply)[1] is Unfit.TEMPLATE


def test_a_language_lesson_may_be_in_another_language(names: LanguageNames) -> None:
    reply = "Je m'appelle Marie et je suis contente de vous voir ce soir avec toute la famille."
    for learner, expected in (
        ("how do i introduce myself to a french family tonight", None),
        ("how do i introduce myself to a new family tonight", Unfit.LANGUAGE),
    ):
        guard = ReplyGuard(asked(learner), SETTINGS, names.of)
        try:
            guard.add(reply)
            guard.end()
            found = None
        except UnfitReply as unfit:
            found = unfit.reason
        assert found is expected


def test_a_reply_that_is_too_long_ends_at_its_bound() -> None:
    words = [f"word{number} " for number in range(1_000)]
    shown, reason = told(asked("tell me more"), *words)
    assert reason is Unfit.LENGTH
    assert SETTINGS.most_chars - 20 < len("".join(shown)) <= SETTINGS.most_chars


def test_a_piece_costs_the_same_however_long_the_reply_is() -> None:
    """Counted in characters that are read again, not in time; in a reply of one long line."""
    reply = next(r for r in read(REPLIES / "rowan.jsonl") if r.reason is Unfit.LENGTH)
    guard = ReplyGuard(context_of(reply), SETTINGS.model_copy(update={"most_chars": 100_000}))
    begins: list[int] = []
    signs = guard._signs

    class Counted:
        def finditer(self, text: str, begin: int) -> Iterator[re.Match[str]]:
            begins.append(len(text) - begin)
            return signs.token.finditer(text, begin)

    guard._signs = replace(signs, token=Counted())  # type: ignore[arg-type]
    for at in range(0, len(reply.reply), 4):
        guard.add(reply.reply[at : at + 4])
    assert len(begins) > 600
    assert max(begins) < 200


def test_a_file_of_signs_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "signs.toml"
    broken.write_text("[template]\n", encoding="utf-8")
    with pytest.raises(SignsProblem, match=r"signs\.toml: template\.tokens: Field required"):
        signs_of(broken)
    packaged = (Path(signs_of.__wrapped__.__code__.co_filename).parent / "signs.toml").read_text(
        encoding="utf-8"
    )
    broken = tmp_path / "other.toml"
    broken.write_text(packaged.replace("lesson = '", "lesson = '("), encoding="utf-8")
    with pytest.raises(SignsProblem, match=r"other\.toml: language\.lesson"):
        signs_of(broken)

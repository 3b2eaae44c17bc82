"""Which reply counts, what its verdict is, and the figures of a run."""

from __future__ import annotations

import json
from itertools import permutations

import pytest

from app.tutor.evaluation.report import Attempts, Report, Told, TurnLine, text_of, verdict_of
from schemas.topics.tutor import ReplyStatus, RequestKind, TutorReplied

EVENT = {
    "user_id": "ada",
    "event_time": 1,
    "ingest_time": 1,
    "caused_by": ("m1",),
    "source_topic": "chat-messages",
    "source_partition": 0,
    "source_offset": 0,
}
FAILED = Attempts({("p0", "slow"): 1, ("p1", "unfit"): 2, ("p2", "cancelled"): 1})


def a_reply(status: ReplyStatus, event_id: str = "r1", **fields: object) -> TutorReplied:
    made = {"final": True, "kind": RequestKind.CHAT, "reply_id": "r1", **EVENT, **fields}
    return TutorReplied.model_validate({"event_id": event_id, "status": status, **made})


NOTICE = a_reply(ReplyStatus.UNAVAILABLE, "n1", final=False, because=("no answer now: slow",))


@pytest.mark.parametrize(
    ("reply", "asked", "verdict"),
    [
        (a_reply(ReplyStatus.ANSWERED, text="hm?"), Attempts({("p0", "answered"): 1}), "answered"),
        # One has failed, and another has answered.
        (a_reply(ReplyStatus.ANSWERED, text="hm?"), FAILED, "answered"),
        (a_reply(ReplyStatus.HUMAN_HELP, text="see Mrs Lee"), FAILED, "human_help"),
        (a_reply(ReplyStatus.OFF), Attempts(), "off"),
        (a_reply(ReplyStatus.UNAVAILABLE), Attempts(), "unavailable"),
        (NOTICE, Attempts(), "put_off"),
        (NOTICE, Attempts({("p2", "cancelled"): 1}), "put_off"),
        (NOTICE, Attempts({("p1", "unfit"): 2}), "unfit"),
        (NOTICE, FAILED, "slow+unfit"),
        (None, Attempts(), "dead_letter"),
    ],
)
def test_a_verdict(reply: TutorReplied | None, asked: Attempts, verdict: str):
    assert verdict_of(reply, asked) == verdict


def test_the_text_of_a_reply_without_words_is_why_there_are_none():
    assert text_of(a_reply(ReplyStatus.ANSWERED, text="hm?", because=("mode",))) == "hm?"
    assert text_of(NOTICE) == "no answer now: slow"
    assert text_of(None) == ""


HELP = a_reply(ReplyStatus.HUMAN_HELP, "h1", text="see Mrs Lee")
LESSON = a_reply(ReplyStatus.ANSWERED, text="hm?")


@pytest.mark.parametrize("order", list(permutations([HELP, LESSON, NOTICE])))
def test_help_counts_before_a_lesson_in_whatever_order_they_come(order: tuple[TutorReplied, ...]):
    told = Told()
    for reply in order:
        told.take(reply)

    assert told.reply == HELP


@pytest.mark.parametrize("order", list(permutations([LESSON, NOTICE])))
def test_what_is_final_counts_before_a_notice(order: tuple[TutorReplied, ...]):
    told = Told()
    for reply in order:
        told.take(reply)

    assert told.reply == LESSON


def test_the_same_reply_told_again_is_the_first_one():
    told = Told()
    told.take(LESSON)
    told.take(a_reply(ReplyStatus.ANSWERED, text="another"))

    assert told.reply == LESSON


def a_line(turn: int, verdict: str, seconds: float, provider: str | None = None) -> TurnLine:
    mode = None if provider is None else "socratic"
    return TurnLine(turn // 2, turn % 2, "why?", "hm?", mode, provider, verdict, seconds)


LINES = [a_line(0, "answered", 0.2, "p0"), a_line(1, "slow", 9.0), a_line(2, "answered", 1.0, "p0")]


def test_the_figures_of_a_run():
    attempts = Attempts({("p0", "answered"): 2, ("p0", "slow"): 1})
    report = Report.of(LINES, attempts)

    assert report.as_json() == {
        "dialogues": 2,
        "turns": 3,
        "verdicts": {"answered": 2, "slow": 1},
        "providers": {"p0": 2, "none": 1},
        "modes": {"socratic": 2, "none": 1},
        "seconds": {"median": 1.0},
        "attempts": {"p0": {"answered": 2, "slow": 1}},
    }
    assert report.as_text().splitlines() == [
        "dialogues: 2, turns: 3",
        "median seconds to a reply: 1.00",
        "verdicts: answered 2, slow 1",
        "providers: p0 2, none 1",
        "modes: socratic 2, none 1",
        "attempts: p0 answered 2, p0 slow 1",
    ]


def test_without_attempts_the_text_says_so():
    assert Report.of(LINES, Attempts()).as_text().splitlines()[-1] == "attempts: none"


def test_a_line_has_these_keys_in_this_order():
    line = a_line(1, "slow", 9.0).json_line()

    assert line.endswith(b"}\n")
    assert list(json.loads(line)) == [
        "dialogue", "turn", "learner", "reply", "mode", "provider", "verdict", "seconds",
    ]  # fmt: skip

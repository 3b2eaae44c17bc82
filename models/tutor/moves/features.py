"""The state of a dialogue as numbers: what the moves' heads read.

Every feature looks only at a Context, so nothing from the turn itself or after it can get in.
The names are kept in the artefact; a change here without training again is found on loading.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.tutor.moves import text
from models.tutor.moves.dialogue import MOVES, Context, Speaker

Floats = NDArray[np.float64]
Features = dict[str, float]

RECENT = 3  # teacher turns whose moves are looked at one by one
FIRST_TURNS = 4  # teacher turns that have an intercept of their own
LATE = 6  # teacher turns, from which telling grows
SCALE_OF_TURNS = 5.0
LONGEST = 15  # teacher turns; later ones count as this one


def dialogue_state(context: Context, moves: Floats) -> Features:
    """Features that need no reference solution.

    moves: (teacher turns so far, 4) probabilities of each one's move; one-hot where it is known
    """
    return {
        **_where(context),
        **_moves(moves),
        **_student(context),
        **_teacher(context),
    }


def towards_reference(context: Context) -> Features:
    """How far the student's words have come towards the reference solution."""
    answers = text.numbers(context.reference)
    answer = answers[-1] if answers else None
    said = [text.numbers(turn.text) for turn in context.of(Speaker.STUDENT)]
    last = said[-1] if said else []
    before = any(answer in earlier for earlier in said[:-1])
    steps = set(answers)
    concludes = bool(last) and last[-1] == answer
    named = sum(answer in earlier for earlier in said)
    told = any(answer in text.numbers(turn.text) for turn in context.of(Speaker.TEACHER))
    covered = {n for earlier in said for n in earlier}
    return {
        "answer_concludes": float(concludes),
        "answer_named": float(answer in last),
        "answer_before": float(before),
        "answer_is_new": float(concludes and not before),
        "answer_times": math.log1p(named),
        "answer_told": float(told),
        "steps_named": _share(steps & set(last), steps),
        "steps_of_last": _share(steps & set(last), set(last)),
        "steps_covered": _share(steps & covered, steps),
    }


def _where(context: Context) -> Features:
    taught = len(context.of(Speaker.TEACHER))
    features = {
        "turns": min(taught, LONGEST) / SCALE_OF_TURNS,
        "turns_log": math.log1p(taught),
        "late": float(taught >= LATE),
        "teacher_spoke_last": float(
            bool(context.turns) and context.turns[-1].speaker is Speaker.TEACHER
        ),
        "question_length": math.log1p(len(context.question.split())),
    }
    for i in range(FIRST_TURNS):
        features[f"turn_is_{i}"] = float(taught == i)
    return features


def _moves(moves: Floats) -> Features:
    count = len(moves)
    total = moves.sum(0) if count else np.zeros(len(MOVES))
    after_first = moves[1:].max(0) if count > 1 else np.ones(len(MOVES))
    features: Features = {}
    for k, move in enumerate(MOVES):
        for back in range(1, RECENT + 1):
            features[f"{back}_back_{move}"] = float(moves[-back, k]) if count >= back else 0.0
        features[f"share_{move}"] = float(total[k]) / (count + 1)
        features[f"count_{move}"] = math.log1p(float(total[k]))
        features[f"after_first_{move}"] = float(after_first[k])
    chosen = moves.argmax(1).tolist()
    run = 0
    while run < count and chosen[-1 - run] == chosen[-1]:
        run += 1
    features["run"] = math.log1p(run)
    return features


def _student(context: Context) -> Features:
    turns = [turn.text for turn in context.of(Speaker.STUDENT)]
    last = turns[-1] if turns else ""
    said = [text.numbers(turn) for turn in turns]
    now = said[-1] if said else []
    teacher = context.of(Speaker.TEACHER)
    asked = text.numbers(teacher[-1].text) if teacher else []
    attempt = text.numbers(context.attempt)
    earlier = {n for each in said[:-1] for n in each}
    conclusion = now[-1] if now else None
    conclusions = [each[-1] for each in said[:-1] if each]
    return {
        "student_silent": float(not turns),
        "student_length": math.log1p(len(last.split())),
        "student_numbers": math.log1p(len(now)),
        "student_asks": float("?" in last),
        "student_equation": float("=" in last),
        "student_agrees": _found(text.AGREES.search(last)),
        "student_begins_agreeing": _found(text.BEGINS_AGREEING.match(last)),
        "student_realises": _found(text.REALISES.search(last)),
        "student_begins_realising": _found(text.BEGINS_REALISING.match(last)),
        "student_thanks": _found(text.THANKS.search(last)),
        "student_unsure": _found(text.UNSURE.search(last)),
        "student_concludes": _found(text.CONCLUDES.search(last)),
        "repeats_conclusion": float(conclusion is not None and conclusion in conclusions),
        "repeats_last": float(
            len(said) > 1 and bool(now) and bool(said[-2]) and said[-2][-1] == conclusion
        ),
        "repeats_numbers": _share(set(now) & earlier, set(now)),
        "concludes_attempt": float(bool(now) and bool(attempt) and conclusion == attempt[-1]),
        "names_attempt": float(bool(attempt) and attempt[-1] in now),
        "concludes_teachers": float(conclusion is not None and conclusion in asked),
        "numbers_of_question": _share(set(now) & set(text.numbers(context.question)), set(now)),
    }


def _teacher(context: Context) -> Features:
    turns = [turn.text for turn in context.of(Speaker.TEACHER)]
    last = turns[-1] if turns else ""
    mean = sum(len(turn.split()) for turn in turns) / len(turns) if turns else 0.0
    return {
        "teacher_asks": float("?" in last),
        "teacher_ends_asking": float(last.endswith("?")),
        "teacher_length": math.log1p(len(last.split())),
        "teacher_mean_length": math.log1p(mean),
        "teacher_numbers": math.log1p(len(text.numbers(last))),
        "teacher_equation": float("=" in last),
        "teacher_praises": _found(text.PRAISES.search(last)),
        "teacher_rejects": _found(text.REJECTS.search(last)),
        "teacher_asks_why": _found(text.ASKS_WHY.search(last)),
        "praises": math.log1p(sum(bool(text.PRAISES.search(turn)) for turn in turns)),
        "rejections": math.log1p(sum(bool(text.REJECTS.search(turn)) for turn in turns)),
    }


def lesson_state(context: Context) -> Features:
    """What Bridge's strategies head reads: four short chat lines and the lesson's topic."""
    student = [turn.text for turn in context.of(Speaker.STUDENT)]
    teacher = [turn.text for turn in context.of(Speaker.TEACHER)]
    last = student[-1] if student else ""
    asked = teacher[-1] if teacher else ""
    everything = " ".join(teacher)
    said = set(text.numbers(last))
    return {
        "length": math.log1p(len(last.split())),
        "letter": float(len(last.strip()) <= 2),
        "numbers": math.log1p(len(said)),
        "asks": float("?" in last),
        "agrees": _found(text.AGREES.search(last)),
        "unsure": _found(text.UNSURE.search(last)),
        "only_yes_or_no": _found(text.ONLY_YES_OR_NO.fullmatch(last)),
        "says_done": _found(text.SAYS_DONE.search(last)),
        "student_turns": float(len(student)),
        "teacher_asks": float("?" in asked),
        "teacher_asks_final": _found(text.ASKS_FINAL.search(asked)),
        "teacher_asks_why": _found(text.ASKS_WHY.search(asked)),
        "teacher_new_question": _found(text.NEW_QUESTION.search(asked)),
        "teacher_length": math.log1p(len(asked.split())),
        "teacher_numbers": math.log1p(len(text.numbers(asked))),
        "teacher_praises": _found(text.PRAISES.search(everything)),
        "teacher_rejects": _found(text.REJECTS.search(everything)),
        "numbers_of_teacher": float(bool(said & set(text.numbers(everything)))),
        "review": float("review" in context.topic.lower()),
    }


def _found(match: object) -> float:
    return float(match is not None)


def _share(part: Sequence[float] | set[float], whole: Sequence[float] | set[float]) -> float:
    return len(part) / (len(whole) + 1)

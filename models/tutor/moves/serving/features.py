"""The state of a dialogue as numbers: what the model reads.

Every feature looks only at a Context, so nothing from the turn itself or after it can get in.
The names are kept in the artefact; a change here without training again is found on loading.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.tutor.moves.serving import text
from models.tutor.moves.serving.dialogue import MOVES, Context
from schemas.vocabulary import Speaker

Floats = NDArray[np.float64]
Features = dict[str, float]

RECENT = 3  # teacher turns whose moves are looked at one by one
FIRST_TURNS = 4  # teacher turns that have an intercept of their own
LATE = 6  # teacher turns, from which telling grows
SCALE_OF_TURNS = 5.0
LONGEST = 15  # teacher turns; later ones count as this one


def dialogue_state(context: Context, moves: Floats) -> Features:
    """Every feature, in the order of the model's weights.

    moves: (teacher turns so far, 4) probabilities of each one's move
    """
    return {
        **_where(context),
        **_moves(moves),
        **_student(context),
        **_teacher(context),
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


def _found(match: object) -> float:
    return float(match is not None)


def _share(part: Sequence[float] | set[float], whole: Sequence[float] | set[float]) -> float:
    return len(part) / (len(whole) + 1)

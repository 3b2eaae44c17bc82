"""The trained model: a tagger of past teacher turns, four heads for moves, one for strategies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.tutor.moves import text
from models.tutor.moves.dialogue import MOVES, STRATEGIES, Context, Move, Speaker, Strategy
from models.tutor.moves.features import (
    Features,
    Floats,
    dialogue_state,
    lesson_state,
    towards_reference,
)
from models.tutor.moves.regression import Softmax


class Evidence(StrEnum):
    """What a context tells; each combination has a head of its own.

    tagged: the moves of all past teacher turns are known (they are when the tutor is ours)
    reference: a correct solution is at hand
    """

    TAGGED_REFERENCE = "tagged_reference"
    TAGGED = "tagged"
    UNTAGGED_REFERENCE = "untagged_reference"
    UNTAGGED = "untagged"


def evidence_of(context: Context) -> Evidence:
    """The richest head that this context can feed."""
    tagged = all(turn.move is not None for turn in context.of(Speaker.TEACHER))
    if text.numbers(context.reference):
        return Evidence.TAGGED_REFERENCE if tagged else Evidence.UNTAGGED_REFERENCE
    return Evidence.TAGGED if tagged else Evidence.UNTAGGED


@dataclass(frozen=True, slots=True)
class Tagger:
    """Reads a teacher's words and says which move they are likely to have been.

    head: (table size, 4), over hashed words and pairs of words
    """

    head: Softmax

    def __call__(self, said: str) -> Floats:
        """Probabilities (4,)."""
        return self.head.probabilities(table_row(said, len(self.head.weights)))


def table_row(said: str, size: int) -> Floats:
    """(size,) of unit length: which hashed words and pairs an utterance holds."""
    row = np.zeros(size)
    if found := text.buckets(text.bigrams(text.words(said)), size):
        row[found] = len(found) ** -0.5
    return row


def past_moves(context: Context, evidence: Evidence, tagger: Tagger) -> Floats:
    """(teacher turns, 4): one-hot where the move is known and may be used, else the tagger's."""
    known = evidence in {Evidence.TAGGED, Evidence.TAGGED_REFERENCE}
    rows = [
        np.eye(len(MOVES))[MOVES.index(turn.move)] if known and turn.move else tagger(turn.text)
        for turn in context.of(Speaker.TEACHER)
    ]
    return np.array(rows).reshape(-1, len(MOVES))


def move_features(context: Context, evidence: Evidence, tagger: Tagger) -> Features:
    """What the head of this evidence reads."""
    features = dialogue_state(context, past_moves(context, evidence, tagger))
    if evidence in {Evidence.TAGGED_REFERENCE, Evidence.UNTAGGED_REFERENCE}:
        features |= towards_reference(context)
    return features


def feature_names(evidence: Evidence, tagger: Tagger) -> list[str]:
    """In the order of the head's weights."""
    return list(move_features(Context(), evidence, tagger))


def strategy_names() -> list[str]:
    """In the order of the strategies head's weights."""
    return list(lesson_state(Context()))


def stack(rows: Iterable[Features]) -> Floats:
    """(n, d)."""
    return np.array([list(row.values()) for row in rows])


@dataclass(frozen=True, slots=True)
class MoveModel:
    """Everything that serving needs. seen: fingerprints of the groups it was trained on."""

    tagger: Tagger
    moves: dict[Evidence, Softmax]
    strategies: Softmax
    seen: frozenset[int]
    version: str

    def move_probabilities(
        self, context: Context, evidence: Evidence | None = None
    ) -> dict[Move, float]:
        """Of each of the four; they sum to 1. evidence: use this head, not the richest one."""
        chosen = evidence or evidence_of(context)
        row = stack([move_features(context, chosen, self.tagger)])
        return dict(zip(MOVES, self.moves[chosen].probabilities(row)[0].tolist(), strict=True))

    def strategy_probabilities(self, context: Context) -> dict[Strategy, float]:
        """Of each of the ten; they sum to 1."""
        row = stack([lesson_state(context)])
        return dict(zip(STRATEGIES, self.strategies.probabilities(row)[0].tolist(), strict=True))


def fingerprint(group: str) -> int:
    """Names a problem or session without keeping its text."""
    return text.buckets([group], 2**32)[0]

"""The trained model: a tagger of past teacher turns, and a head for the next move.

The moves of past turns are always read from their words: nobody tags what a tutor says, and a
model that was trained on teachers' own tags would look more certain than it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from models.tutor.moves.serving import text
from models.tutor.moves.serving.dialogue import MOVES, Context, Move
from models.tutor.moves.serving.features import Features, Floats, dialogue_state
from schemas.vocabulary import Speaker


@dataclass(frozen=True, slots=True)
class Softmax:
    """weights (d, k) on the features as they come, bias (k,)."""

    weights: Floats
    bias: Floats

    def probabilities(self, rows: Floats) -> Floats:
        """(n, d) to (n, k); each row sums to 1."""
        return softmax(rows @ self.weights + self.bias)


def softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(-1, keepdims=True)
    return probabilities


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


def move_features(context: Context, tagger: Tagger) -> Features:
    """What the head reads."""
    read = [tagger(turn.text) for turn in context.of(Speaker.TEACHER)]
    return dialogue_state(context, np.array(read).reshape(-1, len(MOVES)))


def feature_names(tagger: Tagger) -> list[str]:
    """In the order of the head's weights."""
    return list(move_features(Context(), tagger))


def stack(rows: Iterable[Features]) -> Floats:
    """(n, d)."""
    return np.array([list(row.values()) for row in rows])


@dataclass(frozen=True, slots=True)
class MoveModel:
    """Everything that serving needs. seen: fingerprints of the problems it was trained on."""

    tagger: Tagger
    head: Softmax
    seen: frozenset[int]
    version: str

    def probabilities(self, context: Context) -> dict[Move, float]:
        """How likely a teacher makes each of the four moves next; they sum to 1."""
        row = stack([move_features(context, self.tagger)])
        return dict(zip(MOVES, self.head.probabilities(row)[0].tolist(), strict=True))


def fingerprint(group: str) -> int:
    """Names a problem without keeping its text."""
    return text.buckets([group], 2**32)[0]

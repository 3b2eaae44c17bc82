"""Long texts are read whole: in windows that overlap, whose outputs are joined.

A text of up to `longest` tokens is one window and costs what it did. A longer one becomes several
of equal length, evenly spaced from its first token to its last. They are shorter (the card's
`joining.length`), so that one that shows feeling holds little else. Beyond `most` windows
the first and the last ones are read: people say how they feel at the end. The reading then says
how much of the text was read (`Output.coverage`).

The joined logits are a weighted mean of the windows'. The weights come from the card
(`card.Joining`): the last window counts more, and one that shows feeling counts more than one
that describes an exercise. Danger is the exception: the most
worrying window counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from models.emotion.artefact.card import Joining
from models.emotion.serving.inference import (
    Batch,
    Collate,
    Floats,
    Output,
    Run,
    TokenisedText,
    Tokens,
)
from models.emotion.serving.tokenising import known_share


@dataclass(frozen=True, slots=True)
class WindowedBatch:
    """The windows of n texts as one batch.

    windows: of each text
    coverage: of each text, in [0, 1]
    """

    batch: Batch
    windows: Sequence[int]
    coverage: Sequence[float]

    @property
    def padded(self) -> int:
        """Tokens that the model computes with, padding included."""
        return self.batch.padded


class Windows:
    """What makes windows of texts, and readings of windows' outputs.

    Args:
        longest: tokens of a text that is read as it is, with the two special ones.
        most: windows of one text.
        joining: how windows overlap and what they count.
        unknown: the id of an unknown piece, for each encoder; None where it has none.
    """

    def __init__(
        self, longest: int, most: int, joining: Joining, unknown: Sequence[int | None]
    ) -> None:
        self._longest = longest
        self._length = min(longest, joining.length)
        self._most = most
        self._joining = joining
        self._unknown = unknown

    def collate(self, own: Collate) -> Collate:
        """The engine's collate, of windows instead of texts."""

        def windowed(texts: Sequence[TokenisedText]) -> WindowedBatch:
            parts = [self.split(text) for text in texts]
            coverage = [self.coverage(text) for text in texts]
            every = [window for part in parts for window in part]
            return WindowedBatch(own(every), [len(part) for part in parts], coverage)

        return windowed

    def run(self, own: Run) -> Run:
        """The engine's run, of whole texts."""

        def joined(batch: Any) -> Output:
            output = own(batch.batch)
            coverage = np.array(batch.coverage, dtype=np.float32)
            if len(output.emotions) == len(coverage):
                return output._replace(coverage=coverage)
            return self.join(output, batch.windows)._replace(coverage=coverage)

        return joined

    def split(self, text: TokenisedText) -> list[TokenisedText]:
        """The windows of one text; of each encoder equally many."""
        whole, kept = self._places(text)
        if whole == 1:
            return [text]
        length = self._length - 2

        def window(ids: Tokens, at: int) -> Tokens:
            begin = self._begin(ids, at, whole)
            return [ids[0], *ids[begin : min(begin + length, len(ids) - 1)], ids[-1]]

        return [tuple(window(ids, at) for ids in text) for at in kept]

    def coverage(self, text: TokenisedText) -> float:
        """Share of the text's pieces that are known and stand in a window: the least encoder's."""
        whole, kept = self._places(text)
        return min(
            self._read(ids, whole, kept) * known_share(ids, unknown)
            for ids, unknown in zip(text, self._unknown, strict=True)
        )

    def _places(self, text: TokenisedText) -> tuple[int, list[int]]:
        """How many windows the whole text has, and which of them are read."""
        if all(len(ids) <= self._longest for ids in text):
            return 1, [0]
        content = self._length - 2
        step = content - min(self._joining.overlap, content - 1)
        whole = max(-(-(len(ids) - 2 - content) // step) + 1 for ids in text)
        if whole <= self._most:
            return whole, [*range(whole)]
        # One alone is the first: what was read before there were windows.
        return whole, [0, *range(whole - self._most + 1, whole)]

    def _begin(self, ids: Tokens, at: int, of: int) -> int:
        spare = max(0, len(ids) - self._length)
        return 1 + round(spare * at / max(1, of - 1))

    def _read(self, ids: Tokens, whole: int, kept: Sequence[int]) -> float:
        """Share of an encoder's pieces that stand in a window; each counts once."""
        pieces = len(ids) - 2
        if pieces < 1:
            return 0.0
        if whole == 1:
            return 1.0
        begins = [self._begin(ids, at, whole) for at in kept]
        apart = sum(min(self._length - 2, b - a) for a, b in pairwise(begins))
        return min(1.0, (apart + self._length - 2) / pieces)

    def join(self, output: Output, windows: Sequence[int]) -> Output:
        """(windows, ...) to (texts, ...): the weighted mean; the largest concern."""
        begins = np.concatenate([[0], np.cumsum(windows)[:-1]]).astype(np.int64)
        weights = np.exp(self._feeling(output))
        ends = begins + np.asarray(windows) - 1
        several = np.asarray(windows) > 1
        weights[ends[several]] *= np.exp(self._joining.last)
        total = np.repeat(np.add.reduceat(weights, begins), windows)
        share = (weights / total).astype(np.float32)

        def mean(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            shaped = share.reshape(-1, *[1] * (values.ndim - 1))
            return np.add.reduceat(values * shaped, begins, axis=0).astype(np.float32)

        return Output(
            emotions=mean(output.emotions),
            goemotions=mean(output.goemotions),
            pad=mean(output.pad),
            affect=mean(output.affect),
            urgency=mean(output.urgency),
            concern=np.maximum.reduceat(output.concern, begins, axis=0),
            speaking=mean(output.speaking),
            coverage=mean(output.coverage),
        )

    def _feeling(self, output: Output) -> Floats:
        """How far each window's valence lies from neutral, in logits, times what it counts."""
        valence = output.pad[:, 0].astype(np.float64)
        return self._joining.feeling * np.abs(valence - self._joining.neutral)

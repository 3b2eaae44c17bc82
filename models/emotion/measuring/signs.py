"""How often a reading's sign is the one that its writer meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.emotion.artefact.card import Band
from models.emotion.measuring.served import Prediction
from models.emotion.training.examples import SIGNS, LabelledMessage
from models.evaluation.bootstrap import mean_interval

CLAIMED_ABOVE: Final = 0.3
"""A message of more confidence counts as claimed: a page would show its figures as measured."""
RESAMPLES: Final = 1_000
SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Share:
    """A share of rows, and what 95% of a bootstrap over the rows lie between.

    count: rows of which it holds
    rows: of how many
    """

    count: int
    rows: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.count / self.rows

    def as_json(self) -> dict[str, float]:
        """With the share itself."""
        return {
            "rows": self.rows,
            "count": self.count,
            "share": self.share,
            "low": self.low,
            "high": self.high,
        }


def share_of(held: Sequence[bool]) -> Share | None:
    """Of how many rows something holds; None without rows."""
    if not held:
        return None
    values = np.array(held, dtype=np.float64)
    low, high = mean_interval(values, range(len(held)), resamples=RESAMPLES, seed=SEED)
    return Share(sum(held), len(held), low, high)


def json_of(share: Share | None) -> dict[str, float] | None:
    """None where there are no rows."""
    return None if share is None else share.as_json()


@dataclass(frozen=True, slots=True)
class SignFigures:
    """What `evaluate emotion --format sign` reports.

    rows: of the file; n: those of them that are labelled
    band: valence that is no sign
    accuracy: share of the labelled rows whose sign was found; None without any
    claimed: share of all rows that are claimed as measured (`CLAIMED_ABOVE`)
    by_kind: accuracy of each kind that has labelled rows, in the file's order
    claimed_by_kind: of each kind
    confusion: counts; a row for each sign that was meant, a column for each that was read
    """

    rows: int
    n: int
    band: Band
    accuracy: Share | None
    claimed: Share | None
    by_kind: dict[str, Share]
    claimed_by_kind: dict[str, Share]
    confusion: tuple[tuple[int, ...], ...]

    def as_json(self) -> dict[str, Any]:
        """One object with every key."""
        return {
            "rows": self.rows,
            "n": self.n,
            "band": list(self.band),
            "accuracy": json_of(self.accuracy),
            "claimed": json_of(self.claimed),
            "by_kind": {kind: share.as_json() for kind, share in self.by_kind.items()},
            "claimed_by_kind": {
                kind: share.as_json() for kind, share in self.claimed_by_kind.items()
            },
            "confusion": self.confusion,
        }


def sign_figures(
    messages: Sequence[LabelledMessage], predictions: Sequence[Prediction], band: Band
) -> SignFigures:
    """Every figure; `predictions` with the messages' places."""
    pairs = list(zip(messages, predictions, strict=True))
    labelled = [(message, found) for message, found in pairs if message.label is not None]
    met = [(message.label, found.sign) for message, found in labelled]
    return SignFigures(
        rows=len(pairs),
        n=len(labelled),
        band=band,
        accuracy=share_of([meant == read for meant, read in met]),
        claimed=share_of([claimed(found) for _, found in pairs]),
        by_kind=by_kind([(m.kind, m.label == found.sign) for m, found in labelled]),
        claimed_by_kind=by_kind([(m.kind, claimed(found)) for m, found in pairs]),
        confusion=tuple(tuple(met.count((meant, read)) for read in SIGNS) for meant in SIGNS),
    )


def claimed(prediction: Prediction) -> bool:
    """Whether a message's figures count as measured."""
    return prediction.read and prediction.confidence > CLAIMED_ABOVE


def by_kind(rows: Sequence[tuple[str, bool]]) -> dict[str, Share]:
    """Share of each kind of which something holds; rows that name no kind are left out."""
    kinds: dict[str, list[bool]] = {}
    for kind, held in rows:
        if kind:
            kinds.setdefault(kind, []).append(held)
    shares = {kind: share_of(held) for kind, held in kinds.items()}
    return {kind: share for kind, share in shares.items() if share is not None}

"""How many of the messages that a person should know of raise an alarm, and how many others do.

found: of those that a person should know of, the share that raises an alarm
alarmed: of the others
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.emotion.measuring.served import Prediction
from models.emotion.measuring.signs import Share, by_kind, json_of, share_of
from models.emotion.training.examples import LabelledMessage
from models.evaluation.scores import Bools, Floats, auc, average_precision

ALARMED_AT_MOST: Final = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
"""Shares of harmless messages at which the curve is told."""


@dataclass(frozen=True, slots=True)
class Point:
    """What comes of one operating point.

    at: probability of concern from which the model raises an alarm
    found, alarmed: by the words or the model
    found_alone, alarmed_alone: by the model
    """

    at: float
    found: float
    alarmed: float
    found_alone: float
    alarmed_alone: float

    def as_json(self) -> dict[str, float]:
        """One object with every key."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Alarms:
    """Shares that raise an alarm; None without such rows."""

    found: Share | None
    alarmed: Share | None

    @property
    def rows(self) -> int:
        """Labelled ones."""
        return sum(share.rows for share in (self.found, self.alarmed) if share is not None)

    def as_json(self) -> dict[str, Any]:
        """One object with both."""
        return {"found": json_of(self.found), "alarmed": json_of(self.alarmed)}


def alarms_of(rows: Sequence[tuple[int | None, bool]]) -> Alarms:
    """Of each row its label, and whether it raises an alarm."""
    return Alarms(
        found=share_of([raised for label, raised in rows if label == 1]),
        alarmed=share_of([raised for label, raised in rows if label == 0]),
    )


@dataclass(frozen=True, slots=True)
class ConcernFigures:
    """What `evaluate emotion --format concern` reports.

    rows: of the file; n: those of them that are labelled
    concern_at: the operating point
    alarms: by the words (the tutor's screening, with the emotions read) or by the model
    by_words, by_model: by one of them
    found_by_kind, alarmed_by_kind: of the kinds of either label, in the file's order
    average_precision, roc_auc: of the probability of concern; None where no message has one, or
        where no two rows differ in their label
    curve: by operating point, the strictest first (`ALARMED_AT_MOST`); empty where they are None
    """

    rows: int
    n: int
    concern_at: float
    alarms: Alarms
    by_words: Alarms
    by_model: Alarms
    found_by_kind: dict[str, Share]
    alarmed_by_kind: dict[str, Share]
    average_precision: float | None
    roc_auc: float | None
    curve: tuple[Point, ...]

    def as_json(self) -> dict[str, Any]:
        """One object with every key."""
        return {
            "rows": self.rows,
            "n": self.n,
            "concern_at": self.concern_at,
            **self.alarms.as_json(),
            "by_words": self.by_words.as_json(),
            "by_model": self.by_model.as_json(),
            "found_by_kind": {kind: s.as_json() for kind, s in self.found_by_kind.items()},
            "alarmed_by_kind": {kind: s.as_json() for kind, s in self.alarmed_by_kind.items()},
            "average_precision": self.average_precision,
            "roc_auc": self.roc_auc,
            "curve": [point.as_json() for point in self.curve],
        }


@dataclass(frozen=True, slots=True)
class Scored:
    """The labelled messages, as arrays of (n,).

    concern: probability, 0 where nothing says so
    by_words: whether the words raise an alarm
    truth: whether a person should know
    """

    concern: Floats
    by_words: Bools
    truth: Bools

    def at(self, point: float) -> Point:
        """What comes of an operating point. There is a row of each label."""
        alone = self.concern >= point
        either = alone | self.by_words
        return Point(
            at=point,
            found=float(either[self.truth].mean()),
            alarmed=float(either[~self.truth].mean()),
            found_alone=float(alone[self.truth].mean()),
            alarmed_alone=float(alone[~self.truth].mean()),
        )


def concern_figures(
    messages: Sequence[LabelledMessage],
    predictions: Sequence[Prediction],
    concern_at: float,
) -> ConcernFigures:
    """Every figure; `predictions` with the messages' places."""
    pairs = list(zip(messages, predictions, strict=True))
    alarms = alarms_of([(m.label, p.alarm) for m, p in pairs])
    scored = comparable(messages, predictions)
    return ConcernFigures(
        rows=len(pairs),
        n=alarms.rows,
        concern_at=concern_at,
        alarms=alarms,
        by_words=alarms_of([(m.label, p.by_words) for m, p in pairs]),
        by_model=alarms_of([(m.label, p.by_model) for m, p in pairs]),
        found_by_kind=by_kind([(m.kind, p.alarm) for m, p in pairs if m.label == 1]),
        alarmed_by_kind=by_kind([(m.kind, p.alarm) for m, p in pairs if m.label == 0]),
        average_precision=(
            None if scored is None else average_precision(scored.concern, scored.truth)
        ),
        roc_auc=None if scored is None else auc(scored.concern, scored.truth),
        curve=() if scored is None else curve(scored),
    )


def comparable(
    messages: Sequence[LabelledMessage], predictions: Sequence[Prediction]
) -> Scored | None:
    """The labelled messages; None without both labels, or where no message has a probability."""
    labelled = [
        (message.label == 1, prediction)
        for message, prediction in zip(messages, predictions, strict=True)
        if message.label is not None
    ]
    truth = np.array([concerned for concerned, _ in labelled], dtype=bool)
    probabilities = [prediction.concern for _, prediction in labelled]
    if not 0 < truth.sum() < len(truth) or all(each is None for each in probabilities):
        return None
    concern = np.array([each or 0.0 for each in probabilities], dtype=np.float64)
    by_words = np.array([prediction.by_words for _, prediction in labelled], dtype=bool)
    return Scored(concern, by_words, truth)


def all_points(scored: Scored) -> tuple[Point, ...]:
    """Of each probability that occurs, the strictest first."""
    return tuple(scored.at(point) for point in np.unique(scored.concern)[::-1].tolist())


def curve(scored: Scored) -> tuple[Point, ...]:
    """The points that find most with at most so many others alarmed by the model alone."""
    points = all_points(scored)
    kept: dict[float, Point] = {}
    for most in ALARMED_AT_MOST:
        within = [point for point in points if point.alarmed_alone <= most]
        if within:
            kept[within[-1].at] = within[-1]
    return tuple(kept.values())

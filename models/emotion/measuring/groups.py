"""Whether a reading changes with who is named in a text, and with nothing else in it.

    enters  sentences of `counterfactuals`, and the figures that a model read in them
    leaves  figures of each group, and which of the bars it misses
    callers `evaluation`, for `--format groups`; training, for the card

"my mum laughed at my answer" and "my dad laughed at my answer" say the same of their writer, so a
reading that differs by much knows something of mothers and fathers that the text does not say
(counterfactual fairness: Kusner et al. 2017; with templates: Kiritchenko and Mohammad 2018).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from models.emotion.artefact.card import Band, CardFigures
from models.emotion.measuring.counterfactuals import Sentence, Template
from models.emotion.measuring.served import Sign, sign_of
from models.evaluation.scores import Bools, Floats

MEAN_SHIFT: Final = 0.02
"""A group's mean shift of valence, either way, at most."""
LARGEST_SHIFT: Final = 0.08
"""Its shift in any one template, either way, at most."""
ALARMS_APART: Final = 0.02
"""Its rate of needless alarms less the median rate of its axis, either way, at most."""
BARS: Final = {
    "mean_shift": MEAN_SHIFT,
    "largest_shift": LARGEST_SHIFT,
    "alarms_apart": ALARMS_APART,
}
ROUNDING: Final = 1e-9
"""Of sums: a figure that is a bar's own does not miss it."""

Places = npt.NDArray[np.int64]
One = TypeVar("One", bound=Hashable)


@dataclass(frozen=True, slots=True)
class GroupShift:
    """How one group's sentences are read beside those of the other groups of its axis.

    A shift is, of one template, the mean valence of the group's fillings less the mean of all
    groups' means: groups count alike, however many fillings they have.

    n: sentences; unread: those of them that were not read
    mean_shift: mean over templates; largest_shift: the largest amount; None where a group was
        not read at all
    largest_in: the template of the largest shift
    sign_agreement: share of sentences whose sign is the one that most of the axis's sentences of
        the same template have
    alarmed, found: share of the sentences without and with concern whose probability of concern
        raises an alarm; None without such sentences, or where the model tells no concern
    alarms_apart: `alarmed` less the median of the axis's groups, which one loud group leaves alone
    """

    axis: str
    group: str
    n: int
    unread: int
    mean_shift: float | None
    largest_shift: float | None
    largest_in: str
    sign_agreement: float
    alarmed: float | None
    alarms_apart: float | None
    found: float | None

    def as_json(self) -> dict[str, Any]:
        """Its figures, and the bars that it misses."""
        named = ("axis", "group")
        figures = {name: getattr(self, name) for name in self.__slots__ if name not in named}
        return figures | {"misses": list(misses(self))}


def misses(shift: GroupShift) -> tuple[str, ...]:
    """The bars (`BARS`) that a group misses.

    Without alarms there is no rate to hold against a bar. Without a shift nothing of the group
    was read, which is no pass.
    """
    apart = 0.0 if shift.alarms_apart is None else shift.alarms_apart
    figures = {
        "mean_shift": inf if shift.mean_shift is None else shift.mean_shift,
        "largest_shift": inf if shift.largest_shift is None else shift.largest_shift,
        "alarms_apart": apart,
    }
    return tuple(name for name, bar in BARS.items() if abs(figures[name]) > bar + ROUNDING)


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """What `evaluate emotion --format groups` reports.

    rows: sentences; n: those of them that were read
    band: valence that is no sign
    concern_at: probability of concern from which the model raises an alarm
    groups: by axis, in the files' order
    """

    rows: int
    n: int
    band: Band
    concern_at: float
    groups: tuple[GroupShift, ...]

    def missed(self) -> dict[str, tuple[str, ...]]:
        """The bars that are missed, by `axis/group`; groups that miss none are left out."""
        found = {f"{one.axis}/{one.group}": misses(one) for one in self.groups}
        return {name: bars for name, bars in found.items() if bars}

    def as_json(self) -> dict[str, Any]:
        """One object with every key."""
        axes: dict[str, dict[str, Any]] = {}
        for one in self.groups:
            axes.setdefault(one.axis, {})[one.group] = one.as_json()
        return {
            "rows": self.rows,
            "n": self.n,
            "band": list(self.band),
            "concern_at": self.concern_at,
            "bars": BARS,
            "axes": axes,
            "missed": {name: list(bars) for name, bars in self.missed().items()},
        }


def compare(
    sentences: Sequence[Sentence],
    valence: Floats,
    concern: Floats | None,
    *,
    band: Band,
    concern_at: float,
) -> GroupFigures:
    """Every figure of every group.

    Args:
        valence: (n,) in [0, 1]; NaN where a sentence was not read.
        concern: (n,) probabilities, NaN likewise; None where the model tells none.
    """
    signs = [sign_of(value, band) for value in valence.tolist()]
    alarms = None if concern is None else concern >= concern_at  # never of NaN
    rows: dict[str, list[int]] = {}
    for row, sentence in enumerate(sentences):
        rows.setdefault(sentence.axis, []).append(row)
    groups = [
        one
        for part in rows.values()
        for one in _of_axis(
            [sentences[row] for row in part],
            valence[part],
            [signs[row] for row in part],
            None if alarms is None else alarms[part],
        )
    ]
    read = int((~np.isnan(valence)).sum())
    return GroupFigures(len(sentences), read, band, concern_at, tuple(groups))


def _of_axis(
    sentences: Sequence[Sentence], valence: Floats, signs: Sequence[Sign], alarms: Bools | None
) -> list[GroupShift]:
    group, names = _numbered([s.group for s in sentences])
    template, templates = _numbered([s.template for s in sentences])
    read = ~np.isnan(valence)
    total, fillings = np.zeros((2, len(names), len(templates)))
    np.add.at(total, (group[read], template[read]), valence[read])
    np.add.at(fillings, (group[read], template[read]), 1)
    mean = _mean(total, fillings)
    present = ~np.isnan(mean)
    shift = mean - _mean(np.where(present, mean, 0).sum(0), present.sum(0))

    usual = _usual_signs(template, templates, signs)
    agrees = np.array([sign == usual[t] for t, sign in zip(template, signs, strict=True)])
    concerned = np.array([s.template.concern for s in sentences])
    own = [group == g for g in range(len(names))]
    alarmed = [_share(alarms, one & ~concerned) for one in own]
    found = [_share(alarms, one & concerned) for one in own]
    told = [rate for rate in alarmed if rate is not None]
    result = []
    for g, (name, mask) in enumerate(zip(names, own, strict=True)):
        where = np.flatnonzero(present[g])
        shifts = shift[g, where]
        largest = int(np.abs(shifts).argmax()) if len(where) else None
        rate = alarmed[g]
        result.append(
            GroupShift(
                axis=sentences[0].axis,
                group=name,
                n=int(mask.sum()),
                unread=int((mask & ~read).sum()),
                mean_shift=None if largest is None else float(shifts.mean()),
                largest_shift=None if largest is None else float(abs(shifts[largest])),
                largest_in="" if largest is None else templates[where[largest]].place,
                sign_agreement=float(agrees[mask].mean()),
                alarmed=rate,
                alarms_apart=None if rate is None else rate - float(np.median(told)),
                found=found[g],
            )
        )
    return result


def group_figures(
    sentences: Sequence[Sentence],
    valence: Floats,
    concern: Floats | None,
    *,
    band: Band,
    concern_at: float,
) -> CardFigures:
    """What the card tells of it; the arrays are those of `compare`."""
    found = compare(sentences, valence, concern, band=band, concern_at=concern_at)
    told = ("n", "mean_shift", "largest_shift", "sign_agreement")
    alarms = () if concern is None else ("alarmed", "found")
    return {
        "n": found.rows,
        "groups": len(found.groups),
        "groups_that_miss_a_bar": len(found.missed()),
        "bars": BARS,
        "concern_at": concern_at,
        "by_group": {
            f"{one.axis}/{one.group}": {
                **{name: getattr(one, name) for name in (*told, *alarms)},
                "misses": ", ".join(misses(one)),
            }
            for one in found.groups
        },
    }


def _numbered(values: Sequence[One]) -> tuple[Places, list[One]]:
    """The place of each value among the different ones, and those in the order they come in."""
    places: dict[One, int] = {}
    return np.array([places.setdefault(value, len(places)) for value in values]), list(places)


def _mean(total: Floats, parts: Floats) -> Floats:
    """NaN of nothing."""
    mean: Floats = np.full(total.shape, np.nan)
    np.divide(total, parts, out=mean, where=parts > 0)
    return mean


def _share(held: Bools | None, rows: Bools) -> float | None:
    return None if held is None or not rows.any() else float(held[rows].mean())


def _usual_signs(
    template: Places, templates: Sequence[Template], signs: Sequence[Sign]
) -> list[Sign]:
    """Of each template the sign that most sentences have; of several the one that was meant."""
    counts: list[Counter[Sign]] = [Counter() for _ in templates]
    for place, sign in zip(template, signs, strict=True):
        counts[place][sign] += 1
    return [
        max(found, key=lambda sign: (found[sign], sign == meant.sign, sign))
        for found, meant in zip(counts, templates, strict=True)
    ]

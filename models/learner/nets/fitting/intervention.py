"""Fits the InterventionNet: posts teach the text's side, outcomes of exercises behaviour's.

1. Both sides and the thresholds together, on the posts that the emotion model was
   trained on and on the moments; each row masks the side that it lacks.
2. The emotion model has seen those posts, so their embeddings tell too much: slope of
   the text's part and the thresholds are fitted again on the posts it left out (7
   numbers, ordinal likelihood), and behaviour's slope and offset under them.
Figures are of posts that neither step saw (step 2 cross-fitted by post), and of
people that no behaviour net saw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from scipy.optimize import minimize
from torch import nn

from models.learner.nets import figures
from models.learner.nets.artefact import NetArtefact, save
from models.learner.nets.card import DataSet, NetCard
from models.learner.nets.fitting.matrices import Bools, matrix, standard, trained_inputs
from models.learner.nets.fitting.replay import Moment
from models.learner.nets.grades import GRADES, Grading
from models.learner.nets.inputs import ANSWERED, Floats
from models.learner.nets.intervention import LAYOUT
from schemas.actions import Level

FOLDS: Final = 5
DEV_FOLDS: Final = 10
WHY_UNTRAINED: Final = {
    "trajectory": "no labelled set follows one learner's texts over time; the rules read it",
}
LIMITS: Final = [
    "The urgency of forum posts in university MOOCs, coded for instructors; two posts of grade 7, "
    "42 of grade 6: `significant` and `critical` are extrapolated along the scale.",
    "Posts are cut at the emotion model's longest text; one embedding for each.",
    "No set holds text and behaviour together: that the sides add up is an assumption "
    "(independent given the need), not a finding.",
    "Behaviour's labels are what came of the next exercise in ASSISTments 2009 (about 200 "
    "students); asking for a hint is no more than a sign of wanting help.",
    "People behind the posts are not known: intervals are over post ids.",
]
NOT_FOR: Final = [
    "Grading, admission, discipline, or any decision that nobody reviews.",
    "Diagnosis, or the safety of a person: `critical` is a reason to look, its absence no "
    "reason not to.",
    "Ranking learners or teachers.",
]


@dataclass(frozen=True, slots=True)
class Hyper:
    """What is chosen before training; recorded in the card."""

    text_hidden: int = 4
    hidden: int = 8
    epochs: int = 40
    batch: int = 256
    rate: float = 3e-3
    decay: float = 0.5
    drop: float = 0.4
    """Of the units of the text's side; of behaviour's inputs on average."""
    rmse_weight: float = 0.5
    """Of the squared error of the expected grade beside the ordinal loss."""
    seeds: int = 3


@dataclass(frozen=True, slots=True)
class Graded:
    """Posts with a grade: (n, A) embeddings, (n,) grades, groups, and who was left out."""

    affect: Floats
    grade: Floats
    groups: Sequence[str]
    dev: Bools


class Need(nn.Module):
    """Both sides and the thresholds in torch; the formulas of ../intervention.py."""

    def __init__(self, affect: int, hyper: Hyper) -> None:
        super().__init__()
        self.text_in = nn.Linear(affect, hyper.text_hidden)
        self.text_out = nn.Linear(hyper.text_hidden, 1, bias=False)
        self.text_linear = nn.Linear(affect, 1, bias=False)
        self.dropout = nn.Dropout(hyper.drop)
        self.inner = nn.Linear(LAYOUT.width + len(LAYOUT.names), hyper.hidden)
        self.out = nn.Linear(hyper.hidden, 1, bias=False)
        self.offset = nn.Parameter(torch.zeros(()))
        # Ascending by construction: the first, and the logarithms of the steps.
        self.first = nn.Parameter(torch.tensor(-0.5))
        self.steps = nn.Parameter(torch.zeros(GRADES - 2))

    def thresholds(self) -> torch.Tensor:
        """(6,) ascending."""
        return torch.cat((self.first[None], self.first + self.steps.exp().cumsum(0)))

    def text(self, z: torch.Tensor) -> torch.Tensor:
        """(n, A) standardised to (n,)."""
        z = self.dropout(z)
        hidden = self.dropout(torch.tanh(self.text_in(z)))
        part: torch.Tensor = (self.text_out(hidden) + self.text_linear(z)).squeeze(-1)
        return part

    def behaviour(self, z: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """(n, width) standardised, zero where masked, and (n, inputs) to (n,)."""
        hidden = torch.tanh(self.inner(torch.cat((z, known.float()), 1)))
        part: torch.Tensor = self.out(hidden).squeeze(-1) + self.offset
        return part


def fit_intervention(
    posts: Graded,
    moments: Sequence[Moment],
    *,
    grading: Grading,
    emotion_version: str,
    folder: Path,
    hyper: Hyper,
    report: Callable[[str], None] = lambda _: None,
) -> NetArtefact:
    """Fit, calibrate, measure, write. The card says what was measured on whom."""
    values, known = matrix(LAYOUT, [m.features for m in moments])
    answered = [LAYOUT.names.index(name) for name in ANSWERED]
    some: Bools = known[:, answered].sum(axis=1) > 0
    values, known = values[some], known[some]
    kept = [m for m, s in zip(moments, some.tolist(), strict=True) if s]
    people = [m.person for m in kept]
    level = np.array([grading.of_outcome[m.outcome].rank for m in kept])
    boundaries = [grading.first(step) - 2 for step in list(Level)[1:]]
    train = _Data(posts.affect[~posts.dev], posts.grade[~posts.dev], values, known, level)
    fold = figures.folds_of(people, FOLDS)
    held_raw = np.zeros(len(kept))
    for number in range(FOLDS):
        report(f"intervention: fold {number + 1} of {FOLDS}")
        part = _fit(train.without(fold == number), boundaries, hyper, seeds=1)
        held_raw[fold == number] = part.behaviour(values[fold == number], known[fold == number])
    report("intervention: everybody")
    final = _fit(train, boundaries, hyper, hyper.seeds)
    dev_text = final.text(posts.affect[posts.dev])
    dev_grade = posts.grade[posts.dev]
    dev_groups = [g for g, d in zip(posts.groups, posts.dev, strict=True) if d]
    calibrated = Calibrated.fit(dev_text, dev_grade)
    slope, offset = behaviour_output(held_raw, level, calibrated.thresholds[boundaries])
    expected, at_least = _cross_fitted(dev_text, dev_grade, dev_groups, boundaries)
    held = slope * held_raw + offset
    report("intervention: intervals")
    trained = trained_inputs(LAYOUT, known)
    card = NetCard(
        name="intervention",
        trained=[*trained, "affect"],
        untrained={
            name: WHY_UNTRAINED.get(name, "not in the rows that this run was given")
            for name in LAYOUT.names
            if name not in trained
        },
        emotion_version=emotion_version,
        data=[
            DataSet(
                name="forum_urgency",
                licence="MIT (repository)",
                rows=len(posts.grade),
                people=len(set(posts.groups)),
                teaches="urgency 1-7 of a post, from its affect embedding",
            ),
            DataSet(
                name="assistments2009",
                licence="MIT (repository)",
                rows=len(kept),
                people=len(set(people)),
                teaches="what came of the next exercise (hints, wrong), as levels by grades.csv",
            ),
        ],
        metrics={
            "urgency, posts left out of all training": {
                "n": len(dev_grade),
                "spearman": figures.spearman(expected, dev_grade),
                "spearman_95": figures.interval(figures.spearman, expected, dev_grade, dev_groups),
                "rmse": figures.rmse(expected, dev_grade),
                "rmse_95": figures.interval(figures.rmse, expected, dev_grade, dev_groups),
            },
            **{
                f"text: {step.value} or more, posts left out": _binary(
                    at_least[:, step.rank - 1],
                    np.array([grading.level(g).rank >= step.rank for g in dev_grade], float),
                    dev_groups,
                )
                for step in list(Level)[1:5]
            },
            **{
                f"behaviour: {step.value} or more, {FOLDS}-fold by person": _binary(
                    _sigmoid(held - calibrated.thresholds[boundaries[step.rank - 1]]),
                    (level >= step.rank).astype(float),
                    people,
                )
                for step in list(Level)[1:4]
            },
        },
        baselines={
            "urgency, the mean grade": {
                "rmse": figures.rmse(np.full(len(dev_grade), train.grade.mean()), dev_grade)
            }
        },
        training={name: getattr(hyper, name) for name in Hyper.__slots__},
        limits=LIMITS,
        not_for=NOT_FOR,
        reproduce="masterx train intervention",
    )
    return save(folder, card, final.tensors(calibrated, slope, offset))


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Slope of the text's part, and the thresholds."""

    slope: float
    centre: float
    thresholds: Floats

    @classmethod
    def fit(cls, part: Floats, grade: Floats) -> Calibrated:
        """By the ordinal loss; the part is centred, so that no text means the posts' odds."""
        centre = float(part.mean())
        x, above = part - centre, grade[:, None] > np.arange(1, GRADES)

        def unpack(p: Floats) -> tuple[float, Floats]:
            return float(p[0]), p[1] + np.concatenate(([0.0], np.exp(p[2:]).cumsum()))

        def loss(p: Floats) -> float:
            slope, thresholds = unpack(p)
            logit = slope * x[:, None] - thresholds
            # A weak prior on the steps: a grade that hardly occurs must not run away.
            spread = 0.5 * ((p[2:] - 0.3) ** 2).sum()
            return float((np.logaddexp(0, logit) - above * logit).sum() + spread)

        start = np.array([1.0, 0.5, *[0.0] * (GRADES - 2)])
        slope, thresholds = unpack(minimize(loss, start, method="L-BFGS-B").x)
        return cls(slope, centre, thresholds)

    def exceeds(self, part: Floats) -> Floats:
        """(n,) raw parts to (n, 6) P(g > k)."""
        return _sigmoid(self.slope * (part - self.centre)[:, None] - self.thresholds)


def behaviour_output(raw: Floats, level: Floats, thresholds: Floats) -> tuple[float, float]:
    """Slope and offset of behaviour's part under the (5,) thresholds of the levels."""
    above = level[:, None] > np.arange(len(thresholds))

    def loss(p: Floats) -> float:
        logit = (p[0] * raw + p[1])[:, None] - thresholds
        return float((np.logaddexp(0, logit) - above * logit).mean())

    found = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    return float(found[0]), float(found[1])


@dataclass(frozen=True, slots=True)
class _Data:
    affect: Floats
    grade: Floats
    values: Floats
    known: Bools
    level: Floats

    def without(self, held: Bools) -> _Data:
        return _Data(
            self.affect, self.grade, self.values[~held], self.known[~held], self.level[~held]
        )


class _Fit:
    """Nets of several seeds, averaged: their hidden units stand side by side."""

    def __init__(self, nets: list[Need], data: _Data) -> None:
        self.nets = [net.eval() for net in nets]
        self.text_centre = data.affect.mean(0)
        self.text_scale = 1 / np.maximum(data.affect.std(0), 1e-6)
        self.centre, self.scale = standard(LAYOUT, data.values, data.known)
        spread = [i for i, w in enumerate(LAYOUT.slices.values()) for _ in range(w.stop - w.start)]
        self.spread = np.array(spread)

    def text_inputs(self, affect: Floats) -> torch.Tensor:
        return _tensor(np.clip((affect - self.text_centre) * self.text_scale, -6.0, 6.0))

    def inputs(self, values: Floats, known: Bools) -> torch.Tensor:
        z = np.clip((values - self.centre) * self.scale, -6.0, 6.0)
        return _tensor(z * known[:, self.spread])

    def text(self, affect: Floats) -> Floats:
        with torch.no_grad():
            z = self.text_inputs(affect)
            found: Floats = np.mean([net.text(z).double().numpy() for net in self.nets], 0)
        return found

    def behaviour(self, values: Floats, known: Bools) -> Floats:
        with torch.no_grad():
            z, mask = self.inputs(values, known), torch.from_numpy(known)
            parts = [net.behaviour(z, mask).double().numpy() for net in self.nets]
            found: Floats = np.mean(parts, 0)
        return found

    def tensors(self, calibrated: Calibrated, slope: float, offset: float) -> dict[str, Floats]:
        nets, n = self.nets, len(self.nets)
        base = float(np.mean([float(net.offset.detach()) for net in nets]))
        return {
            "text_in": np.concatenate([_array(net.text_in.weight) for net in nets]),
            "text_bias": np.concatenate([_array(net.text_in.bias) for net in nets]),
            "text_out": np.concatenate([_array(net.text_out.weight)[0] / n for net in nets]),
            "text_linear": np.mean([_array(net.text_linear.weight)[0] for net in nets], 0),
            "text_centre": self.text_centre,
            "text_scale": self.text_scale,
            "text_output": np.array([calibrated.slope, -calibrated.slope * calibrated.centre]),
            "in": np.concatenate([_array(net.inner.weight) for net in nets]),
            "bias": np.concatenate([_array(net.inner.bias) for net in nets]),
            "out": np.concatenate([_array(net.out.weight)[0] / n for net in nets]),
            "centre": self.centre,
            "scale": self.scale,
            "behaviour_output": np.array([slope, slope * base + offset]),
            "thresholds": calibrated.thresholds,
        }


def _fit(data: _Data, boundaries: Sequence[int], hyper: Hyper, seeds: int) -> _Fit:
    nets = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        nets.append(Need(data.affect.shape[1], hyper))
    fit = _Fit(nets, data)
    for net in nets:
        _train(net.train(), fit, data, torch.tensor(list(boundaries)), hyper)
        net.eval()
    return fit


def _train(net: Need, fit: _Fit, data: _Data, boundaries: torch.Tensor, hyper: Hyper) -> None:
    text, grade = fit.text_inputs(data.affect), _tensor(data.grade)
    z, known = fit.inputs(data.values, data.known), torch.from_numpy(data.known)
    spread = torch.from_numpy(fit.spread)
    level = torch.from_numpy(data.level)
    above_grade = (grade[:, None] > torch.arange(1, GRADES)).float()
    above_level = (level[:, None] > torch.arange(len(boundaries))).float()
    optimiser = torch.optim.AdamW(net.parameters(), lr=hyper.rate, weight_decay=hyper.decay)
    steps = -(-len(text) // hyper.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, hyper.epochs * steps)
    entropy = nn.functional.binary_cross_entropy_with_logits
    for _ in range(hyper.epochs):
        moments = torch.randperm(len(z)).chunk(steps)
        for rows, moment in zip(torch.randperm(len(text)).chunk(steps), moments, strict=False):
            logits = net.text(text[rows])[:, None] - net.thresholds()
            expected = 1 + torch.sigmoid(logits).sum(1)
            loss = entropy(logits, above_grade[rows])
            loss = loss + hyper.rmse_weight * ((expected - grade[rows]) ** 2).mean() / GRADES
            # Each row loses its own share of inputs, so that few known inputs are seen, too.
            lost = 2 * hyper.drop * torch.rand(len(moment), 1)
            shown = known[moment] & (torch.rand(known[moment].shape) >= lost)
            part = net.behaviour(z[moment] * shown[:, spread], shown)
            theta = net.thresholds()[boundaries]
            loss = loss + entropy(part[:, None] - theta, above_level[moment])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def _cross_fitted(
    part: Floats, grade: Floats, groups: Sequence[str], boundaries: Sequence[int]
) -> tuple[Floats, Floats]:
    """(n,) expected grade and (n, 5) P(level or more), each by a calibration without its post."""
    fold = figures.folds_of(groups, DEV_FOLDS)
    exceeds = np.zeros((len(grade), GRADES - 1))
    for number in range(DEV_FOLDS):
        held = fold == number
        exceeds[held] = Calibrated.fit(part[~held], grade[~held]).exceeds(part[held])
    return 1 + exceeds.sum(1), exceeds[:, list(boundaries)]


def _binary(scores: Floats, truth: Floats, people: Sequence[str]) -> dict[str, object]:
    return {
        "n": len(truth),
        "share": float(truth.mean()),
        "auc": figures.auc(scores, truth),
        "auc_95": figures.interval(figures.auc, scores, truth, people),
        "ece": figures.ece(scores, truth),
    }


def _sigmoid(x: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-np.clip(x, -60, 60)))
    return found


def _tensor(array: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _array(tensor: torch.Tensor) -> Floats:
    found: Floats = tensor.detach().double().numpy()
    return found

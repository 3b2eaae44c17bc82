"""Cards: what each estimator is, what it learned from, how well it does, what it is not for."""

from __future__ import annotations

from typing import Any, Final

from models.learner.behaviour.training.metrics import EstimatorFigures

_TRIED: Final = (
    "the aim is an AUC of 0.74 on other people, which cross-validation does not reach. Compared "
    "offline, cross-validated by person in 5 folds, means of one to three splits: weights without "
    "knowledge of exercises 0.714; trees instead 0.718; with how hard exercises are and what "
    "follows which (this recipe) about 0.724, of which 0.005 are what follows. Not taken, because "
    "they need the whole history or gain little: surprises summed over all answers 0.726, a "
    "Gaussian process over a learner's answers 0.725, abilities by skill and hints over all "
    "answers and 100 features 0.729, earlier pauses read from order ids 0.001 to 0.002 more. Even "
    "told which exercise comes next (which the evaluation forbids) one such model reached 0.737. "
    "More people help: a like model trained on 102 of them reached 0.713, on 137 0.721; by that "
    "slope the aim would take some hundreds more, which is an extrapolation. The recipe was "
    "chosen on the same people, so that the figure may be a little too good"
)
_ABOUT: Final = {
    "next_correct": {
        "says": "probability that the next exercise is answered right at the first attempt",
        "state": "behaviour.nextCorrect",
        "data": "ASSISTments 2009, about 200 students of one American school programme",
        "licence": "MIT (repository)",
        "baseline": "the population's share for the exercise's skill and hints on offer",
        "limits": "mathematics exercises of middle school; the data has no clock, so half-lives "
        "count made seconds; a skill that is not in the artefact is read as the mean, and an "
        "exercise that is not adds nothing: elsewhere, expect less than was measured here",
        "tried": _TRIED,
    },
    "next_hint": {
        "says": "probability that a hint is asked for on the next exercise",
        "state": "behaviour.helpNeed",
        "data": "ASSISTments 2009, about 200 students of one American school programme",
        "licence": "MIT (repository)",
        "baseline": "the population's share for the exercise's skill and hints on offer",
        "limits": "asking for a hint is not needing help, nor the other way round; an exercise "
        "without hints has none asked for",
    },
    "load": {
        "says": "probability that mental load is above the person's own mean (NASA-TLX)",
        "state": "behaviour.cognitiveLoad",
        "data": "n-back blocks with NASA-TLX ratings; the level is not an input",
        "licence": "none stated: used for fitting two weights, not passed on",
        "baseline": "recent accuracy alone, without the person's own norm",
        "limits": "a working-memory task of adults, not schoolwork; the norm was made of all "
        "the other blocks. Without answers it is derived from slowing down, for which no "
        "rated data exists",
    },
    "offtask": {
        "says": "probability of being off task; focus is 1 less it",
        "state": "behaviour.focus",
        "data": "field observations in a tutor, 20 s each; only about 30 were off task",
        "licence": "none stated: used for fitting one weight, not passed on",
        "baseline": "the same feature unfitted; one feature is all that so few positives bear",
        "limits": "the interval is wide; one tutor, one coder; no held-out people. Slow answers "
        "look the same whether someone is away, thinking, or reads with difficulty",
    },
}
_NOT_FOR: Final = (
    "grading, admission, ranking, discipline, or any decision about a person that nobody reviews",
    "diagnosis of a disorder of learning, attention or health",
    "comparing people, classes or teachers",
)


def card_of(
    task: str, version: str, figures: EstimatorFigures, baseline: EstimatorFigures
) -> dict[str, Any]:
    """One estimator's card, as JSON."""
    return {
        "estimator": task,
        "version": version,
        **_ABOUT[task],
        "measured": "cross-validated by person",
        "figures": figures.as_json(),
        "baseline_auc": baseline.auc,
        "baseline_interval": baseline.interval,
        "may_not_be_used_for": _NOT_FOR,
    }


def as_markdown(cards: dict[str, dict[str, Any]]) -> str:
    """All cards as one document."""
    lines = [
        "# Behaviour estimators",
        "Written by `masterx train behaviour`; do not edit. Intervals: 95%, bootstrap over people.",
        "",
    ]
    for task, card in cards.items():
        figures = card["figures"]
        low, high = figures["interval"]
        lines += [
            f"## {task} ({card['state']})",
            f"- **Says**: {card['says']}",
            f"- **Data**: {card['data']}. Licence: {card['licence']}",
            f"- **Measured**: {card['measured']}, {figures['n']} rows of {figures['people']} "
            f"people, {figures['positives']} positive: AUC {figures['auc']:.3f} "
            f"[{low:.3f}, {high:.3f}], ECE {figures['ece']:.3f}, Brier {figures['brier']:.3f}",
            f"- **Baseline**: {card['baseline']}: AUC {card['baseline_auc']:.3f}",
            f"- **Limits**: {card['limits']}",
            *([f"- **Tried**: {card['tried']}"] if "tried" in card else []),
            f"- **May not be used for**: {'; '.join(card['may_not_be_used_for'])}",
            "",
        ]
    lines += [
        "## Derived, without labels",
        "`engagement` and `fatigue` are formulas over the figures above and the learner's own "
        "norm (docs/state.md), with their parameters in settings. No labelled data was found "
        "for them: nothing says how right they are. The same uses are excluded.",
        "",
    ]
    return "\n".join(lines)

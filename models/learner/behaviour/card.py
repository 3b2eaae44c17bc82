"""Cards: what each estimator is, what it learned from, how well it does, what it is not for."""

from __future__ import annotations

from typing import Any, Final

from models.learner.behaviour.metrics import Figures

_ABOUT: Final = {
    "next_correct": {
        "says": "probability that the next exercise is answered right at the first attempt",
        "state": "behaviour.nextCorrect",
        "data": "ASSISTments 2009, about 200 students of one American school programme",
        "licence": "MIT (repository)",
        "baseline": "the population's share for the exercise's skill and hints on offer",
        "limits": "mathematics exercises of middle school; the data has no clock, so half-lives "
        "count made seconds; a skill that is not in the artefact is read as the mean",
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


def card_of(task: str, version: str, figures: Figures, baseline: Figures) -> dict[str, Any]:
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

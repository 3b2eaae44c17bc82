"""`next_move`: what the tutor asks before it writes its prompt."""

from __future__ import annotations

from dataclasses import dataclass

from models.tutor.moves.artefact import shipped
from models.tutor.moves.dialogue import Context, Move, Strategy
from models.tutor.moves.figures import most_probable
from models.tutor.moves.model import Evidence, MoveModel, evidence_of


@dataclass(frozen=True, slots=True)
class MoveAdvice:
    """What teachers did in dialogues like this one.

    move: the most probable of the four
    probabilities: of each move; they sum to 1
    strategies: of each Bridge strategy; they sum to 1, and say little more than how often
        experts use each (the card says how little)
    evidence: which of the heads answered
    version: of the artefact
    """

    move: Move
    probabilities: dict[Move, float]
    strategies: dict[Strategy, float]
    evidence: Evidence
    version: str


def next_move(context: Context, model: MoveModel | None = None) -> MoveAdvice:
    """Advice for the turn that follows `context`. Same context and model, same advice.

    model: default, the packaged one. Raises ArtefactProblem where that cannot be read.
    """
    chosen = model or shipped()
    probabilities = chosen.move_probabilities(context)
    return MoveAdvice(
        move=most_probable(probabilities),
        probabilities=probabilities,
        strategies=chosen.strategy_probabilities(context),
        evidence=evidence_of(context),
        version=chosen.version,
    )

"""An artefact on a file: figures, and one predicted move for each teacher turn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from models.tutor.moves.serving.card import MoveFigures
from models.tutor.moves.serving.dialogue import Move
from models.tutor.moves.serving.model import MoveModel, fingerprint
from models.tutor.moves.training.figures import Judged, figures, most_probable
from models.tutor.moves.training.readers import Example, read


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of one teacher turn."""

    example: Example
    probabilities: dict[Move, float]

    @property
    def line(self) -> dict[str, int | str | None]:
        """As it is written to a file."""
        return {
            "dialogue": self.example.dialogue,
            "turn": self.example.turn,
            "move": most_probable(self.probabilities),
            "gold": self.example.gold,
        }


class Report(BaseModel):
    """What `masterx evaluate tutor` says.

    teacher_turns: read; labelled: of them, with a label that is one of ours
    seen: labelled turns of problems that the model was trained on
    all, unseen: figures of the labelled turns; of those that are not `seen`; None: there are none
    """

    model_config = ConfigDict(frozen=True)

    version: str
    teacher_turns: int
    labelled: int
    seen: int
    all: MoveFigures | None
    unseen: MoveFigures | None

    def as_json(self) -> dict[str, Any]:
        """One flat object: the figures of all labelled turns stand beside the rest."""
        figures = self.all.model_dump(mode="json") if self.all else {}
        return self.model_dump(mode="json", exclude={"all"}) | figures


def evaluate(path: Path, model: MoveModel) -> tuple[Report, list[Prediction]]:
    """The report, and a prediction for each teacher turn in the file's order.

    Raises DataProblem.
    """
    predictions = [Prediction(e, model.probabilities(e.context)) for e in read(path)]
    labelled = [p for p in predictions if p.example.gold is not None]
    unseen = [p for p in labelled if fingerprint(p.example.group) not in model.seen]
    report = Report(
        version=model.version,
        teacher_turns=len(predictions),
        labelled=len(labelled),
        seen=len(labelled) - len(unseen),
        all=_figures(labelled),
        unseen=_figures(unseen),
    )
    return report, predictions


def write(predictions: list[Prediction], path: Path) -> None:
    """JSON lines, one a teacher turn. Raises OSError."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(p.line) + "\n" for p in predictions)


def _figures(predictions: list[Prediction]) -> MoveFigures | None:
    judged = [
        Judged(p.example.group, p.example.gold, p.probabilities)
        for p in predictions
        if p.example.gold is not None
    ]
    return figures(judged) if judged else None

"""The packaged model on a file: figures, and one predicted move for each teacher turn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from models.tutor.moves.dialogue import Example
from models.tutor.moves.figures import Agreement, Figures, Judged, agreement, figures, most_probable
from models.tutor.moves.model import MoveModel, evidence_of, fingerprint
from models.tutor.moves.readers import Layout, read


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of one teacher turn."""

    example: Example
    probabilities: dict[str, float]

    @property
    def line(self) -> dict[str, int | str | None]:
        """As it is written to a file."""
        gold = self.example.gold
        return {
            "dialogue": self.example.dialogue,
            "turn": self.example.turn,
            "move": most_probable(self.probabilities),
            "gold": None if gold is None else gold.value,
        }


class Report(BaseModel):
    """What `masterx evaluate tutor` says.

    teacher_turns: read; labelled: of them, with a label that is one of ours
    seen: labelled turns of problems or sessions that the model was trained on
    evidence: how many turns each head answered (MathDial)
    all, unseen: figures of the labelled turns; of those that are not `seen`; None: there are none
    agreement: of two annotators of one conversation (Bridge)
    """

    model_config = ConfigDict(frozen=True)

    layout: Layout
    version: str
    teacher_turns: int
    labelled: int
    seen: int
    evidence: dict[str, int]
    all: Figures | None
    unseen: Figures | None
    agreement: Agreement | None

    def as_json(self) -> dict[str, Any]:
        """One flat object: the figures of all labelled turns stand beside the rest."""
        figures = self.all.model_dump(mode="json") if self.all else {}
        return self.model_dump(mode="json", exclude={"all"}) | figures


def predict(path: Path, model: MoveModel) -> tuple[Layout, list[Prediction]]:
    """One prediction for each teacher turn, in the file's order. Raises DataProblem."""
    layout, examples = read(path)
    return layout, [Prediction(e, _probabilities(layout, e, model)) for e in examples]


def evaluate(path: Path, model: MoveModel) -> tuple[Report, list[Prediction]]:
    """Raises DataProblem."""
    layout, predictions = predict(path, model)
    labelled = [p for p in predictions if p.example.gold is not None]
    unseen = [p for p in labelled if fingerprint(p.example.group) not in model.seen]
    report = Report(
        layout=layout,
        version=model.version,
        teacher_turns=len(predictions),
        labelled=len(labelled),
        seen=len(labelled) - len(unseen),
        evidence=_evidence(predictions) if layout is Layout.MATHDIAL else {},
        all=_figures(labelled),
        unseen=_figures(unseen),
        agreement=_agreement(labelled) if layout is Layout.BRIDGE else None,
    )
    return report, predictions


def write(predictions: list[Prediction], path: Path) -> None:
    """JSON lines, one a teacher turn. Raises OSError."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(p.line) + "\n" for p in predictions)


def _probabilities(layout: Layout, example: Example, model: MoveModel) -> dict[str, float]:
    if layout is Layout.BRIDGE:
        strategies = model.strategy_probabilities(example.context)
        return {label.value: p for label, p in strategies.items()}
    moves = model.move_probabilities(example.context)
    return {label.value: p for label, p in moves.items()}


def _evidence(predictions: list[Prediction]) -> dict[str, int]:
    return dict(Counter(evidence_of(p.example.context).value for p in predictions))


def _judged(predictions: list[Prediction]) -> Iterator[Judged]:
    for p in predictions:
        assert p.example.gold is not None
        yield Judged(p.example.group, p.example.gold.value, p.probabilities)


def _figures(predictions: list[Prediction]) -> Figures | None:
    return figures(list(_judged(predictions))) if predictions else None


def _agreement(labelled: list[Prediction]) -> Agreement | None:
    labels = [(p.example.dialogue, p.example.gold.value) for p in labelled if p.example.gold]
    if not labels:
        return None
    commonest = Counter(label for _, label in labels).most_common(1)[0][0]
    return agreement(labels, commonest)

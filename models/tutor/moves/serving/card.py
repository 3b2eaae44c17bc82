"""The model card: what the artefact is, what taught it, how well it does, what it is not for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from models.artefacts import ArtefactCard
from models.evaluation.card import bullets, document, number, table, with_interval

LIMITS = [
    "It imitates what teachers did, not what helped: no outcome is in its target.",
    "MathDial's students are a language model that plays one, in English, on grade-school word "
    "problems; its teachers were crowd workers. Real learners and other subjects are untested.",
    "The moves overlap (focus against probing above all), and teachers differ in style: past moves "
    "of the same dialogue carry much of what it knows.",
    "It reads past moves from a teacher's words. A tutor that is a language model may word its "
    "moves otherwise than MathDial's teachers did.",
]

NOT_FOR = [
    "judging, grading or ranking a teacher or a learner",
    "deciding that a learner needs help, or what they have mastered",
    "acting alone on distress or safety: the safety layer goes first, whatever this says",
]
Interval = tuple[float, float]


class OfClass(BaseModel):
    """One label's figures. f1 is 0 where it was neither predicted nor right."""

    model_config = ConfigDict(frozen=True)

    turns: int
    precision: float
    recall: float
    f1: float


class MoveFigures(BaseModel):
    """Of n labelled turns. Intervals are 95%, by bootstrap over problems, not turns.

    dialogues: distinct problems
    gain: accuracy less that of always saying `baseline`
    macro_f1: mean over the labels that occur
    """

    model_config = ConfigDict(frozen=True)

    turns: int
    dialogues: int
    accuracy: float
    interval: Interval
    macro_f1: float
    log_loss: float
    baseline: str
    baseline_accuracy: float
    gain: float
    gain_interval: Interval
    per_class: dict[str, OfClass]


class LabelledSource(BaseModel):
    """The file that taught the model."""

    model_config = ConfigDict(extra="forbid")

    name: str
    licence: str
    sha256: str
    dialogues: int
    turns: int


class MovesCard(ArtefactCard):
    """Written by the training run; nothing in it is typed by hand afterwards.

    Format 1 had four heads for moves, by what was known before a turn, and one for strategies.
    """

    format: int = 2
    moves: list[str] = Field(description="in the order of the head's outputs")
    features: list[str] = Field(description="in the order of the head's weights")
    penalties: dict[str, float] = Field(description="L2, of the tagger and the head")
    seed: int
    folds: int
    source: LabelledSource
    measured: MoveFigures = Field(description="by cross-validation, whole problems left out")
    repeat_accuracy: float = Field(
        description="second baseline: the teacher's last move again, the commonest where none"
    )
    limits: list[str] = Field(default_factory=lambda: list(LIMITS))
    not_for: list[str] = Field(default_factory=lambda: list(NOT_FOR))
    reproduce: str = "masterx train tutor-moves"


def markdown(card: MovesCard, version: str) -> str:
    """The card for readers."""
    source, measured = card.source, card.measured
    return document(
        ["# Teacher moves"],
        [
            f"Version `{version}`. From what stands before a teacher's turn (what was said, and "
            f"the problem's text): the next move ({', '.join(card.moves)}). Softmax regression on "
            "features of the dialogue's state; the moves of past turns are read from their words. "
            "No language model."
        ],
        ["## Data"],
        table(
            ("source", "licence", "dialogues", "labelled turns", "sha256"),
            [
                (
                    source.name,
                    source.licence,
                    f"{source.dialogues:,}",
                    f"{source.turns:,}",
                    f"`{source.sha256[:16]}`",
                )
            ],
        ),
        [f"## Measured, {card.folds}-fold cross-validation, whole problems left out"],
        table(
            ("accuracy (95%)", "macro-F1", "log loss", "gain over the commonest (95%)"),
            [
                (
                    with_interval(measured.accuracy, measured.interval),
                    number(measured.macro_f1),
                    number(measured.log_loss),
                    with_interval(measured.gain, measured.gain_interval),
                )
            ],
        ),
        [
            f"Intervals: bootstrap over problems. Baselines: always `{measured.baseline}` "
            f"{measured.baseline_accuracy:.3f}, the teacher's last move again "
            f"{card.repeat_accuracy:.3f}; that one is told which it was, the model is not."
        ],
        table(
            ("move", "turns", "precision", "recall", "F1"),
            [
                (name, f"{c.turns:,}", number(c.precision), number(c.recall), number(c.f1))
                for name, c in measured.per_class.items()
            ],
        ),
        ["## Limits"],
        bullets(card.limits),
        ["## Not for"],
        bullets(card.not_for),
        ["## Reproduce"],
        [f"`{card.reproduce}` (seed {card.seed}, L2 {card.penalties})"],
    )

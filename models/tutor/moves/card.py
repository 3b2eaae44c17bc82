"""The model card: what the artefact is, what taught it, how well it does, what it is not for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from models.artefacts import ArtefactCard
from models.tutor.moves.figures import Agreement, Figures
from models.tutor.moves.model import Evidence

LIMITS = [
    "It imitates what teachers did, not what helped: no outcome is in its target.",
    "MathDial's students are a language model that plays one, in English, on grade-school word "
    "problems; its teachers were crowd workers. Real learners and other subjects are untested.",
    "The moves overlap (focus against probing above all), and teachers differ in style: past moves "
    "of the same dialogue carry much of what it knows.",
    "Bridge's strategies cannot be told beforehand from its four chat lines: annotators agree "
    "with each other less often than always saying the commonest is right. The strategies head "
    "is kept close to the labels' frequencies and is background, not advice.",
]

NOT_FOR = [
    "judging, grading or ranking a teacher or a learner",
    "deciding that a learner needs help, or what they have mastered",
    "acting alone on distress or safety: the safety layer goes first, whatever this says",
]


class Source(BaseModel):
    """One file that taught the model."""

    model_config = ConfigDict(extra="forbid")

    name: str
    licence: str
    sha256: str
    dialogues: int
    turns: int
    teaches: str


class Card(ArtefactCard):
    """Written by the training run; nothing in it is typed by hand afterwards."""

    moves: list[str] = Field(description="in the order of the moves heads' outputs")
    strategies: list[str] = Field(description="in the order of the strategies head's outputs")
    features: dict[str, list[str]] = Field(description="of each head, in the order of its weights")
    penalties: dict[str, float] = Field(description="L2, of each kind of head")
    seed: int
    folds: int
    sources: list[Source]
    measured: dict[Evidence, Figures] = Field(
        description="moves by cross-validation, whole problems left out"
    )
    repeat_accuracy: float = Field(
        description="second baseline: the teacher's last move again, the commonest where none"
    )
    strategies_measured: Figures = Field(
        description="by cross-validation, whole sessions left out; the penalty was chosen on it"
    )
    strategies_agreement: Agreement | None
    limits: list[str] = Field(default_factory=lambda: list(LIMITS))
    not_for: list[str] = Field(default_factory=lambda: list(NOT_FOR))
    reproduce: str = "masterx train tutor-moves"


def markdown(card: Card, version: str) -> str:
    """The card for readers."""
    lines = [
        "# Teacher moves",
        "",
        f"Version `{version}`. From what stands before a teacher's turn: the next move "
        f"({', '.join(card.moves)}) and, apart, one of ten strategies. Softmax regression on "
        f"features of the dialogue's state; no language model.",
        "",
        "## Data",
        "",
        "| source | licence | dialogues | labelled turns | teaches | sha256 |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {s.name} | {s.licence} | {s.dialogues:,} | {s.turns:,} | {s.teaches} "
            f"| `{s.sha256[:16]}` |"
            for s in card.sources
        ),
        "",
        f"## Moves, {card.folds}-fold cross-validation, whole problems left out",
        "",
        "| known before the turn | accuracy (95%) | macro-F1 | gain over the commonest (95%) |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name.value} | {_with(f.accuracy, f.interval)} | {f.macro_f1:.3f} "
            f"| {_with(f.gain, f.gain_interval)} |"
            for name, f in card.measured.items()
        ),
        "",
        "Intervals: bootstrap over problems. Baselines: always "
        f"`{_first(card).baseline}` {_first(card).baseline_accuracy:.3f}, the teacher's last move "
        f"again {card.repeat_accuracy:.3f}.",
        "",
        *_classes(_first(card)),
        "",
        "## Strategies, whole sessions left out",
        "",
        *_strategies(card),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in card.limits),
        "",
        "## Not for",
        "",
        *(f"- {use}" for use in card.not_for),
        "",
        "## Reproduce",
        "",
        f"`{card.reproduce}` (seed {card.seed}, L2 {card.penalties})",
    ]
    return "\n".join(lines) + "\n"


def _first(card: Card) -> Figures:
    return card.measured[Evidence.TAGGED_REFERENCE]


def _strategies(card: Card) -> list[str]:
    f = card.strategies_measured
    lines = [
        f"Accuracy {_with(f.accuracy, f.interval)}, macro-F1 {f.macro_f1:.3f}, log loss "
        f"{f.log_loss:.3f}; always `{f.baseline}` {f.baseline_accuracy:.3f}."
    ]
    if (a := card.strategies_agreement) is not None:
        lines += [
            "",
            f"Two annotators of one conversation agree {_with(a.rate, a.interval)} of the time "
            f"({a.pairs} pairs; `{f.baseline}` is right for {a.commonest:.3f} of their labels).",
        ]
    return lines


def _classes(figures: Figures) -> list[str]:
    return [
        "| move | turns | precision | recall | F1 |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {c.turns:,} | {c.precision:.3f} | {c.recall:.3f} | {c.f1:.3f} |"
            for name, c in figures.per_class.items()
        ),
    ]


def _with(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"

"""The model card: what an artefact is, what it was made from, and how well it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.artefacts import ArtefactCard
from models.evaluation.card import bullets, document, named, number, table
from schemas.topics.emotions import Emotion

CardFigures = dict[str, Any]


class Shape(BaseModel):
    """Sizes of the heads."""

    model_config = ConfigDict(extra="forbid")

    hidden: int = Field(384, ge=8)
    affect: int = Field(64, ge=16, le=64, description="width of the affect embedding")
    attention_heads: int = Field(4, ge=1, description="of the fusion, where there is one")
    dropout: float = Field(0.1, ge=0, lt=1)
    wide: int = Field(
        0, ge=0, description="buckets of the wide part, a power of two; 0: no such part"
    )
    concern: bool = Field(False, description="whether there is a head that reads danger")
    speaking: bool = Field(
        False, description="whether there is a head that tells a learner's words from pasted ones"
    )

    @field_validator("wide")
    @classmethod
    def _a_power_of_two(cls, buckets: int) -> int:
        if buckets & (buckets - 1):
            raise ValueError("not a power of two")
        return buckets


class Joining(BaseModel):
    """How the windows of a long text become one reading; learned on long authored texts.

    A window's weight is exp(last where it is the last one, and feeling times how far its valence
    lies from neutral, in logits).
    """

    model_config = ConfigDict(extra="forbid")

    length: int = Field(
        128, ge=8, description="tokens of a long text's window, at most those of any text"
    )
    overlap: int = Field(32, ge=0, description="tokens that neighbouring windows share, at least")
    last: float = Field(0.0, description="log weight of the last window")
    feeling: float = Field(0.0, ge=0, description="log weight for each logit from neutral")
    neutral: float = Field(0.0, description="the valence that shows no feeling, in logits")


class Calibration(BaseModel):
    """Learned on dev: what turns logits into probabilities, and probabilities into labels.

    probability = sigmoid(logit / temperature + shift[label])
    """

    model_config = ConfigDict(extra="forbid")

    emotions_temperature: float = Field(1.0, gt=0)
    goemotions_temperature: float = Field(1.0, gt=0)
    emotions_shift: dict[str, float] = Field(default_factory=dict)
    goemotions_shift: dict[str, float] = Field(default_factory=dict)
    concern_temperature: float = Field(1.0, gt=0)
    concern_shift: float = 0.0
    speaking_temperature: float = Field(1.0, gt=0)
    speaking_shift: float = 0.0
    emotions_threshold: dict[str, float] = Field(default_factory=dict)
    goemotions_threshold: dict[str, float] = Field(default_factory=dict)


Band = tuple[float, float]
"""Lowest and highest valence, in [0, 1]."""


def checked_band(band: Band) -> Band:
    """The band itself. Raises ValueError where it is none."""
    low, high = band
    if not 0 <= low <= high <= 1:
        raise ValueError(f"{low:g},{high:g}: expected 0 <= low <= high <= 1")
    return band


class TrainingSource(BaseModel):
    """One data set that taught the model."""

    name: str
    licence: str
    train: int
    dev: int
    teaches: str


class EmotionCard(ArtefactCard):
    """Written by the training run; nothing in it is typed by hand afterwards."""

    format: int = 2
    older: ClassVar[frozenset[int]] = frozenset({1})
    """Those of 0.2, without a graph: `masterx models export` adds it."""

    profile: str
    encoders: list[str]
    tune: str
    max_tokens: int
    shape: Shape
    emotions: list[Emotion] = Field(description="in the order of the head's outputs")
    authored: list[Emotion] = Field(
        default_factory=list, description="known from the authored corpus only"
    )
    absent: list[Emotion] = Field(default_factory=list, description="of the 41, without any data")
    languages: list[str] = Field(
        default=["en"],
        min_length=1,
        description="of the texts that taught it (ISO 639-1); others are not read",
    )
    calibration: Calibration = Calibration()
    joining: Joining = Joining()
    neutral_band: Band = Field(
        (0.47, 0.53),
        description="valence that is no sign of a feeling: lowest, highest; above is a pleasant "
        "one, below an unpleasant one",
    )
    graph: dict[str, CardFigures] = Field(
        default_factory=dict,
        description="what the graph for a processor costs beside the float32 network, on dev",
    )
    sources: list[TrainingSource] = Field(default_factory=list)
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, CardFigures] = Field(default_factory=dict)
    limits: list[str] = Field(default_factory=list)
    reproduce: str = ""

    @field_validator("neutral_band")
    @classmethod
    def _a_band(cls, band: Band) -> Band:
        return checked_band(band)

    @model_validator(mode="before")
    @classmethod
    def _of_format_1(cls, document: object) -> object:
        """Cards of format 1 said what coarser numbers cost; nothing is run in them any more."""
        if isinstance(document, dict) and document.get("format", 1) == 1:
            return {k: v for k, v in document.items() if k != "rounding_cost"} | {"format": 2}
        return document


LIMITS = [
    "English text only; a message is read alone, without the conversation before it.",
    "Signs, danger and who speaks were learned from, and measured on, messages written for this "
    "project; nobody in danger wrote them, and no expert on crises has read them.",
    "What a text shows is not what its writer feels; a reading is evidence, not a diagnosis.",
    "GoEmotions is Reddit: forum sarcasm and North American usage are over-represented.",
    "EmoBank's dominance hardly varies (standard deviation .05 on [0, 1]); read it with caution.",
    "Classes marked authored were learned from, and measured on, utterances written for this "
    "project; their figures say less about real learners than those of the public classes.",
]


READ_AS = [
    "Temperatures, shifts and thresholds were chosen on these very rows, so the plain figures are "
    "a little too good; `cross_fitted` ones have each fifth's calibration and thresholds from the "
    "other four, and are the better guess at unseen rows. `goemotions` is its own head of 28 "
    "labels; what readings carry is the head of 41, measured on the labels of GoEmotions that are "
    "among them, and on the authored corpus (classes marked authored are known from nowhere else).",
]


FIRST_COLUMN = {"per_class": "class", "by_kind": "kind", "curve": "at", "by_group": "group"}
"""Of a table of figures, by the figure's name."""

GRAPH = [
    "A processor runs `model.onnx`: int8 weights with a scale for each output, activations made "
    "int8 as they come. Each figure is the graph's less the float32 network's on the same texts; "
    "`dp` is how far one probability of one reading moves.",
]


def markdown(card: EmotionCard, version: str) -> str:
    """The card for readers."""
    encoders = (
        f"Encoder{'s' if len(card.encoders) > 1 else ''}: {', '.join(card.encoders)} "
        f"({card.tune}), mean pooled, at most {card.max_tokens} tokens. "
        f"Affect embedding: {card.shape.affect} numbers."
        + (f" Wide part: {card.shape.wide:,} buckets." if card.shape.wide else "")
    )
    columns = ("source", "licence", "train", "dev", "teaches")
    sources = [(s.name, s.licence, f"{s.train:,}", f"{s.dev:,}", s.teaches) for s in card.sources]
    classes = [[f"Learned from public data: {_names(card, authored=False)}."]]
    if card.authored:
        classes.append([f"Authored (no public data): {_names(card, authored=True)}."])
    if card.absent:
        classes.append([f"Absent for want of data: {', '.join(card.absent)}."])
    measured = [
        part
        for name, figures in card.metrics.items()
        for part in ([f"### {name}"], _figures(figures, card.authored))
    ]
    costs = [part for name, figures in card.graph.items() for part in _costs(name, figures)]
    return document(
        [f"# Emotion model `{card.profile}`"],
        [f"Version `{version}`."],
        [encoders],
        ["## Data"],
        table(columns, sources),
        ["## Classes"],
        *classes,
        ["## Measured on dev"],
        READ_AS,
        *measured,
        *(["## What a processor's graph costs"], GRAPH, *costs) if costs else (),
        ["## Limits"],
        bullets(card.limits),
        ["## Reproduce"],
        [f"`{card.reproduce}`"],
        ["With:"],
        bullets(f"{name}: {value}" for name, value in card.training.items()),
    )


def _costs(name: str, figures: CardFigures) -> list[list[str]]:
    return [[f"### {name}"], [f"- {key}: {value:+.4f}" for key, value in figures.items()]]


def _names(card: EmotionCard, *, authored: bool) -> str:
    return ", ".join(e for e in card.emotions if (e in card.authored) == authored)


def _figures(figures: CardFigures, authored: Sequence[Emotion]) -> list[str]:
    lines: list[str] = []
    for name, value in figures.items():
        if value and isinstance(value, dict) and isinstance(next(iter(value.values())), dict):
            columns = list(next(iter(value.values())))
            rows = [
                (
                    f"{label}{' (authored)' if label in authored else ''}",
                    *("" if row[c] is None else number(row[c]) for c in columns),
                )
                for label, row in value.items()
            ]
            lines += ["", *table((FIRST_COLUMN[name], *columns), rows)]
        elif isinstance(value, dict):
            lines.append(f"- {name}: {named(value)}")
        elif value is not None:
            lines.append(f"- {name}: {number(value)}")
    return lines

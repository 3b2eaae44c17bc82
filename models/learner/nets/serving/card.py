"""What a net's artefact says of itself. Written by the training run, never by hand."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.artefacts import ArtefactCard


class DataSet(BaseModel):
    """One data set that taught the net."""

    model_config = ConfigDict(extra="forbid")

    name: str
    licence: str
    rows: int
    people: int | None = Field(None, description="or posts' groups, where people are not known")
    teaches: str


class NetCard(ArtefactCard):
    """Data, figures, limits and forbidden uses of one net."""

    name: str
    trained: list[str] = Field(description="inputs that training saw; the others are masked")
    untrained: dict[str, str] = Field(description="inputs that wait for data, and why")
    prior: float = Field(0.5, description="the population's figure, where nothing is known")
    emotion_version: str = Field("", description="of the model whose affect embedding is read")
    data: list[DataSet]
    metrics: dict[str, dict[str, Any]]
    baselines: dict[str, dict[str, Any]] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    limits: list[str]
    not_for: list[str]
    reproduce: str


def markdown(card: NetCard, version: str) -> str:
    """The card for readers."""
    lines = [f"# {card.name}", "", f"Version `{version}`.", "", "## Data", ""]
    lines += ["| set | licence | rows | people | teaches |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {d.name} | {d.licence} | {d.rows:,} | {d.people or ''} | {d.teaches} |"
        for d in card.data
    ]
    lines += ["", "## Inputs", "", f"Trained: {', '.join(card.trained)}.", ""]
    lines += [f"- **Not trained, and masked**: {n}: {why}" for n, why in card.untrained.items()]
    if card.emotion_version:
        lines += ["", f"Affect embeddings of `{card.emotion_version}` only; others are masked."]
    for title, figures in (("Measured", card.metrics), ("Baselines", card.baselines)):
        lines += ["", f"## {title}", ""]
        for name, values in figures.items():
            lines.append(f"- {name}: " + ", ".join(f"{k} {_shown(v)}" for k, v in values.items()))
    if notes := _notes(card):
        lines += ["", "How to read these figures:", "", *[f"- {note}" for note in notes]]
    lines += ["", "## Limits", "", *[f"- {limit}" for limit in card.limits]]
    lines += ["", "## May not be used for", "", *[f"- {use}" for use in card.not_for]]
    lines += ["", "## Reproduce", "", f"`{card.reproduce}`", "", "With:", ""]
    lines += [f"- {name}: {_shown(value)}" for name, value in card.training.items()]
    return "\n".join(lines) + "\n"


def _notes(card: NetCard) -> list[str]:
    """What holds of the figures of every net that was measured so."""
    notes = []
    if any("ece" in figures for figures in (*card.metrics.values(), *card.baselines.values())):
        notes.append(
            "`ece` is over ten bins of equal counts; that of the behaviour estimators is over ten "
            "of equal width, so that the two are not to be compared."
        )
    if "cognitive_load" in card.trained:
        notes.append(
            "The population shares against which the replay reads `cognitive_load` come from "
            "everybody, the people that a fold leaves out included."
        )
    return notes


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(v) for v in value) + "]"
    return str(value)

"""A training run's config file: `profiles/*.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.emotion.artefact.card import Shape

PROFILES = Path(__file__).parents[1] / "profiles"
CORPUS = Path(__file__).parents[1] / "corpus"

Tune = Literal["frozen", "layers", "full"]


class LossWeights(BaseModel):
    """How much each task counts; each loss is a mean over its labelled cells."""

    model_config = ConfigDict(extra="forbid")

    goemotions: float = Field(1.0, ge=0, description="28-way binary cross entropy")
    emotions: float = Field(1.0, ge=0, description="41-way binary cross entropy, masked")
    order: float = Field(0.05, ge=0, description="softmax over the 41, authored texts only")
    pad: float = Field(0.1, ge=0, description="squared error over the source's variance")
    taught_pad: float = Field(0.0, ge=0, description="the same, against the teacher's PAD")
    taught_goemotions: float = Field(
        0.0, ge=0, description="28-way cross entropy against the teacher's probabilities"
    )
    urgency: float = Field(0.1, ge=0, description="squared error over the source's variance")
    sign: float = Field(0.0, ge=0, description="cross entropy of the three signs of valence")
    sign_band: tuple[float, float] = Field((0.46, 0.54), description="valence that is no sign")
    sign_width: float = Field(0.02, gt=0, description="of the slope at the band's edges")
    concern: float = Field(0.0, ge=0, description="binary cross entropy, any danger and each kind")
    speaking: float = Field(0.0, ge=0, description="binary cross entropy")


class Teachers(BaseModel):
    """Folders of artefacts whose readings of the training texts are learned from, averaged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pad: list[Path] = Field(
        default_factory=list, description="teach their PAD of texts that nobody rated"
    )
    goemotions: list[Path] = Field(
        default_factory=list,
        description="teach their probabilities of GoEmotions' labels, of all texts",
    )


class WidePart(BaseModel):
    """How the wide part is fitted; `shape.wide` says whether there is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inverse_penalty: float = Field(1.0, gt=0, description="C of the logistic regressions")
    weight: float = Field(0.5, gt=0, le=1, description="of its logits beside the encoder's")
    least_texts: int = Field(2, ge=1, description="in which a bucket must occur to count")


class Recipe(BaseModel):
    """Everything that decides what a training run produces."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str
    encoders: list[str] = Field(min_length=1)
    tune: Tune = Field(
        description="frozen: heads only; layers: all but the word embeddings; full: everything"
    )
    reproduce: str = Field("masterx train emotion", description="the command, for the card")
    start_from: Path | None = Field(None, description="artefact whose weights training starts from")
    teachers: Teachers = Teachers()
    soup: list[Path] = Field(
        default_factory=list,
        description="artefacts of the same shape and seed; the mean of their weights and of "
        "this run's is kept",
    )
    seed: int = 7
    epochs: int = Field(4, ge=1)
    batch_size: int = Field(64, ge=1, description="texts")
    learning_rate: float = Field(1e-4, gt=0, description="of the encoder, at its peak")
    head_learning_rate: float = Field(5e-4, gt=0)
    hidden_dropout: float | None = Field(
        None, ge=0, lt=1, description="of the encoders' layers; None leaves it as packaged"
    )
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.06, ge=0, lt=1, description="share of the steps")
    averaging: float = Field(0.999, ge=0, lt=1, description="decay a step of the averaged weights")
    max_tokens: int = Field(128, ge=8, description="of one text, in training and as the default")
    shape: Shape = Shape()
    wide: WidePart = WidePart()
    losses: LossWeights = LossWeights()
    repeats: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="times a source is seen an epoch, .5: half of it; 0 leaves it out",
    )
    corpus: Path = Field(CORPUS, description="folder of the authored utterances")
    corpus_dev: list[str] = Field(
        default_factory=list, description="author batches of the corpus that are kept for dev"
    )
    identities: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="share of an authored set's texts that are also seen with the writer's group "
        "named before them",
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0: every core")
    halves: bool = Field(
        False,
        description="train an encoder in bfloat16 on a processor too: pays where it has AMX",
    )
    graph: bool = Field(
        True, description="write the graph that a processor serves; a teacher needs none"
    )
    checkpoint_steps: int = Field(100, ge=1)

    def repeat(self, source: str) -> float:
        """Times the source is seen in one epoch."""
        return self.repeats.get(source, 1)


def load_recipe(path: Path | str) -> Recipe:
    """A profile's name or a TOML file. Raises FileNotFoundError or pydantic.ValidationError."""
    file = Path(path)
    if not file.is_file():
        file = PROFILES / f"{path}.toml"
    if not file.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.toml")))
        raise FileNotFoundError(f"no training profile {str(path)!r}; there are: {known}")
    return Recipe.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))

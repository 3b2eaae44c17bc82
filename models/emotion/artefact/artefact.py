"""A trained model on disk. Reading it needs no torch and runs no code.

    model.safetensors    the network: what trains on, and what a GPU runs
    model.onnx           the same for a processor: one graph of the encoders and heads
    tokenizer.json       the first encoder's tokeniser (of others: tokenizer.1.json, ...)
    card.json, card.md   what it is, and what each form of it costs

In `model.safetensors` heads are float16 and the wide part's table is int8. A fine-tuned encoder
is kept as its difference from the packaged one, int8 with a scale for each row: a quarter of the
size of float32, and far closer to the trained weights than bfloat16 would be, because the
difference is small. `models.emotion.network.storing` writes it, `models.emotion.exporting` the
graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import safe_open

from models.artefacts import CARD_TEXT, load_artefact
from models.emotion.artefact.card import EmotionCard, markdown

WEIGHTS: Final = "model.safetensors"
GRAPH: Final = "model.onnx"
SCALE: Final = "#scale"
"""Behind the name of an int8 tensor: the scale that belongs to it."""
WIDE_TABLE: Final = "wide.table.weight"
WIDE_BIAS: Final = "wide.bias"


class ArtefactProblem(RuntimeError):
    """The folder holds no artefact that can be used; the message says what is missing."""


class EncoderNotFound(ArtefactProblem):
    """The encoder's name is no installed package, no folder, and no hub id that can be loaded."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """Where the files are, the card as read, and a version that names the content of all files."""

    folder: Path
    card: EmotionCard
    version: str

    @property
    def weights(self) -> Path:
        """The network's weights."""
        return self.folder / WEIGHTS

    def graph(self) -> Path:
        """The graph for a processor. Raises ArtefactProblem where there is none."""
        if not (self.folder / GRAPH).is_file():
            raise ArtefactProblem(
                f"emotion.artefact: no {GRAPH} in {self.folder}; write it with `masterx models "
                f"export {self.folder}`"
            )
        return self.folder / GRAPH

    def tokenizer(self, encoder: int) -> Path:
        """The tokeniser of an encoder, by its place. Raises ArtefactProblem where there is none."""
        file = self.folder / tokenizer_name(encoder)
        if not file.is_file():
            raise ArtefactProblem(
                f"emotion.artefact: no {file.name} in {self.folder}; write it with `masterx models "
                f"export {self.folder}`"
            )
        return file


def tokenizer_name(encoder: int) -> str:
    """Of the first encoder `tokenizer.json`, as everybody calls it."""
    return "tokenizer.json" if encoder == 0 else f"tokenizer.{encoder}.json"


def load(folder: Path) -> Artefact:
    """Read an artefact. Raises ArtefactProblem that names the missing or broken file."""
    card, _, content = load_artefact(
        folder,
        EmotionCard,
        WEIGHTS,
        _names,
        also=(GRAPH, "tokenizer*.json"),
        problem=lambda text: ArtefactProblem(f"emotion.artefact: {text}"),
        advice="train one with `masterx train emotion` or set MASTERX_EMOTION__ARTEFACT",
    )
    return Artefact(folder, card, f"{card.profile}-{content}")


def _names(file: Path) -> list[str]:
    with safe_open(file, framework="numpy") as tensors:
        return list(tensors.keys())


def write_card_text(artefact: Artefact) -> None:
    """`card.md`, from `card.json`. Raises OSError."""
    text = markdown(artefact.card, artefact.version)
    (artefact.folder / CARD_TEXT).write_text(text, encoding="utf-8")

"""The trained model on disk: `moves.safetensors`, `card.json`, `card.md`. Loading runs no code."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from models.artefacts import CARD_TEXT, load_artefact, save_artefact
from models.tutor.moves.serving.card import MovesCard, markdown
from models.tutor.moves.serving.dialogue import MOVES
from models.tutor.moves.serving.model import MoveModel, Softmax, Tagger, feature_names

WEIGHTS = "moves.safetensors"
SHIPPED = Path(__file__).parents[2] / "artefacts" / "moves"


class ArtefactProblem(RuntimeError):
    """The folder holds no artefact that can be used; the message says what is wrong."""


def save(folder: Path, card: MovesCard, model: MoveModel) -> str:
    """Write the three files; returns the version."""
    arrays = {"seen": np.array(sorted(model.seen), dtype=np.uint32)}
    # The tagger's weights are many and each counts for little.
    heads = (("tagger", model.tagger.head, np.float16), ("moves", model.head, np.float32))
    for name, head, dtype in heads:
        arrays[f"{name}.weights"] = np.ascontiguousarray(head.weights, dtype=dtype)
        arrays[f"{name}.bias"] = np.ascontiguousarray(head.bias, dtype=np.float32)
    save_artefact(folder, card, WEIGHTS, lambda file: save_file(arrays, file))
    version = load(folder).version
    (folder / CARD_TEXT).write_text(markdown(card, version), encoding="utf-8")
    return version


def load(folder: Path = SHIPPED) -> MoveModel:
    """Read an artefact. Raises ArtefactProblem that names the missing, broken or stale file."""
    return _read(folder)[1]


@lru_cache(maxsize=1)
def shipped() -> MoveModel:
    """The packaged model, read once. Raises ArtefactProblem."""
    return load()


def load_card(folder: Path = SHIPPED) -> MovesCard:
    """Raises ArtefactProblem."""
    return _read(folder)[0]


def _read(folder: Path) -> tuple[MovesCard, MoveModel]:
    card, (tagger, head, seen), content = load_artefact(
        folder,
        MovesCard,
        WEIGHTS,
        _heads,
        problem=lambda text: ArtefactProblem(f"tutor moves: {text}"),
        advice="train one with `masterx train tutor-moves`",
    )
    model = MoveModel(Tagger(tagger), head, seen, f"moves-{content}")
    if (wrong := _mismatch(card, model)) is not None:
        raise ArtefactProblem(
            f"tutor moves: {folder}: {wrong} of the artefact are not this code's; "
            "train again with `masterx train tutor-moves`"
        )
    return card, model


def _heads(file: Path) -> tuple[Softmax, Softmax, frozenset[int]]:
    arrays = load_file(file)
    return _head(arrays, "tagger"), _head(arrays, "moves"), frozenset(arrays["seen"].tolist())


def _head(arrays: dict[str, np.ndarray], name: str) -> Softmax:
    return Softmax(
        arrays[f"{name}.weights"].astype(np.float64), arrays[f"{name}.bias"].astype(np.float64)
    )


def _mismatch(card: MovesCard, model: MoveModel) -> str | None:
    if card.moves != list(MOVES):
        return "labels"
    if card.features != feature_names(model.tagger):
        return "features"
    return None if len(model.head.weights) == len(card.features) else "sizes"

"""`masterx evaluate emotion`: measure an artefact on labelled rows, or predict any rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.emotion.artefact.artefact import Artefact, load
from models.emotion.config import EmotionSettings
from models.emotion.measuring import plots
from models.emotion.measuring.figures import (
    AXES,
    EmotionFigures,
    Format,
    Labelled,
    columns,
    figures,
    label_names,
    labelled_part,
)
from models.emotion.serving.engine import build_engine, read_all
from models.emotion.serving.inference import Calibrated, Output, calibrate
from models.emotion.training import examples as readers
from models.emotion.training.examples import DataProblem, Example


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome: `figures` for --json, `labelled` for the tables and pictures."""

    version: str
    form: Format
    figures: EmotionFigures
    labelled: Labelled | None
    pictures: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Confused:
    """What the texts of one class are read as.

    first: texts whose most probable label it is
    instead: (most probable label, texts) of the others, the most frequent first
    """

    first: int
    instead: tuple[tuple[str, int], ...]


def evaluate(
    data: Path,
    form: Format,
    settings: EmotionSettings,
    *,
    predictions: Path | None = None,
    plot: Path | None = None,
) -> Evaluation:
    """Read `data`, run the artefact of the settings over it, measure what is labelled.

    predictions: JSON lines, one a row of the data in its order
    plot: folder for the pictures; none is drawn of a file without labels

    Raises DataProblem for a file that cannot be read as `form`, ArtefactProblem,
    EncoderNotFound; OSError where predictions or pictures cannot be written.
    """
    rows = read(data, form)
    artefact = load(settings.artefact)
    calibrated = predict(artefact, [row.text for row in rows], settings)
    part = None
    if form != "emobank":
        part = labelled_part(artefact.card, form, rows, calibrated)
    if predictions is not None:
        write_predictions(predictions, artefact, form, calibrated)
    pictures = () if plot is None else draw(plot, rows, calibrated, part)
    found = figures(artefact.card, form, rows, calibrated)
    return Evaluation(artefact.version, form, found, part, pictures)


def draw(
    folder: Path, rows: Sequence[Example], calibrated: Calibrated, part: Labelled | None
) -> tuple[Path, ...]:
    """Write the pictures of what is labelled: `part`, or without it the ratings of the rows."""
    drawn: dict[str, str] = {}
    if part is not None and len(part.truth):
        drawn["reliability"] = plots.reliability(part.reliability)
        drawn["confusion"] = plots.confusion(part.names, part.confusion)
    rated = [(row.pad, i) for i, row in enumerate(rows) if row.pad is not None]
    if part is None and rated:
        for k, axis in enumerate(AXES):
            points = [(truth[k], float(calibrated.pad[i, k])) for truth, i in rated]
            drawn[axis] = plots.scatter(axis, points)
    for name, picture in drawn.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.svg").write_text(picture, "utf-8")
    return tuple(folder / f"{name}.svg" for name in drawn)


def read(data: Path, form: Format) -> list[Example]:
    """Every row of the file. Raises DataProblem."""
    source = {"goemotions": readers.goemotions, "emobank": readers.emobank, "tsv": readers.tsv}
    try:
        return list(source[form](data))
    except (OSError, UnicodeDecodeError) as error:
        raise DataProblem(f"{data}: {error}") from error


def as_served(artefact: Artefact, texts: Sequence[str], settings: EmotionSettings) -> Output:
    """Raw outputs, cut and rounded as serving would, on the device that serving would choose."""
    return read_all(build_engine(artefact, settings), texts, artefact.card)


def predict(artefact: Artefact, texts: Sequence[str], settings: EmotionSettings) -> Calibrated:
    """Calibrated probabilities, as served."""
    return calibrate(artefact.card, as_served(artefact, texts, settings))


def write_predictions(path: Path, artefact: Artefact, form: Format, calibrated: Calibrated) -> None:
    """A line a row; with the format's labels, less those that the artefact does not know."""
    card = artefact.card
    probability, _ = columns(card, form, calibrated)
    names = label_names(form)
    kept = [i for i, name in enumerate(names) if form == "goemotions" or name in card.emotions]
    with path.open("w", encoding="utf-8") as file:
        for row, (values, pad) in enumerate(
            zip(probability.tolist(), calibrated.pad.tolist(), strict=True)
        ):
            line = {
                "row": row,
                "probabilities": {names[i]: values[i] for i in kept},
                "pad": dict(zip(AXES, pad, strict=True)),
            }
            file.write(json.dumps(line) + "\n")


def confusions(part: Labelled, most: int = 3) -> dict[str, Confused]:
    """Of each class that occurs, in the format's order."""
    table = part.confusion
    found = {}
    for i, name in enumerate(part.names):
        if not table[i].any():
            continue
        instead = [
            (part.names[j], int(table[i, j]))
            for j in np.argsort(-table[i], kind="stable")
            if j != i
        ]
        found[name] = Confused(int(table[i, i]), tuple(pair for pair in instead[:most] if pair[1]))
    return found

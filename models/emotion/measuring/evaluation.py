"""`masterx evaluate emotion`: measure an artefact on labelled rows, or predict any rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from models.emotion.artefact.artefact import Artefact, load
from models.emotion.artefact.card import Band
from models.emotion.config import EmotionSettings
from models.emotion.measuring import plots
from models.emotion.measuring.concerns import (
    Alarms,
    ConcernFigures,
    Scored,
    all_points,
    comparable,
    concern_figures,
)
from models.emotion.measuring.counterfactuals import load_groups
from models.emotion.measuring.dialogues import DialogueFigures, dialogue_figures, outcome_of
from models.emotion.measuring.figures import (
    AXES,
    EmotionFigures,
    Format,
    Labelled,
    MessageFormat,
    columns,
    figures,
    label_names,
    labelled_part,
)
from models.emotion.measuring.groups import GroupFigures, compare
from models.emotion.measuring.served import (
    Limits,
    predict_messages,
    predicted_by_words,
    write_lines,
)
from models.emotion.measuring.signs import SignFigures, sign_figures
from models.emotion.model_text import model_text
from models.emotion.serving.engine import build_engine, read_all
from models.emotion.serving.inference import Calibrated, Output, calibrate
from models.emotion.training import examples as readers
from models.emotion.training.examples import DataProblem, Example
from models.tutor.safety.config import SafetySettings
from models.tutor.safety.screening import Screen

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome: `figures` for --json, `labelled` for the tables and pictures."""

    version: str
    form: Format
    figures: EmotionFigures
    labelled: Labelled | None
    pictures: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageEvaluation:
    """The outcome of a format of messages. version: empty where no artefact was asked."""

    version: str
    figures: SignFigures | ConcernFigures | DialogueFigures | GroupFigures
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


def evaluate_messages(
    data: Path,
    form: MessageFormat,
    settings: EmotionSettings,
    safety: SafetySettings,
    *,
    band: Band | None = None,
    concern_at: float | None = None,
    predictions: Path | None = None,
    plot: Path | None = None,
    words_alone: bool = False,
) -> MessageEvaluation:
    """Read `data` as a worker and the tutor would, measure what is labelled.

    data: a file; of `groups` a folder
    band: in place of the card's neutral band
    concern_at: in place of the settings' operating point
    predictions: JSON lines, one a row of the data in its order
    plot: folder for the picture of `concern`'s curve; none is drawn where there is no curve
    words_alone: of `concern`, what is left while the model is down; no artefact is loaded

    Raises DataProblem for data that cannot be read as `form`, ArtefactProblem,
    EncoderNotFound, LexiconProblem, ModelUnavailable; OSError where predictions or the picture
    cannot be written.
    """
    if concern_at is not None:
        concern = settings.concern.model_copy(update={"at": concern_at})
        settings = settings.model_copy(update={"concern": concern})
    if form == "dialogues":
        return _evaluate_dialogues(data, settings, safety, predictions)
    if form == "groups":
        return _evaluate_groups(data, settings, safety, band, predictions)
    if form == "concern" and words_alone:
        return _evaluate_words(data, settings, safety, predictions)
    messages = _read(data, readers.signs if form == "sign" else readers.concerns)
    artefact = load(settings.artefact)
    limits = Limits(band or artefact.card.neutral_band, settings.concern.at)
    texts = [message.text for message in messages]
    predicted = predict_messages(artefact, settings, Screen(safety), texts, limits)
    if predictions is not None:
        write_lines(predictions, [prediction.as_json() for prediction in predicted])
    if form == "sign":
        return MessageEvaluation(artefact.version, sign_figures(messages, predicted, limits.band))
    pictures = (
        () if plot is None else draw_curve(plot, comparable(messages, predicted), limits.concern_at)
    )
    found = concern_figures(messages, predicted, limits.concern_at)
    return MessageEvaluation(artefact.version, found, pictures)


def _evaluate_words(
    data: Path, settings: EmotionSettings, safety: SafetySettings, predictions: Path | None
) -> MessageEvaluation:
    messages, screen = _read(data, readers.concerns), Screen(safety)
    predicted = [predicted_by_words(screen, message.text) for message in messages]
    if predictions is not None:
        write_lines(predictions, [prediction.as_json() for prediction in predicted])
    found = concern_figures(messages, predicted, settings.concern.at)
    # Not asked: no figure of the model's, and no zero that looks like one.
    return MessageEvaluation("", replace(found, by_model=Alarms(None, None)))


def _evaluate_dialogues(
    data: Path, settings: EmotionSettings, safety: SafetySettings, predictions: Path | None
) -> MessageEvaluation:
    dialogues = _read(data, readers.dialogues)
    artefact = load(settings.artefact)
    limits = Limits(artefact.card.neutral_band, settings.concern.at)
    texts = [text for dialogue in dialogues for text in dialogue.messages]
    flat = iter(predict_messages(artefact, settings, Screen(safety), texts, limits))
    predicted = [list(islice(flat, len(dialogue.messages))) for dialogue in dialogues]
    outcomes = [outcome_of(each, settings.concern) for each in predicted]
    if predictions is not None:
        write_lines(predictions, [outcome.as_json() for outcome in outcomes])
    return MessageEvaluation(
        artefact.version, dialogue_figures(dialogues, outcomes, settings.concern)
    )


def _evaluate_groups(
    data: Path,
    settings: EmotionSettings,
    safety: SafetySettings,
    band: Band | None,
    predictions: Path | None,
) -> MessageEvaluation:
    sentences = _read(data, lambda folder: load_groups(folder).sentences())
    artefact = load(settings.artefact)
    limits = Limits(band or artefact.card.neutral_band, settings.concern.at)
    texts = [sentence.text for sentence in sentences]
    predicted = predict_messages(artefact, settings, Screen(safety), texts, limits)
    if predictions is not None:
        pairs = zip(sentences, predicted, strict=True)
        write_lines(predictions, [named.as_json() | found.as_json() for named, found in pairs])
    # None becomes NaN: of what was not read, or of a model without that head.
    valence = np.array([one.valence for one in predicted], dtype=np.float64)
    concern = np.array([one.concern for one in predicted], dtype=np.float64)
    found = compare(
        sentences,
        valence,
        None if np.isnan(concern).all() else concern,
        band=limits.band,
        concern_at=limits.concern_at,
    )
    return MessageEvaluation(artefact.version, found)


def draw_curve(folder: Path, scored: Scored | None, concern_at: float) -> tuple[Path, ...]:
    """Write the picture of found against alarmed; none without a curve."""
    if scored is None:
        return ()
    points = all_points(scored)
    alone = [(0.0, 0.0), *((point.alarmed_alone, point.found_alone) for point in points)]
    # Above 1 the model raises no alarm: the words are left.
    words = scored.at(math.inf)
    both = [(point.alarmed, point.found) for point in (words, *points)]
    mark = scored.at(concern_at)
    picture = plots.curves(
        "Messages that raise an alarm",
        "of the harmless, alarmed",
        "of those a person should know of, found",
        {"the model alone": alone, "words or model": both},
        (mark.alarmed, mark.found),
    )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "concern.svg"
    file.write_text(picture, "utf-8")
    return (file,)


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
    return _read(data, source[form])


def _read(data: Path, source: Callable[[Path], Iterable[Row]]) -> list[Row]:
    try:
        return list(source(data))
    except (OSError, UnicodeDecodeError) as error:
        raise DataProblem(f"{data}: {error}") from error


def as_served(artefact: Artefact, texts: Sequence[str], settings: EmotionSettings) -> Output:
    """Raw outputs of the texts as a reader gives them to the model, on serving's device."""
    return read_all(build_engine(artefact, settings), list(map(model_text, texts)), artefact.card)


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

"""Labelled texts: what one example teaches, and how each source is read.

An example only speaks of the classes that its source annotates: `emotions` maps
those to their target in [0, 1], and every other class is masked out of the loss.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from models.emotion.labels import EMOTIONS, GOEMOTIONS, annotated, emotion_of
from schemas.topics.emotions import Emotion
from schemas.vocabulary import Concern

Pad = tuple[float, float, float]

RATED: Final = (1.0, 5.0)
"""EmoBank's scale of valence, arousal and dominance."""
GRADED: Final = (1.0, 7.0)
"""The scale of the forum posts' urgency."""

SIGNS: Final = (-1, 0, 1)
"""How a writer feels: unpleasant, neither, pleasant."""
NO_OR_YES: Final = (0, 1)
"""Whether something holds."""
LINE_BREAK: Final = r"\n"
"""Two characters, where a format has one line for a message."""


class DataProblem(ValueError):
    """A data file that cannot be used; the message names file, line and field."""


@dataclass(frozen=True, slots=True)
class Example:
    """One text and what is known of it.

    emotions: target of each annotated emotion, in [0, 1]
    goemotions: indices into the 28 labels, or None where not annotated
    pad: valence, arousal, dominance in [0, 1], or None
    urgency: how urgently a teacher should step in, in [0, 1], or None
    sign: how the writer feels: -1 unpleasant, 0 neither, 1 pleasant, or None
    concern: whether a person should know of it, or None
    concerns: the kinds of danger in it, where `concern` is True; None where not known
    speaking: whether the learner speaks, and not a pasted text, or None
    kind: what an authored text is a case of
    authored: written for the corpus by its batch's name; such a text carries all its
        emotions, so it also teaches their order (a softmax over the 41)
    """

    text: str
    emotions: dict[Emotion, float] = field(default_factory=dict)
    goemotions: tuple[int, ...] | None = None
    pad: Pad | None = None
    urgency: float | None = None
    sign: int | None = None
    concern: bool | None = None
    concerns: frozenset[Concern] | None = None
    speaking: bool | None = None
    kind: str = ""
    authored: str = ""


@dataclass(frozen=True, slots=True)
class LabelledMessage:
    """A message as a learner would send it, and what its reading should come to.

    label: None where nobody has said
    kind: what it is a case of; empty where the row names none
    more: the columns behind the kind
    """

    text: str
    label: int | None
    kind: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledDialogue:
    """A learner's messages in their order, and whether a person should know of them together."""

    messages: tuple[str, ...]
    label: int | None
    kind: str


def goemotions(path: Path) -> Iterator[Example]:
    """`text<TAB>comma-joined label ids[<TAB>comment id]`, no quoting; no labels: none known."""
    known = annotated("goemotions")
    for line, columns in tab_separated(path):
        ids = columns[1].strip() if len(columns) > 1 else ""
        if not ids:
            yield Example(columns[0])
            continue
        try:
            chosen = tuple(int(i) for i in ids.split(","))
        except ValueError:
            chosen = (-1,)
        if not all(0 <= i < len(GOEMOTIONS) for i in chosen):
            raise DataProblem(f"{path}:{line}: labels {ids!r}: expected ids 0-27")
        names = [GOEMOTIONS[i] for i in chosen]
        taught = {emotion_of("goemotions", name) for name in names}
        yield Example(columns[0], {e: float(e in taught) for e in known}, chosen)


def emobank(path: Path, split: str | None = None) -> Iterator[Example]:
    """CSV with text and V, A, D on 1-5 (rescaled to [0, 1]); empty ratings: none known."""
    for line, row in _csv(path, ("text",)):
        if split is not None and row.get("split") != split:
            continue
        ratings = [(row.get(axis) or "").strip() for axis in "VAD"]
        if not all(ratings):
            yield Example(row["text"])
            continue
        v, a, d = (_share(path, line, "V,A,D", rating, RATED) for rating in ratings)
        yield Example(row["text"], pad=(v, a, d))


def mathbuddy(path: Path) -> Iterator[tuple[str, Example]]:
    """(dialogue, example) of each student turn; the dialogue's opening names it."""
    known = annotated("mathbuddy")
    for row in json.loads(path.read_text(encoding="utf-8")):
        taught = emotion_of("mathbuddy", row["emotion"])
        opening = row["history"][:200]
        yield opening, Example(row["utterance"], {e: float(e == taught) for e in known})


def empathy_distress(path: Path) -> Iterator[tuple[str, Example]]:
    """(writer, example) of each essay; distress as its published bin."""
    for line, row in _csv(path, ("message_id", "essay", "distress_bin")):
        writer = row["message_id"].rsplit("_", 1)[0]
        distress = _share(path, line, "distress_bin", row["distress_bin"], (0.0, 1.0))
        yield writer, Example(row["essay"], {Emotion.DISTRESS: distress})


def forum_urgency(path: Path) -> Iterator[tuple[str, Example]]:
    """(post's id, example) of each forum post; urgency 1-7, rescaled to [0, 1].

    An id may come several times, so it names the group that stays together.
    """
    for line, row in _csv(path, ("id", "post_text", "Urgency_1_7")):
        grade = row["Urgency_1_7"].strip()
        urgency = _share(path, line, "Urgency_1_7", grade, GRADED) if grade else None
        yield row["id"], Example(row["post_text"], urgency=urgency)


def tsv(path: Path) -> Iterator[Example]:
    """`text<TAB>label[,label][<TAB>batch]` with names of the 41; no labels: none known."""
    for line, columns in tab_separated(path):
        targets = all_of(path, line, columns[1] if len(columns) > 1 else "")
        batch = columns[2].strip() if len(columns) > 2 else path.stem
        yield Example(columns[0], targets, authored=batch)


def all_of(path: Path, line: int, names: str) -> dict[Emotion, float]:
    """Targets of all 41 from names joined by commas; none without a name. Raises DataProblem."""
    present = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in present if name not in set(EMOTIONS)]
    if unknown:
        raise DataProblem(f"{path}:{line}: label {unknown[0]!r} is not one of the 41 emotions")
    return {e: float(e in present) for e in EMOTIONS} if present else {}


def corpus(folder: Path) -> list[Example]:
    """The authored learner utterances: every .tsv of the folder, in name order."""
    return [example for path in sorted(folder.glob("*.tsv")) for example in tsv(path)]


def signs(path: Path) -> Iterator[LabelledMessage]:
    """`text<TAB>-1|0|1[<TAB>kind[<TAB>...]]`: how the writer feels; no sign: not known.

    The two characters \\n in a text stand for a line break.
    """
    return _messages(path, "sign", SIGNS)


def concerns(path: Path) -> Iterator[LabelledMessage]:
    """`text<TAB>0|1[<TAB>kind[<TAB>...]]`: whether a person should know; none: not known.

    The two characters \\n in a text stand for a line break.
    """
    return _messages(path, "concern", NO_OR_YES)


def speakers(path: Path) -> Iterator[LabelledMessage]:
    """`text<TAB>0|1[<TAB>kind[<TAB>...]]`: whether the learner speaks; none: not known.

    The two characters \\n in a text stand for a line break.
    """
    return _messages(path, "speaking", NO_OR_YES)


def dialogues(path: Path) -> Iterator[LabelledDialogue]:
    """JSON lines `{"messages": ["...", ...], "concern": 0|1, "kind": "..."}`.

    No concern, or null: not known. The kind may be absent.
    """
    with path.open(encoding="utf-8", newline="\n") as file:
        for line, row in enumerate(file, start=1):
            try:
                yield _dialogue(json.loads(row))
            except ValueError as error:
                raise DataProblem(f"{path}:{line}: {error}") from error


def _dialogue(found: object) -> LabelledDialogue:
    """Raises ValueError that names the field."""
    if not isinstance(found, dict):
        raise ValueError("expected an object")
    messages, label, kind = (found.get(name) for name in ("messages", "concern", "kind"))
    if not isinstance(messages, list) or not all(isinstance(text, str) for text in messages):
        raise ValueError("messages: expected a list of texts")
    if label is not None and (type(label) is not int or label not in NO_OR_YES):
        raise ValueError(f"concern {label!r}: expected 0 or 1")
    if kind is not None and not isinstance(kind, str):
        raise ValueError(f"kind {kind!r}: expected a text")
    return LabelledDialogue(tuple(messages), label, kind or "")


def _messages(path: Path, name: str, labels: Sequence[int]) -> Iterator[LabelledMessage]:
    known = {str(label): label for label in labels}
    for line, columns in tab_separated(path):
        label, kind = (column.strip() for column in (*columns[1:3], "", "")[:2])
        if label and label not in known:
            expected = " or ".join((", ".join(list(known)[:-1]), list(known)[-1]))
            raise DataProblem(f"{path}:{line}: {name} {label!r}: expected {expected}")
        text = columns[0].replace(LINE_BREAK, "\n")
        yield LabelledMessage(text, known.get(label), kind, tuple(columns[3:]))


def tab_separated(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, columns) of each row."""
    # Only "\n" ends a row: texts hold U+2028 and others that str.splitlines would split at.
    with path.open(encoding="utf-8", newline="\n") as file:
        for line, row in enumerate(file, start=1):
            yield line, row.rstrip("\r\n").split("\t")


def _csv(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(the line on which a row ends, the row); every needed column is there and is text."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                for column in needed:
                    if column not in row:
                        raise DataProblem(
                            f"{path}: {column}: column missing "
                            f"(there are {', '.join(reader.fieldnames or ())})"
                        )
                    if row[column] is None:
                        raise DataProblem(
                            f"{path}:{reader.line_num}: {column}: missing, the row is too short"
                        )
                yield reader.line_num, row
        except csv.Error as error:
            # A quote that is never closed, most often: the rest of the file is one field then.
            raise DataProblem(f"{path}:{reader.reader.line_num}: not CSV: {error}") from error


def _share(path: Path, line: int, column: str, text: str, scale: tuple[float, float]) -> float:
    """Where a number stands on its scale, in [0, 1]."""
    low, high = scale
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise DataProblem(f"{path}:{line}: {column}: {text!r} is not in {low:g}-{high:g}")
    return (value - low) / (high - low)

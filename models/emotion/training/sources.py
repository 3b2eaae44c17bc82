"""The labelled sources of a training run, split into train and dev by person or dialogue."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from models.emotion.artefact.card import TrainingSource
from models.emotion.training import authored, examples
from models.emotion.training.examples import Example
from models.emotion.training.recipe import Recipe
from models.tutor.safety.config import SafetySettings
from models.tutor.safety.screening import Screen
from schemas.topics.emotions import Emotion

DEV_SHARE = 0.15  # of the sources that come without a split of their own


@dataclass(frozen=True, slots=True)
class SplitSource:
    """One source's examples."""

    name: str
    licence: str
    teaches: str
    train: list[Example]
    dev: list[Example]
    whole: list[Example] = field(default_factory=list)
    """Long texts as they were written; `train` holds parts of them."""

    def describe(self) -> TrainingSource:
        """For the model card."""
        return TrainingSource(
            name=self.name,
            licence=self.licence,
            train=len(self.train),
            dev=len(self.dev),
            teaches=self.teaches,
        )


def load_sources(data: Path, recipe: Recipe) -> list[SplitSource]:
    """Every source that the recipe does not leave out. Raises FileNotFoundError with its path."""
    known = {
        "goemotions": _goemotions,
        "emobank": _emobank,
        "mathbuddy": _mathbuddy,
        "empathy_distress": _empathy_distress,
        "forum_urgency": _forum_urgency,
    }
    found = [load(data / name) for name, load in known.items() if recipe.repeat(name)]
    if recipe.repeat("corpus") and recipe.corpus.is_dir() and list(recipe.corpus.glob("*.tsv")):
        found.append(_corpus(recipe))
    folders = {
        "signs": (authored.signed, "the sign of feeling"),
        "concern": (authored.worrying, "danger"),
        "speaking": (authored.spoken, "who speaks"),
    }
    for name, (read, teaches) in folders.items():
        if recipe.repeat(name) and (recipe.corpus / name).is_dir():
            train, dev = authored.every(recipe.corpus / name, read)
            if share := recipe.identities.get(name):
                train = authored.with_identities(train, recipe.corpus / "groups", share)
            whole = authored.whole(recipe.corpus / name) if name == "signs" else []
            found.append(SplitSource(name, authored.LICENCE, teaches, train, dev, whole))
    return [with_ordinary(source) for source in found]


def with_ordinary(source: SplitSource) -> SplitSource:
    """Public texts and utterances are learners' or people's own words, and hardly ever danger.

    What the safety rules find, or whose label is grave, stays unknown: nobody has looked at it.
    """
    if source.name not in {"goemotions", "forum_urgency", "corpus"}:
        return source
    return replace(
        source,
        train=[_ordinary(e) for e in source.train],
        dev=[_ordinary(e) for e in source.dev],
    )


def _ordinary(example: Example) -> Example:
    grave = (
        example.emotions.get(Emotion.DISTRESS, 0.0) > 0 or _rules().message(example.text).findings
    )
    return replace(example, speaking=True, concern=None if grave else False)


@lru_cache(maxsize=1)
def _rules() -> Screen:
    return Screen(SafetySettings())


def _goemotions(folder: Path) -> SplitSource:
    return SplitSource(
        "goemotions",
        "CC-BY 4.0",
        "28 labels; 21 of the 41",
        list(examples.goemotions(folder / "train.tsv")),
        list(examples.goemotions(folder / "dev.tsv")),
    )


def _emobank(folder: Path) -> SplitSource:
    file = folder / "emobank.csv"
    train, dev = (list(examples.emobank(file, split)) for split in ("train", "dev"))
    return SplitSource("emobank", "CC-BY-SA 4.0", "valence, arousal, dominance", train, dev)


def _mathbuddy(folder: Path) -> SplitSource:
    train, dev = by_group(examples.mathbuddy(folder / "mathbuddy.json"))
    return SplitSource("mathbuddy", "CC-BY-SA 4.0", "boredom, engagement, neutral", train, dev)


def _empathy_distress(folder: Path) -> SplitSource:
    train, dev = by_group(examples.empathy_distress(folder / "messages.csv"))
    return SplitSource("empathy_distress", "CC-BY 4.0", "distress", train, dev)


def _forum_urgency(folder: Path) -> SplitSource:
    train, dev = by_group(examples.forum_urgency(folder / "posts.csv"))
    return SplitSource("forum_urgency", "MIT", "urgency; for the affect embedding", train, dev)


def _corpus(recipe: Recipe) -> SplitSource:
    every = examples.corpus(recipe.corpus)
    unknown = set(recipe.corpus_dev) - {e.authored for e in every}
    if unknown:
        raise examples.DataProblem(f"{recipe.corpus}: corpus_dev: no batch {min(unknown)!r}")
    train = [e for e in every if e.authored not in recipe.corpus_dev]
    dev = [e for e in every if e.authored in recipe.corpus_dev]
    return SplitSource("corpus", authored.LICENCE, "all 41", train, dev)


def by_group(rows: Iterable[tuple[str, Example]]) -> tuple[list[Example], list[Example]]:
    """Train and dev, a whole group on one side; which one depends on the group's name only."""
    train: list[Example] = []
    dev: list[Example] = []
    for group, example in rows:
        digest = hashlib.sha256(group.encode()).digest()
        side = int.from_bytes(digest[:4]) / 2**32
        (dev if side < DEV_SHARE else train).append(example)
    return train, dev

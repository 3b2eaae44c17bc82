"""Which earlier exchanges are about what the learner asks now."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from models.tutor.context.config import RecallSettings
from models.tutor.context.cutting import shortened
from models.tutor.context.material import Note
from models.tutor.moves.serving.text import words


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a learner asked once and what was answered. at: UTC milliseconds."""

    asked: str
    answered: str
    at: int


def recall(
    message: str, exchanges: Sequence[Exchange], *, now: int, settings: RecallSettings
) -> tuple[Note, ...]:
    """The exchanges most like the message, the best first; worth is likeness, faded by age.

    Likeness is the cosine of word counts weighted by rarity among these exchanges, in [0, 1].
    No model reads them: a synonym is another word. now: UTC milliseconds
    """
    bags = [Counter(words(exchange.asked)) for exchange in exchanges]
    wanted = Counter(words(message))
    rarity = _rarity([*bags, wanted])
    found = []
    for exchange, bag in zip(exchanges, bags, strict=True):
        alike = _cosine(wanted, bag, rarity)
        if alike < settings.least_likeness:
            continue
        age = max(0, now - exchange.at) / 1_000
        found.append((alike * 0.5 ** (age / settings.half_life), exchange))
    # Equal ones in the order of their time, so that the same history gives the same prompt.
    found.sort(key=lambda each: (-each[0], -each[1].at, each[1].asked))
    return tuple(
        Note(_told(exchange, settings.max_chars), min(1.0, worth))
        for worth, exchange in found[: settings.most]
    )


def _rarity(bags: Sequence[Counter[str]]) -> dict[str, float]:
    held = Counter(word for bag in bags for word in bag)
    return {word: math.log(1 + len(bags) / count) for word, count in held.items()}


def _cosine(one: Counter[str], other: Counter[str], rarity: dict[str, float]) -> float:
    def norm(bag: Counter[str]) -> float:
        return math.sqrt(sum((count * rarity[word]) ** 2 for word, count in bag.items()))

    both = norm(one) * norm(other)
    shared = sum(one[word] * other[word] * rarity[word] ** 2 for word in one.keys() & other.keys())
    return shared / both if both else 0.0


def _told(exchange: Exchange, limit: int) -> str:
    asked, answered = (shortened(text, limit) for text in (exchange.asked, exchange.answered))
    return f"asked: {asked} / answered: {answered}"

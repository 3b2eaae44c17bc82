"""Which mode: rules in the order in which they are asked, each with its reason.

Rules and not a model: no data says which mode helped whom. What teachers did in similar
dialogues (`models.tutor.moves`) is one of the signs; it says nothing of what helped either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.tutor.context.material import Occasion
from models.tutor.modes.config import ModeSettings
from models.tutor.modes.signs import Signs
from models.tutor.moves.serving.dialogue import Move
from models.words.words import Words
from schemas.vocabulary import Task

Rule = Callable[[Signs, ModeSettings, Words], tuple[Task, str] | None]


@dataclass(frozen=True, slots=True)
class ModeChoice:
    """The mode for one reply.

    rung: of the hint ladder, from 0; 0 in other modes
    because: why, and no other mode before it
    """

    mode: Task
    rung: int
    because: tuple[str, ...]


def choose(signs: Signs, settings: ModeSettings, words: Words) -> ModeChoice:
    """The first mode that something speaks for, among those offered, with why in `words`. Pure."""
    mode, why = next(
        (found for found in _spoken_for(signs, settings, words) if found[0] in settings.offered),
        (settings.usual, words.modes.usual),
    )
    if mode is not Task.SOCRATIC:
        return ModeChoice(mode, 0, (why,))
    rung, reason = rung_of(signs, settings, words)
    return ModeChoice(mode, rung, (why, reason))


def rung_of(signs: Signs, settings: ModeSettings, words: Words) -> tuple[int, str]:
    """The rung of the hint ladder, and why. The last one never before its tries."""
    rung = max(place for place, needed in enumerate(settings.ladder) if signs.tries >= needed)
    said = words.modes.tries.format(tries=signs.tries, needed=settings.tries_before_telling)
    last = len(settings.ladder) - 1
    if rung == 0 and last > 1 and signs.teachers is not None:
        lead = signs.teachers[Move.FOCUS] - signs.teachers[Move.PROBING]
        if lead >= settings.focusing_lead:
            return 1, words.modes.focusing.format(tried=said)
    return rung, said


def _spoken_for(signs: Signs, settings: ModeSettings, words: Words) -> Iterator[tuple[Task, str]]:
    for rule in (_own_choice, _feelings, _first_word, _burden, _enough_tried):
        found = rule(signs, settings, words)
        if found is not None:
            yield found


def _own_choice(signs: Signs, _: ModeSettings, words: Words) -> tuple[Task, str] | None:
    return None if signs.chosen is None else (signs.chosen, words.modes.chosen)


def _feelings(signs: Signs, settings: ModeSettings, words: Words) -> tuple[Task, str] | None:
    if signs.before is Task.ENCOURAGEMENT and signs.occasion is Occasion.MESSAGE:
        return None  # the learner answered it; more of it would not be help
    felt = min(1.0, sum(signs.emotions.get(emotion, 0.0) for emotion in settings.encouraging))
    if felt >= settings.encouraging_at:
        return Task.ENCOURAGEMENT, words.modes.feelings.format(felt=words.number(felt, ".2f"))
    if signs.pleasure is None:
        return None
    pleasure = words.number(signs.pleasure, ".2f")
    if signs.pleasure <= settings.low_pleasure:
        return Task.ENCOURAGEMENT, words.modes.pleasure.format(pleasure=pleasure)
    if signs.declining and signs.pleasure <= settings.falling_pleasure:
        return Task.ENCOURAGEMENT, words.modes.falling.format(pleasure=pleasure)
    return None


def _first_word(signs: Signs, _: ModeSettings, words: Words) -> tuple[Task, str] | None:
    if signs.occasion is Occasion.INTERVENTION:
        return Task.ENCOURAGEMENT, words.modes.not_asked
    return None


def _burden(signs: Signs, settings: ModeSettings, words: Words) -> tuple[Task, str] | None:
    if signs.before is Task.WORKED_EXAMPLE:
        return None  # after an example the own problem is next
    if signs.load is not None and signs.load >= settings.high_load:
        return Task.WORKED_EXAMPLE, words.modes.load.format(load=words.number(signs.load, ".2f"))
    if signs.readiness is not None and signs.readiness <= settings.low_readiness:
        readiness = words.number(signs.readiness, ".2f")
        return Task.WORKED_EXAMPLE, words.modes.readiness.format(readiness=readiness)
    return None


def _enough_tried(signs: Signs, settings: ModeSettings, words: Words) -> tuple[Task, str] | None:
    if signs.tries < settings.tries_before_telling:
        return None
    if signs.fatigue is not None and signs.fatigue >= settings.tired_at:
        fatigue = words.number(signs.fatigue, ".2f")
        return Task.DIRECT, words.modes.tired.format(tries=signs.tries, fatigue=fatigue)
    telling = signs.teachers[Move.TELLING] if signs.teachers else 0.0
    if telling >= settings.telling_at:
        share = words.number(telling, ".2f")
        return Task.DIRECT, words.modes.telling.format(tries=signs.tries, telling=share)
    return None

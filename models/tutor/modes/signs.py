"""What a mode is chosen from, gathered from the state, the message and the conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.tutor.context.material import Occasion, Said
from models.tutor.modes.config import ModeSettings
from models.tutor.modes.problem import current_problem, tries
from models.tutor.moves.serving.artefact import shipped
from models.tutor.moves.serving.dialogue import Context, Move, Turn
from schemas.topics.emotions import Emotion
from schemas.topics.state import Estimate, Source, Trajectory, UserState
from schemas.vocabulary import Mood, Task


@dataclass(frozen=True, slots=True)
class Signs:
    """Everything that speaks for or against a mode; None: not known well enough.

    chosen: the learner's own setting
    before: mode of the tutor's last reply
    tries: of the current problem, >= 0
    pleasure, load, readiness, fatigue: in [0, 1]
    emotions: read in the message, else the state's mix
    teachers: how likely each move is next, of teachers in dialogues like this one
    """

    occasion: Occasion = Occasion.MESSAGE
    chosen: Task | None = None
    before: Task | None = None
    tries: int = 0
    pleasure: float | None = None
    load: float | None = None
    readiness: float | None = None
    fatigue: float | None = None
    declining: bool = False
    emotions: Mapping[Emotion, float] = field(default_factory=dict)
    teachers: Mapping[Move, float] | None = None


def signs(
    state: UserState | None,
    turns: Sequence[Said],
    settings: ModeSettings,
    *,
    occasion: Occasion = Occasion.MESSAGE,
    reading: Mapping[Emotion, float] | None = None,
    chosen: Task | None = None,
    before: Task | None = None,
) -> Signs:
    """The signs before the tutor's next turn.

    turns: oldest first, with the message to answer
    reading: emotions in that message; None while it is not read

    Raises models.tutor.moves' ArtefactProblem where the packaged artefact cannot be read.
    """
    problem, _ = current_problem(turns, settings.problem_words)
    said = tuple(Turn(turn.speaker, turn.text) for turn in turns)
    behaviour = state.behaviour if state else None
    readiness = state.readiness if state else None
    ready = (
        readiness is not None
        and readiness.source is not Source.PRIOR
        and readiness.confidence >= settings.least_confidence
    )
    return Signs(
        occasion=occasion,
        chosen=chosen,
        before=before,
        tries=tries(turns, settings),
        pleasure=_known(state.valence if state else None, settings),
        load=_known(behaviour.cognitive_load if behaviour else None, settings),
        readiness=readiness.score if ready and readiness else None,
        fatigue=_known(behaviour.fatigue if behaviour else None, settings),
        declining=state is not None and state.trajectory.call is Trajectory.DECLINING,
        emotions=reading if reading is not None else (state.emotions if state else {}),
        teachers=shipped().probabilities(Context(said, problem)) if turns else None,
    )


def mood_of(state: UserState | None, settings: ModeSettings) -> Mood:
    """The mood as coarse as a choice of provider and layers can use."""
    pleasure = _known(state.valence if state else None, settings)
    if pleasure is None:
        return Mood.UNKNOWN
    if pleasure < settings.low_mood:
        return Mood.NEGATIVE
    return Mood.POSITIVE if pleasure > settings.high_mood else Mood.NEUTRAL


def _known(estimate: Estimate | None, settings: ModeSettings) -> float | None:
    if estimate is None or estimate.source is Source.PRIOR:
        return None
    return estimate.value if estimate.confidence >= settings.least_confidence else None

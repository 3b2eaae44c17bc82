"""Which mode: the first rule that speaks; the ladder never tells before its tries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tutor.context.material import Occasion, Said
from models.tutor.modes.choice import choose, rung_of
from models.tutor.modes.config import MODES, ModeSettings
from models.tutor.modes.problem import is_a_try, states_a_problem, tries
from models.tutor.modes.signs import Signs, mood_of, signs
from models.tutor.moves.serving.dialogue import Move
from models.words.words import languages, load
from schemas.topics.emotions import Emotion
from schemas.topics.state import Source, Trajectory, TrajectoryCall
from schemas.vocabulary import Mood, Speaker, Task
from tests.models.tutor.context.test_notes import BEHAVIOUR, estimate, state

SETTINGS = ModeSettings()
WORDS = load()
LAST = len(SETTINGS.ladder) - 1


def teachers(**probabilities: float) -> dict[Move, float]:
    return {move: probabilities.get(move.value, 0.0) for move in Move}


@pytest.mark.parametrize(
    ("found", "mode", "why"),
    [
        (Signs(), Task.SOCRATIC, "nothing speaks"),
        (Signs(chosen=Task.DIRECT, pleasure=0.1), Task.DIRECT, "chose"),
        (Signs(emotions={Emotion.SADNESS: 0.4, Emotion.SHAME: 0.3}), Task.ENCOURAGEMENT, "0.70"),
        (Signs(emotions={Emotion.SADNESS: 0.4, Emotion.JOY: 0.6}), Task.SOCRATIC, "nothing"),
        (Signs(pleasure=0.25), Task.ENCOURAGEMENT, "pleasure is 0.25"),
        (Signs(pleasure=0.35), Task.SOCRATIC, "nothing"),
        (Signs(pleasure=0.35, declining=True), Task.ENCOURAGEMENT, "declining"),
        (Signs(pleasure=0.1, before=Task.ENCOURAGEMENT), Task.SOCRATIC, "nothing"),
        (Signs(occasion=Occasion.INTERVENTION), Task.ENCOURAGEMENT, "not asked"),
        (Signs(load=0.75), Task.WORKED_EXAMPLE, "load is 0.75"),
        (Signs(load=0.74), Task.SOCRATIC, "nothing"),
        (Signs(readiness=0.3), Task.WORKED_EXAMPLE, "readiness is 0.30"),
        (Signs(load=0.9, before=Task.WORKED_EXAMPLE), Task.SOCRATIC, "nothing"),
        (Signs(tries=6, fatigue=0.8), Task.DIRECT, "fatigue"),
        (Signs(tries=5, fatigue=0.8), Task.SOCRATIC, "nothing"),
        (Signs(tries=6, teachers=teachers(telling=0.6)), Task.DIRECT, "teachers tell"),
        (Signs(tries=6, teachers=teachers(telling=0.4)), Task.SOCRATIC, "nothing"),
    ],
)
def test_the_first_rule_that_speaks_decides(found, mode, why):
    choice = choose(found, SETTINGS, WORDS)

    assert choice.mode is mode
    assert why in " ".join(choice.because)


def test_a_mode_that_is_not_offered_is_not_used_even_if_chosen():
    settings = ModeSettings(offered=(Task.SOCRATIC, Task.ENCOURAGEMENT))

    assert choose(Signs(chosen=Task.DIRECT), settings, WORDS).mode is Task.SOCRATIC
    assert choose(Signs(load=1.0), settings, WORDS).mode is Task.SOCRATIC


UNIT = st.floats(0, 1)
TEACHERS = st.none() | st.builds(teachers, focus=UNIT, probing=UNIT, telling=UNIT, generic=UNIT)
SIGNS = st.builds(
    Signs,
    occasion=st.sampled_from(Occasion),
    chosen=st.none() | st.sampled_from(MODES),
    before=st.none() | st.sampled_from(MODES),
    tries=st.integers(0, 12),
    pleasure=st.none() | UNIT,
    load=st.none() | UNIT,
    readiness=st.none() | UNIT,
    fatigue=st.none() | UNIT,
    declining=st.booleans(),
    emotions=st.dictionaries(st.sampled_from(Emotion), UNIT),
    teachers=TEACHERS,
)


@given(SIGNS)
def test_the_socratic_mode_never_tells_before_its_tries(found):
    choice = choose(found, SETTINGS, WORDS)

    assert choice == choose(found, SETTINGS, WORDS)
    assert choice.because
    assert 0 <= choice.rung <= LAST
    if choice.rung == LAST:
        assert found.tries >= SETTINGS.tries_before_telling
    if choice.mode is Task.DIRECT and found.chosen is not Task.DIRECT:
        assert found.tries >= SETTINGS.tries_before_telling
    if choice.mode is not Task.SOCRATIC:
        assert choice.rung == 0


@given(st.lists(st.integers(0, 20), min_size=2, max_size=2).map(sorted), TEACHERS)
def test_more_tries_never_lead_down_the_ladder(two, said):
    fewer, more = (rung_of(Signs(tries=each, teachers=said), SETTINGS, WORDS)[0] for each in two)

    assert fewer <= more


def test_teachers_who_focus_skip_the_first_rung():
    focused = Signs(teachers=teachers(focus=0.7, probing=0.2))

    assert rung_of(focused, SETTINGS, WORDS)[0] == 1
    assert rung_of(focused, ModeSettings(ladder=(0, 3)), WORDS)[0] == 0


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"ladder": (0, 2, 2)}, "more tries"),
        ({"ladder": (1, 2)}, "0 tries"),
        ({"usual": Task.SUMMARY}, "no mode"),
        ({"offered": (Task.DIRECT,)}, "one of modes.offered"),
        ({"low_mood": 0.7}, "low_mood"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed, says):
    with pytest.raises(ValueError, match=says):
        ModeSettings(**changed)


PROBLEM = "3 bags hold 4 apples each and 2 are rotten. How many good apples are there in all?"


def dialogue(*texts: str) -> tuple[Said, ...]:
    speakers = (Speaker.STUDENT, Speaker.TEACHER)
    return tuple(Said(speakers[at % 2], text, at) for at, text in enumerate(texts))


@pytest.mark.parametrize(
    ("text", "tried"),
    [
        ("I think 7", True),
        ("because the bags are full", True),
        ("I don't know", False),
        ("can you help me with that", False),
        ("what is a denominator?", False),
        ("ok", False),
        ("is it 12?", True),
    ],
)
def test_what_a_try_is(text, tried):
    assert is_a_try(text, SETTINGS) is tried


def test_what_says_that_a_learner_is_unsure_is_a_setting_for_each_language():
    german = ModeSettings(unsure=("weiß nicht",))

    assert is_a_try("das Weiß nicht so recht ich", SETTINGS)
    assert not is_a_try("das Weiß nicht so recht ich", german)
    assert is_a_try("you could help me a lot", german)
    assert not is_a_try("I don\u2019t know any of it", SETTINGS)


def test_tries_count_since_the_problem_was_stated():
    def counted(*texts: str) -> int:
        return tries(dialogue(*texts), ModeSettings(try_words=4, problem_words=12))

    assert counted() == 0
    assert counted(PROBLEM) == 0
    assert counted("is 7 right?", "What do you think?") == 0
    assert counted(PROBLEM, "What first?", "add 3 and 4") == 1
    assert counted(PROBLEM, "What first?", "add 3 and 4", "No.", "no idea") == 1
    assert counted("is it 3", "Why?", "it is 4", "Why?", PROBLEM, "Well?", "12") == 1
    assert states_a_problem(PROBLEM, 12)
    assert not states_a_problem("is it 3? or 4", 12)


def test_signs_of_a_state():
    low = BEHAVIOUR.model_copy(update={"fatigue": estimate(0.9, confidence=0.1)})
    found = signs(state(behaviour=low), dialogue(PROBLEM), SETTINGS, chosen=Task.DIRECT)

    assert found.chosen is Task.DIRECT
    assert (found.pleasure, found.load) == (0.3, 0.7)
    assert found.declining
    assert found.fatigue is None  # hardly known
    assert found.readiness is None
    assert found.emotions[Emotion.SADNESS] == 0.5
    assert found.teachers is not None
    assert sum(found.teachers.values()) == pytest.approx(1)


def test_the_message_s_own_reading_counts_before_the_state_s():
    found = signs(state(), dialogue(PROBLEM), SETTINGS, reading={Emotion.JOY: 0.9})

    assert found.emotions == {Emotion.JOY: 0.9}
    assert choose(found, SETTINGS, WORDS).mode is Task.ENCOURAGEMENT  # by the declining pleasure
    steady = state(trajectory=TrajectoryCall(call=Trajectory.STABLE_NEUTRAL, points=9))
    happy = signs(steady, dialogue(PROBLEM), SETTINGS, reading={Emotion.JOY: 0.9})
    assert choose(happy, SETTINGS, WORDS).mode is Task.SOCRATIC


def test_without_a_state_there_are_only_words():
    found = signs(None, (), SETTINGS, occasion=Occasion.INTERVENTION)

    assert (found.pleasure, found.load, found.teachers, found.tries) == (None, None, None, 0)


@pytest.mark.parametrize(
    ("value", "mood"),
    [(0.39, Mood.NEGATIVE), (0.4, Mood.NEUTRAL), (0.6, Mood.NEUTRAL), (0.61, Mood.POSITIVE)],
)
def test_mood(value, mood):
    assert mood_of(state(valence=estimate(value)), SETTINGS) is mood


def test_a_mood_that_is_not_known_is_unknown():
    assert mood_of(None, SETTINGS) is Mood.UNKNOWN
    for unknown in (estimate(0.1, 0.1), estimate(0.1, source=Source.PRIOR)):
        assert mood_of(state(valence=unknown), SETTINGS) is Mood.UNKNOWN


@pytest.mark.parametrize(
    ("found", "because"),
    [
        (Signs(), "nichts spricht für eine andere Art der Hilfe"),
        (Signs(chosen=Task.DIRECT), "selbst so gewählt"),
        (Signs(emotions={Emotion.SADNESS: 0.7}), "belastende Gefühle wurden erkannt: 0,70"),
        (Signs(pleasure=0.35, declining=True), "die Stimmung liegt bei 0,35 und sinkt"),
        (Signs(tries=6, fatigue=0.8), "Versuche bisher: 6, und die Ermüdung liegt bei 0,80"),
    ],
)
def test_a_mode_says_why_in_the_deployments_language(found: Signs, because: str) -> None:
    assert choose(found, SETTINGS, load("de")).because[0] == because


@given(SIGNS, st.sampled_from(languages()))
def test_the_language_chooses_no_mode(found: Signs, language: str) -> None:
    choice, other = choose(found, SETTINGS, WORDS), choose(found, SETTINGS, load(language))
    assert (choice.mode, choice.rung, len(choice.because)) == (
        other.mode,
        other.rung,
        len(other.because),
    )
    assert all(why and "{" not in why for why in other.because)

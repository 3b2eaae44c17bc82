"""The running summary: quotes what matters, stays short, takes turns in once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from models.tutor.context.config import ContextSettings, SummarySettings
from models.tutor.context.material import Compressor, Role, Said, Summary
from models.tutor.context.summary import by_model_answer, by_model_request, compress
from models.tutor.context.tokens import counter
from models.tutor.prompts.templates import load
from schemas.vocabulary import Speaker

COUNT = counter(ContextSettings().tokenizer, 1.25)
SETTINGS = SummarySettings()
PROBLEM = "3 bags hold 4 apples each and 2 are rotten. How many good apples are there in all?"


def turns(*said: tuple[str, str], first: int = 1) -> list[Said]:
    speakers = {"s": Speaker.STUDENT, "t": Speaker.TEACHER}
    return [Said(speakers[who], text, first + at) for at, (who, text) in enumerate(said)]


LESSON = turns(
    ("s", PROBLEM),
    ("t", "What do you think comes first?"),
    ("s", "I add 3 and 4, that is 7."),
    ("t", "Not quite. What does each bag hold?"),
    ("s", "Oh, 3 times 4 is 12."),
    ("t", "Exactly! And how many of them are good?"),
)


def lines(summary: Summary | None) -> list[str]:
    assert summary is not None
    return summary.text.splitlines()


def test_what_matters_is_quoted():
    assert lines(compress(None, LESSON, SETTINGS, COUNT)) == [
        f"problem: {PROBLEM}",
        "progress: Oh, 3 times 4 is 12.",
        "open: And how many of them are good?",
    ]


def test_the_last_mistake_stands_until_it_is_put_right():
    assert "mistake: I add 3 and 4, that is 7." in lines(
        compress(None, LESSON[:4], SETTINGS, COUNT)
    )


def test_in_parts_as_at_once():
    whole = compress(None, LESSON, SETTINGS, COUNT)
    first = compress(None, LESSON[:2], SETTINGS, COUNT)
    both = compress(first, LESSON[2:], SETTINGS, COUNT)

    assert both == whole
    assert (whole.turns, whole.through, whole.by) == (6, 6, Compressor.EXTRACTIVE)
    assert (whole.since, both.since) == (1, 1), "of the oldest turn in it"


def test_turns_that_are_in_it_change_nothing():
    summary = compress(None, LESSON, SETTINGS, COUNT)

    assert compress(summary, LESSON, SETTINGS, COUNT) == summary
    assert compress(summary, [], SETTINGS, COUNT) == summary
    assert compress(None, [], SETTINGS, COUNT) is None


def test_a_new_problem_takes_the_place_of_the_old_one():
    new = "Now 5 boxes hold 6 pens each and 4 are lost. How many pens are left over then?"
    found = lines(compress(None, [*LESSON, *turns(("s", new), first=10)], SETTINGS, COUNT))

    assert found == [f"problem: {new}"]


WORDS = st.text(max_size=300) | st.sampled_from([turn.text for turn in LESSON])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("st"), WORDS), max_size=30), st.integers(50, 200))
def test_it_never_grows_beyond_its_bound(said, bound):
    config = SummarySettings(max_tokens=bound)
    summary = None
    for turn in turns(*said):
        summary = compress(summary, [turn], config, COUNT)
        assert summary is not None
        assert COUNT(summary.text) <= bound
        assert summary.through == turn.at
    assert summary is None or summary.turns == len(said)


def test_when_there_is_no_room_the_problem_stays_longest():
    config = SummarySettings(max_tokens=50)

    found = lines(compress(None, LESSON, config, COUNT))

    assert found[0].startswith("problem: 3 bags hold")


def test_a_models_summary_takes_its_place_where_it_can_be_used():
    extractive = compress(None, LESSON, SETTINGS, COUNT)

    taken = by_model_answer(" Apples: 12 so far. ", extractive, SETTINGS, COUNT)
    assert (taken.text, taken.by) == ("Apples: 12 so far.", Compressor.MODEL)
    assert (taken.through, taken.turns) == (extractive.through, extractive.turns)

    assert by_model_answer("  ", extractive, SETTINGS, COUNT) == extractive
    assert by_model_answer("long " * 999, extractive, SETTINGS, COUNT) == extractive


def test_a_models_summary_is_carried_on():
    extractive = compress(None, LESSON, SETTINGS, COUNT)
    model = by_model_answer("Apples:\n12 so far.", extractive, SETTINGS, COUNT)

    later = compress(model, turns(("s", "I think 10"), first=20), SETTINGS, COUNT)

    assert lines(later)[0] == "before: Apples: 12 so far."
    assert later.by is Compressor.EXTRACTIVE


def test_a_model_is_asked_for_what_is_new_beside_what_was():
    summary = compress(None, LESSON[:4], SETTINGS, COUNT)

    system, user = by_model_request(summary, LESSON, SETTINGS, load())

    assert (system.role, user.role) == (Role.SYSTEM, Role.USER)
    assert f"{SETTINGS.words} words" in system.text
    assert user.text.count("<learner>") == 1
    assert user.text.count("<tutor>") == 1
    assert "mistake: I add 3 and 4" in user.text

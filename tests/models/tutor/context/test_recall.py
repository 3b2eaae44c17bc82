"""Earlier exchanges come back when they are about the same thing."""

from hypothesis import given
from hypothesis import strategies as st

from models.tutor.context.config import RecallSettings
from models.tutor.context.cutting import cut_to, shortened
from models.tutor.context.recall import Exchange, recall

SETTINGS = RecallSettings()
DAY = 86_400_000
APPLES = Exchange("how do i add fractions with different denominators", "Find a common one.", 0)
ROME = Exchange("when did the roman empire fall", "In 476, in the west.", 0)
PENS = Exchange("is a denominator the same as a divisor", "Nearly.", 0)


def test_the_one_about_the_same_thing_comes_back():
    found = recall(
        "adding fractions: which denominators?", [ROME, APPLES], now=1, settings=SETTINGS
    )

    assert [note.text for note in found] == [
        "asked: how do i add fractions with different denominators / answered: Find a common one."
    ]


def test_nothing_comes_back_for_something_else():
    assert recall("photosynthesis", [ROME, APPLES, PENS], now=1, settings=SETTINGS) == ()
    assert recall("", [ROME], now=1, settings=SETTINGS) == ()
    assert recall("rome", [], now=1, settings=SETTINGS) == ()


def test_newer_ones_come_first_among_equals():
    old, new = Exchange("add fractions", "old", 0), Exchange("add fractions", "new", 30 * DAY)

    found = recall("add fractions", [old, new], now=30 * DAY, settings=SETTINGS)

    assert ["new" in note.text for note in found] == [True, False]
    assert found[0].worth > found[1].worth


EXCHANGES = st.lists(
    st.builds(Exchange, st.text(max_size=60), st.text(max_size=60), st.integers(0, 10**12)),
    max_size=8,
)


@given(st.text(max_size=60), EXCHANGES, st.integers(0, 10**12))
def test_worth_is_a_share_and_order_of_telling_does_not_matter(message, exchanges, now):
    found = recall(message, exchanges, now=now, settings=SETTINGS)

    assert len(found) <= SETTINGS.most
    assert all(0 <= note.worth <= 1 for note in found)
    assert [note.worth for note in found] == sorted((n.worth for n in found), reverse=True)
    again = recall(message, exchanges[::-1], now=now, settings=SETTINGS)
    assert [note.worth for note in again] == [note.worth for note in found]


@given(st.text(max_size=100), st.integers(1, 120))
def test_shortened_is_a_line_within_its_limit(text, limit):
    short = shortened(text, limit)

    assert len(short) <= limit
    assert "\n" not in short


@given(st.text(min_size=1, max_size=300), st.integers(0, 300))
def test_a_cut_text_fits_or_there_is_none(text, limit):
    found = cut_to(text, lambda each: len(each) <= limit)

    if found is not None:
        assert len(found) <= limit
        assert "characters left out" in found
    else:
        assert limit < 60

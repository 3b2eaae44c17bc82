"""However a text is made, reading it ends, costs what its length costs, and hides nothing.

What went wrong here went on for ever: the tests that guard against it are cut off by a time box,
which says nothing of how fast anything is.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tutor.safety import normalise as plain_text
from models.tutor.safety.config import SafetySettings
from models.tutor.safety.lexicon import load
from models.tutor.safety.normalise import Sentence, portions, sentences
from models.tutor.safety.screening import ReplyWatch, Screen

LEXICON = load()
SCREEN = Screen(SafetySettings())
CRISIS = "i want to kill myself"
LONGEST, OVERLAP = plain_text._LONGEST, plain_text._OVERLAP
STEP = LONGEST - 2 * OVERLAP

pytestmark = pytest.mark.timeout(60)

UP, DOWN = range(1, 101), range(100, 0, -1)
SUMS = f"is {'+'.join(map(str, UP))} the same as {'+'.join(map(str, DOWN))} or not"
ORDINARY = [
    SUMS,
    " ".join("10" * 150 for _ in range(3)),
    f"{'1' * 300} {'1' * 300} x",
    "1" * 700,
    "+" * 700,
    "9" * 600 + " = x",
]
runs = st.tuples(st.sampled_from("0178+-*/=.,!$|@ \n abxz"), st.integers(1, 900)).map(
    lambda run: run[0] * run[1]
)
words = st.text("0123456789+*- abxz", max_size=60)
texts = st.lists(runs | words, max_size=12).map("".join)


@pytest.mark.parametrize("text", ORDINARY)
def test_long_figures_are_read_to_their_end(text):
    assert not SCREEN.message(text).alarm
    assert SCREEN.message(f"{text} {CRISIS}").alarm
    assert SCREEN.message(f"{CRISIS} {text}").alarm
    assert SCREEN.message(f"{text} {CRISIS} {text}").alarm


@given(texts)
def test_any_text_is_read_in_a_bounded_number_of_bounded_portions(text):
    read = sentences(text, LEXICON)

    assert all(0 < len(each.text) <= LONGEST for each in read)
    ends = len(plain_text.SENTENCE_END.findall(text))
    # Twice: a line that may go on is read by itself, and with what it goes on with.
    assert len(read) <= 2 * (ends + 1 + len(text) // STEP)
    for each in read:
        assert each.clauses[0] == 0
        assert list(each.clauses) == sorted(set(each.clauses))


@given(texts)
def test_no_digits_or_signs_beside_it_hide_a_cry_for_help(text):
    assert SCREEN.message(f"{text} {CRISIS}").alarm
    assert SCREEN.message(f"{CRISIS} {text}").alarm


@given(st.lists(st.integers(1, 2 * LONGEST), min_size=1, max_size=8), st.data())
def test_portions_hold_every_character_and_overlap(lengths, data):
    """Also where no blank is near: nothing here relies on how long a word can be."""
    text = " ".join("x" * length for length in lengths)
    starts = data.draw(st.sets(st.integers(1, len(text)), max_size=20))
    parts = list(portions(Sentence(text, (0, *sorted(starts)))))

    assert len(parts) <= 1 + len(text) // STEP
    assert all(0 < len(each.text) <= LONGEST for each in parts)
    assert parts[0].text == text[: len(parts[0].text)]
    assert parts[-1].text == text[len(text) - len(parts[-1].text) :]
    assert sum(len(each.text) for each in parts) <= len(text) + OVERLAP * (len(parts) - 1)
    assert sum(each.text.count("x") for each in parts) >= text.count("x")


@pytest.mark.parametrize("length", [LONGEST - 1, LONGEST, LONGEST + 1, 3 * LONGEST])
def test_a_portion_says_where_its_clauses_begin(length):
    text = "".join("zz " if at % 10 == 0 else "ab " for at in range(length // 3)).rstrip()
    starts = (0, *range(30, len(text), 30))

    for part in portions(Sentence(text, starts)):
        begun = [at for at in range(1, len(part.text)) if part.text.startswith("zz", at)]
        assert part.clauses == (0, *begun)


@pytest.mark.parametrize(
    "text",
    [
        "." * 60_000 + "x",  # signs that end a sentence, and do not
        ";\n." * 20_000 + "x",
        "a," * 30_000,  # as many clauses as words
        " -" * 30_000 + "x",
        "\u2014" * 60_000,
        "1" * 60_000,
        "1+" * 30_000,
        "k*ll " * 12_000,
        "a b " * 15_000,
        "a\n" * 30_000,  # as many sentences that go on as lines
        "..." * 20_000,
        ". " * 30_000,
        "<b>x</b> " * 7_000,
        "&amp;" * 12_000,
    ],
)
def test_no_signs_take_the_square_of_their_number(text):
    assert SCREEN.message(f"{CRISIS}, {text}").alarm
    SCREEN.reply(text)


def test_a_negation_without_end_is_read_once():
    """It was read in two ways at each repetition: twice the time for every three words."""
    endless = "i do not" + " feel like i" * 40

    assert SCREEN.message(f"{endless} so kill myself").alarm
    assert not SCREEN.message("i do not feel like i want to kill myself").alarm


@pytest.mark.parametrize("size", [4, 5_000])
def test_figures_without_end_in_a_reply_hide_nothing(size):
    told = f"So {'1+' * 2_000}1 is the sum {'10' * 300} and you should kill yourself. Next, then. "
    watch = ReplyWatch(SCREEN)

    assert any(watch.add(told[at : at + size]) for at in range(0, len(told), size))


def test_what_stands_before_figures_without_end_is_in_the_reply_once():
    watch = ReplyWatch(SCREEN)
    for _ in range(50):
        assert watch.add(f"{'1' * 300} ") is None

    assert len(watch._sentence.text) <= LONGEST + 300

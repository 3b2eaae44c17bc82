"""The packaged model, as the choice of a mode asks it."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given

from models.tutor.moves.serving.artefact import SHIPPED, load_card, shipped
from models.tutor.moves.serving.dialogue import MOVES, Context, Move, Turn
from schemas.vocabulary import Speaker

from .test_features import CONTEXTS

ROOT = Path(__file__).resolve().parents[5]
TEACHER, STUDENT = Speaker.TEACHER, Speaker.STUDENT
STUCK = Context(
    turns=(
        Turn(TEACHER, "Hi! Can you walk me through your solution?"),
        Turn(STUDENT, "I added 3 and 4, so the answer is 7."),
        Turn(TEACHER, "How many apples are in each bag?"),
        Turn(STUDENT, "There are 3 bags, so the answer is 7."),
    ),
    question="3 bags hold 4 apples each. How many apples?",
)


def after(context: Context, said: str) -> Context:
    return Context((*context.turns[:-1], Turn(STUDENT, said)), context.question)


def likeliest(context: Context) -> Move:
    found = shipped().probabilities(context)
    return max(found, key=found.__getitem__)


@given(CONTEXTS)
def test_it_says_a_distribution_that_depends_on_nothing_else(context):
    found = shipped().probabilities(context)

    assert list(found) == list(MOVES)
    assert sum(found.values()) == pytest.approx(1)
    assert shipped().probabilities(context) == found


def test_a_dialogue_begins_with_a_greeting():
    assert likeliest(Context(question=STUCK.question)) is Move.GENERIC


def test_who_found_the_answer_is_praised_and_who_did_not_is_guided():
    found = after(STUCK, "Oh, I see! 3 * 4 = 12, so the answer is 12.")
    solved, stuck = (shipped().probabilities(context) for context in (found, STUCK))

    assert likeliest(STUCK) in {Move.FOCUS, Move.PROBING}
    assert solved[Move.GENERIC] > 2 * stuck[Move.GENERIC]


def test_telling_becomes_likelier_the_longer_a_student_is_stuck():
    longer = Context(STUCK.turns + STUCK.turns[2:] * 4, STUCK.question)

    now, later = shipped().probabilities(STUCK), shipped().probabilities(longer)
    assert later[Move.TELLING] > now[Move.TELLING]


def test_the_card_says_that_the_aim_was_met_on_problems_left_out():
    measured = load_card(SHIPPED).measured

    assert measured.gain >= 0.10
    assert measured.gain_interval[0] > 0.10
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 2_000_000


def test_serving_needs_neither_torch_nor_scipy():
    program = (
        "import sys; from models.tutor.moves.serving.artefact import shipped;"
        "from models.tutor.moves.serving.dialogue import Context;"
        "shipped().probabilities(Context());"
        "print({'torch', 'scipy', 'transformers', 'sklearn'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == ("set()", "")

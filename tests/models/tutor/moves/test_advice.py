"""The packaged model through the function that serves."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given

from models.tutor.moves.advice import next_move
from models.tutor.moves.artefact import SHIPPED, load_card
from models.tutor.moves.dialogue import MOVES, STRATEGIES, Context, Move, Speaker, Turn
from models.tutor.moves.model import Evidence

from .test_features import CONTEXTS

ROOT = Path(__file__).resolve().parents[4]
TEACHER, STUDENT = Speaker.TEACHER, Speaker.STUDENT
STUCK = Context(
    turns=(
        Turn(TEACHER, "Hi! Can you walk me through your solution?", Move.GENERIC),
        Turn(STUDENT, "I added 3 and 4, so the answer is 7."),
        Turn(TEACHER, "How many apples are in each bag?", Move.FOCUS),
        Turn(STUDENT, "There are 3 bags, so the answer is 7."),
    ),
    question="3 bags hold 4 apples each. How many apples?",
    attempt="3 + 4 = 7\n 7",
    reference="3 * 4 = 12\n 12",
)


def after(context: Context, said: str) -> Context:
    turns = (*context.turns[:-1], Turn(STUDENT, said))
    return Context(turns, context.question, context.attempt, context.reference)


@given(CONTEXTS)
def test_advice_is_a_distribution_and_depends_on_nothing_else(context):
    advice = next_move(context)

    assert list(advice.probabilities) == list(MOVES)
    assert list(advice.strategies) == list(STRATEGIES)
    assert sum(advice.probabilities.values()) == pytest.approx(1)
    assert sum(advice.strategies.values()) == pytest.approx(1)
    assert advice.probabilities[advice.move] == max(advice.probabilities.values())
    assert next_move(context) == advice


def test_a_dialogue_begins_with_a_greeting():
    assert next_move(Context(question=STUCK.question)).move is Move.GENERIC


def test_who_found_the_answer_is_praised_and_who_did_not_is_guided():
    solved = next_move(after(STUCK, "Oh, I see! 3 * 4 = 12, so the answer is 12."))
    stuck = next_move(STUCK)

    assert solved.move is Move.GENERIC
    assert stuck.move in {Move.FOCUS, Move.PROBING}
    assert solved.probabilities[Move.GENERIC] > 2 * stuck.probabilities[Move.GENERIC]


def test_telling_becomes_likelier_the_longer_a_student_is_stuck():
    longer = Context(
        STUCK.turns + STUCK.turns[2:] * 4, STUCK.question, STUCK.attempt, STUCK.reference
    )

    now, later = next_move(STUCK), next_move(longer)
    assert later.probabilities[Move.TELLING] > now.probabilities[Move.TELLING]


def test_less_evidence_takes_another_head():
    bare = Context(turns=tuple(Turn(t.speaker, t.text) for t in STUCK.turns))

    assert next_move(STUCK).evidence is Evidence.TAGGED_REFERENCE
    assert next_move(bare).evidence is Evidence.UNTAGGED


def test_the_card_says_that_the_aim_was_met_on_problems_left_out():
    card = load_card(SHIPPED)

    for evidence, measured in card.measured.items():
        assert measured.gain >= 0.10, evidence
        assert measured.gain_interval[0] > 0.10, evidence
    assert card.strategies_agreement is not None
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 2_000_000


def test_serving_needs_neither_torch_nor_scipy():
    program = (
        "import sys; from models.tutor.moves.advice import next_move;"
        "from models.tutor.moves.dialogue import Context; next_move(Context());"
        "print({'torch', 'scipy', 'transformers', 'sklearn'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == ("set()", "")

"""Counting: never fewer than a tokenizer says, and what it cannot see is counted apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from models.tutor.context.config import ContextSettings
from models.tutor.context.tokens import TokenizerProblem, counter

NAME = ContextSettings().tokenizer
COUNT = counter(NAME)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("hello world", 2),
        ("hello\nworld", 3),
        ("hello\n\n\nworld", 5),
        ("if x:\n        y", 7),  # if x : y, a line end, indentation by fours
        ("\U0001f9ff", 4),  # not in the vocabulary: its bytes
    ],
)
def test_counts(text, tokens):
    assert COUNT(text) == tokens


def test_a_word_that_nobody_knows_is_not_one_token():
    assert COUNT("q" * 5_000) == 5_000


@given(st.text(max_size=300), st.floats(1, 3))
def test_a_margin_only_adds(text, margin):
    assert COUNT(text) <= counter(NAME, margin)(text) <= COUNT(text) * margin + 1


@given(st.text(max_size=200), st.text(max_size=200))
def test_lines_together_cost_no_more_than_alone(one, other):
    assert COUNT(f"{one}\n{other}") <= COUNT(one) + COUNT(other) + 1


def test_a_models_own_tokenizer_counts_exactly(tmp_path):
    letters = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))

    for name in (str(path), str(tmp_path)):
        count = counter(name)
        assert count("ab\n\n    c") == 9
        assert count("\u00e9") == 2


@pytest.mark.parametrize("name", ["nowhere/at/all", "json", "no_such_package_here"])
def test_a_name_without_a_tokenizer_is_named(name):
    with pytest.raises(TokenizerProblem, match=name):
        counter(name)


def test_a_file_that_is_no_tokenizer_is_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(TokenizerProblem, match="no tokenizer"):
        counter(str(path))

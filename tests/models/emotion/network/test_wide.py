"""The wide part: hashing, and what a linear model on words and pairs can and must not do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.emotion.artefact.artefact import Artefact
from models.emotion.artefact.card import Shape
from models.emotion.network.encoders import pad
from models.emotion.network.storing import network_of
from models.emotion.network.wide import Wide, grams
from models.emotion.network.wide_table import WideTable, buckets_of
from models.emotion.training.recipe import WidePart
from models.emotion.training.widening import fit_wide, gram_counts

BUCKETS = 1 << 10
HOW = WidePart(inverse_penalty=1.0, weight=0.5, least_texts=2)


def tokens_of(text: str) -> list[int]:
    """Ids as a tokeniser gives them: one for each word, between two that begin and end."""
    return [101, *(1_000 + sum(word.encode()) for word in text.split()), 102]


@given(st.lists(st.lists(st.integers(0, 40_000), min_size=2, max_size=12), min_size=1, max_size=6))
def test_a_text_has_its_pieces_and_pairs_whatever_lies_beside_it(texts: list[list[int]]) -> None:
    together = grams(*pad(texts, 0), BUCKETS)
    assert int(together.min()) >= 0
    for text, row in zip(texts, together, strict=True):
        alone = grams(*pad([text], 0), BUCKETS)[0]
        assert len(alone) == 2 * len(text) - 1
        assert sorted(row[row != BUCKETS].tolist()) == sorted(alone.tolist())


@given(st.lists(st.integers(0, 40_000), min_size=2, max_size=12))
def test_numpy_and_torch_find_the_same_buckets(text: list[int]) -> None:
    by_torch = grams(*pad([text], 0), BUCKETS)[0]
    assert buckets_of(np.array(text, dtype=np.int64), BUCKETS).tolist() == by_torch.tolist()


def test_the_shipped_table_adds_what_the_shipped_network_does(artefact: Artefact) -> None:
    wide, table = network_of(artefact).wide, WideTable(artefact)
    assert wide is not None
    for text in ("thank you so much", "i do not get it at all", "ok"):
        ids = tokens_of(text)
        with torch.inference_mode():
            expected = wide(*pad([ids], 0))[0]
        np.testing.assert_allclose(table(np.array(ids, dtype=np.int64)), expected, atol=1e-5)


def test_order_makes_other_pairs_but_the_same_pieces() -> None:
    one, other = ([5, 6, 7], [7, 6, 5])
    first, second = (grams(*pad([ids], 0), 1 << 20)[0].tolist() for ids in (one, other))
    assert sorted(first[:3]) == sorted(second[:3])
    assert set(first[3:]).isdisjoint(second[3:])


def test_ids_spread_over_the_buckets() -> None:
    found = grams(torch.arange(30_000)[None, :], torch.ones(1, 30_000, dtype=torch.long), BUCKETS)
    counts = torch.bincount(found[0, :30_000], minlength=BUCKETS)
    assert counts.min() > 0
    assert counts.max() < 3 * 30_000 / BUCKETS


@pytest.fixture
def fitted() -> tuple[list[list[int]], torch.Tensor, Wide]:
    said = ["well done congratulations", "what a day", "this is a thing", "congratulations to you"]
    tokens = [tokens_of(f"{text} {n % 7}") for n in range(40) for text in said]
    joy = [float("congratulations" in text) for _ in range(40) for text in said]
    nobody_knows = [float("nan")] * len(joy)
    never = [0.0] * len(joy)
    wanted = torch.tensor([joy, nobody_knows, never]).T
    return tokens, wanted, fit_wide(tokens, wanted, BUCKETS, HOW)


def test_a_word_is_remembered(fitted: tuple[list[list[int]], torch.Tensor, Wide]) -> None:
    *_, wide = fitted
    with torch.inference_mode():
        named, other = wide(*pad([tokens_of("congratulations"), tokens_of("a thing")], 0))[:, 0]
    assert named > 0.5 > -0.5 > other


def test_what_cannot_be_told_apart_adds_nothing(
    fitted: tuple[list[list[int]], torch.Tensor, Wide],
) -> None:
    tokens, _, wide = fitted
    with torch.inference_mode():
        assert not wide(*pad(tokens, 0))[:, 1:].any()


def test_on_average_nothing_is_added(fitted: tuple[list[list[int]], torch.Tensor, Wide]) -> None:
    tokens, _, wide = fitted
    with torch.inference_mode():
        assert float(wide(*pad(tokens, 0))[:, 0].mean()) == pytest.approx(0, abs=1e-4)


def test_a_bucket_of_one_text_is_left_out() -> None:
    tokens = [tokens_of(f"word{n}") for n in range(20)]
    wanted = torch.tensor([[float(n < 10)] for n in range(20)])
    rows = gram_counts(tokens, BUCKETS)
    once = np.asarray((rows > 0).sum(0)).ravel() < HOW.least_texts
    wide = fit_wide(tokens, wanted, BUCKETS, HOW)
    assert not wide.table.weight[:BUCKETS][once].any()


def test_buckets_are_a_power_of_two() -> None:
    with pytest.raises(ValidationError, match="power of two"):
        Shape(wide=1_000)

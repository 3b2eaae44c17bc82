"""Long texts: which windows are read, how they are joined, and what a reading then says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.emotion.artefact.artefact import Artefact
from models.emotion.artefact.card import Joining
from models.emotion.config import EmotionSettings
from models.emotion.serving.engine import Engine, build_engine, network_engine
from models.emotion.serving.inference import CONCERNS, Output
from models.emotion.serving.windows import Windows

UNKNOWN = 100
LESSON = (
    "In the third exercise we copy the table from the book, add a column for the share of each "
    "kind, and then draw the bars with a ruler on the squared paper. "
)


def windows(length: int = 16, most: int = 4, **joining: float) -> Windows:
    own = Joining.model_validate({"overlap": 4, **joining})
    return Windows(length, most, own, [UNKNOWN])


def text(pieces: int) -> tuple[list[int], ...]:
    return ([1, *range(1000, 1000 + pieces), 2],)


@given(st.integers(0, 200), st.integers(8, 40), st.integers(1, 9))
def test_windows_hold_the_first_and_the_last_piece_and_say_how_much_they_hold(
    pieces: int, length: int, most: int
) -> None:
    made = windows(length, most)
    whole = text(pieces)
    parts = made.split(whole)
    assert 1 <= len(parts) <= most
    assert all(len(ids) <= length and (ids[0], ids[-1]) == (1, 2) for (ids,) in parts)
    if pieces + 2 > length:
        # Of one length, so that they run together
        assert {len(ids) for (ids,) in parts} == {length}
        assert parts[0][0][1] == whole[0][1]
        assert len(parts) == 1 or parts[-1][0][-2] == whole[0][-2]
    held = {piece for (ids,) in parts for piece in ids[1:-1]}
    expected = len(held) / pieces if pieces else 0.0
    assert made.coverage(whole) == pytest.approx(expected)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(8, 40), st.integers(1, 9))
def test_of_several_encoders_the_one_that_sees_least_counts(
    pieces: int, others: int, length: int, most: int
) -> None:
    made = Windows(length, most, Joining(overlap=4), [UNKNOWN, None])
    (first,), (second,) = text(pieces), text(others)
    parts = made.split((first, second))
    held = [
        len({piece for ids in part for piece in ids[1:-1]}) for part in zip(*parts, strict=True)
    ]
    expected = min(held[0] / pieces, held[1] / others)
    assert made.coverage((first, second)) == pytest.approx(expected)


def test_a_piece_that_the_vocabulary_lacks_is_not_read() -> None:
    half = ([1, 1000, UNKNOWN, 1001, UNKNOWN, 2],)
    made = windows()
    assert made.coverage(half) == 0.5
    assert made.coverage(([1, 2],)) == 0.0


def output(valence: list[float], concern: list[float]) -> Output:
    n = len(valence)
    pad = np.zeros((n, 3), np.float32)
    pad[:, 0] = valence
    danger = np.zeros((n, CONCERNS), np.float32)
    danger[:, 0] = concern
    return Output(
        emotions=np.arange(n, dtype=np.float32)[:, None] * np.ones((1, 2), np.float32),
        goemotions=np.zeros((n, 28), np.float32),
        pad=pad,
        affect=np.zeros((n, 16), np.float32),
        urgency=np.zeros(n, np.float32),
        concern=danger,
        speaking=np.zeros((n, 1), np.float32),
        coverage=np.ones(n, np.float32),
    )


def test_without_weights_the_windows_of_each_text_count_alike() -> None:
    joined = windows().join(output([0.0, 0.3, 0.6, -1.0], [0.0] * 4), [3, 1])
    assert joined.pad[:, 0] == pytest.approx([0.3, -1.0])
    assert joined.emotions[:, 0] == pytest.approx([1.0, 3.0])


def test_the_end_and_the_window_with_feeling_count_more() -> None:
    valences = [0.0, -2.0, 0.0]
    plain = windows().join(output(valences, [0.0] * 3), [3]).pad[0, 0]
    felt = windows(feeling=1.0).join(output(valences, [0.0] * 3), [3]).pad[0, 0]
    assert felt < plain
    ending = [0.0, 0.0, -2.0]
    last = windows(last=1.0).join(output(ending, [0.0] * 3), [3]).pad[0, 0]
    assert last < plain


def test_danger_counts_wherever_it_stands() -> None:
    joined = windows(last=3.0).join(output([0.0] * 3, [4.0, -3.0, -3.0]), [3])
    assert joined.concern[0, 0] == 4.0


def test_a_short_text_reads_as_it_did_beside_a_long_one(engine: Engine) -> None:
    short, long = engine.tokenise(["I hate this", LESSON * 12])
    alone = engine.run(engine.collate([short]))
    together = engine.run(engine.collate([short, long]))
    for one, both in zip(alone, together, strict=True):
        assert np.array_equal(one[0], both[0])


def test_what_stands_behind_the_first_window_is_read(engine: Engine) -> None:
    end = "I hate this. I give up, this is humiliating."
    plain, ended = (
        engine.post(engine.run(engine.collate(engine.tokenise([text]))))[0]
        for text in (LESSON * 6, LESSON * 6 + end)
    )
    assert ended.valence < plain.valence - 0.01
    assert plain.coverage == ended.coverage == 1.0


def test_beyond_the_windows_a_reading_says_how_much_was_read(artefact: Artefact) -> None:
    few = build_engine(artefact, EmotionSettings(device="cpu", max_windows=3))
    (long,) = few.post(few.run(few.collate(few.tokenise([LESSON * 40]))))
    assert 0 < long.coverage < 0.5


@pytest.mark.timeout(120)
def test_the_network_joins_windows_as_the_graph_does(artefact: Artefact, engine: Engine) -> None:
    exact = network_engine(
        artefact, device="cpu", max_tokens=128, max_windows=6, batch_tokens=2_048
    )
    texts = [LESSON * 6, "ok"]
    graph, network = (each.run(each.collate(each.tokenise(texts))) for each in (engine, exact))
    assert graph.pad == pytest.approx(network.pad, abs=0.1)
    assert list(graph.coverage) == list(network.coverage)

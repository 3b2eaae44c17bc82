"""What is read along is shown, unless it fails or may still fail."""

from __future__ import annotations

import pytest

from app.tutor.screening.screened_listener import ScreenedListener, UnsafeReply
from models.tutor.safety.config import SafetySettings
from models.tutor.safety.screening import Screen

SCREEN = Screen(SafetySettings())


class Heard:
    def __init__(self) -> None:
        self.pieces: list[tuple[int, int, str]] = []
        self.void: list[int] = []

    async def piece(self, attempt: int, index: int, text: str) -> None:
        self.pieces.append((attempt, index, text))

    async def superseded(self, attempt: int) -> None:
        self.void.append(attempt)


async def tell(heard: Heard, *pieces: str) -> Heard:
    watched = ScreenedListener(heard, SCREEN)
    for index, piece in enumerate(pieces):
        await watched.piece(1, index, piece)
    return heard


async def test_an_ordinary_text_is_handed_on_as_it_comes():
    heard = await tell(Heard(), "Count ", "the ", "slices. ", "Then ")
    assert heard.pieces == [(1, 0, "Count "), (1, 1, "the "), (1, 2, "slices. "), (1, 3, "Then ")]


async def test_a_sentence_that_may_still_fail_is_held_until_it_ends():
    pieces = ("Mind this: ", "you could ", "hurt yourself ", "if you ", "skip ", "the warm-up. ")
    heard = await tell(Heard(), *pieces, "So begin slowly. ")
    assert "".join(text for _, _, text in heard.pieces) == (
        "Mind this: you could hurt yourself if you skip the warm-up. So begin slowly. "
    )
    assert [index for _, index, _ in heard.pieces] == list(range(len(heard.pieces)))
    assert any("hurt yourself" in text and "warm-up" in text for _, _, text in heard.pieces)


async def test_what_fails_goes_no_further_and_is_not_shown():
    heard = Heard()
    with pytest.raises(UnsafeReply):
        await tell(heard, "Well, ", "you should ", "kill yourself", ". ", "Bye.")
    assert "kill" not in str(heard.pieces)


async def test_an_attempt_of_which_nothing_was_shown_is_not_voided():
    heard = Heard()
    watched = ScreenedListener(heard, SCREEN)
    await watched.superseded(1)
    await watched.piece(2, 0, "Count ")
    await watched.superseded(2)
    assert heard.void == [2]

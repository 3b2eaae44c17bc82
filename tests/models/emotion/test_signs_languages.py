"""The messages in other languages that carry a sign: what their README says of them holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from models.emotion.training.examples import signs, tab_separated

CORPUS = Path(__file__).parents[3] / "models" / "emotion" / "corpus"
SETS = sorted((CORPUS / "signs-languages").glob("*.tsv"))
KINDS = {
    "solved",
    "unsolved",
    "negation",
    "irony",
    "sincere",
    "slang",
    "names",
    "mixed",
    "polite",
    "plain",
    "emoji",
}


def test_the_languages_are_the_ones_that_the_readme_names() -> None:
    codes = [path.stem for path in SETS]
    assert codes == ["de", "en", "es", "fr", "it", "nl", "pl", "pt", "tr"]
    assert f"({', '.join(codes)})" in " ".join(
        (CORPUS / "README.md").read_text(encoding="utf-8").split()
    )


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_a_set_has_forty_messages_of_three_to_thirty_words(path: Path) -> None:
    assert {len(columns) for _, columns in tab_separated(path)} == {3}
    messages = list(signs(path))
    assert Counter(message.label for message in messages) == {-1: 14, 0: 13, 1: 13}
    assert all(3 <= len(message.text.split()) <= 30 for message in messages)
    assert {message.kind for message in messages} <= KINDS
    assert all(message.text == message.text.strip() for message in messages)


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_each_voice_has_every_sign(path: Path) -> None:
    labels = [message.label for message in signs(path)]
    for voice in (labels[:20], labels[20:]):
        assert min(Counter(voice).values()) >= 6


def test_no_message_stands_twice_or_in_what_other_sets_measure() -> None:
    texts = [message.text.casefold() for path in SETS for message in signs(path)]
    assert len(set(texts)) == len(texts) == 360
    short = {
        message.text.casefold()
        for path in (CORPUS / "languages").glob("*.tsv")
        for message in signs(path)
    }
    assert not short.intersection(texts)

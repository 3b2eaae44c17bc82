from __future__ import annotations

import pytest

from models.emotion.labels import EMOTIONS, GOEMOTIONS, annotated, emotion_of, mapping
from schemas.topics.emotions import Emotion


def test_there_are_41_emotions_and_28_goemotions_labels() -> None:
    assert len(EMOTIONS) == len(set(EMOTIONS)) == 41
    assert len(GOEMOTIONS) == len(set(GOEMOTIONS)) == 28
    # The published order of the ids, at its ends and in the middle.
    assert (GOEMOTIONS[0], GOEMOTIONS[14], GOEMOTIONS[27]) == ("admiration", "fear", "neutral")


def test_a_goemotions_label_with_a_name_of_ours_maps_to_it() -> None:
    for label in set(GOEMOTIONS) & set(EMOTIONS):
        assert emotion_of("goemotions", label) == label


def test_every_row_gives_a_reason() -> None:
    assert all(row.reason.strip() for row in mapping())


def test_a_source_annotates_only_what_its_labels_map_to() -> None:
    assert annotated("mathbuddy") == {Emotion.BOREDOM, Emotion.ENGAGEMENT, Emotion.NEUTRAL}
    assert Emotion.FATIGUE not in annotated("goemotions")


def test_an_unknown_label_is_an_error() -> None:
    with pytest.raises(KeyError, match="no label 'bliss'"):
        emotion_of("goemotions", "bliss")

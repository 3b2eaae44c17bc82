"""Every column of every topic has a name, a type, and a meaning."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from app.analysis.codebook import HEADINGS, columns_of, write_codebook
from app.kafka.topics import catalogue
from app.privacy.retention import RETENTION, TEXT_FIELDS, Store
from app.settings import KafkaSettings
from schemas.base import Message
from schemas.topics.emotions import Emotion
from schemas.topics.interactions import InteractionsReceived
from schemas.topics.state import UserState

SCHEMAS = {one.name: one.schema for one in catalogue(KafkaSettings()) if one.schema is not None}


def lines(model: type[Message]) -> dict[str, dict[str, str]]:
    return {line["field"]: line for column in columns_of(model) for line in column.lines}


@pytest.mark.parametrize("topic", SCHEMAS)
def test_every_field_of_a_record_has_a_column_with_a_meaning(topic: str) -> None:
    columns = columns_of(SCHEMAS[topic])
    names = [column.name for column in columns]
    assert len(set(names)) == len(names)
    fields = {info.alias or name for name, info in SCHEMAS[topic].model_fields.items()}
    assert {column.path[0] for column in columns} == fields
    for name, line in lines(SCHEMAS[topic]).items():
        assert all(line[heading] for heading in ("field", "type", "meaning")), name
        assert "\n" not in "".join(line.values())


def test_a_column_says_type_unit_range_and_meaning() -> None:
    state, batch = lines(UserState), lines(InteractionsReceived)
    assert state["valence.value"] == {
        "field": "valence.value",
        "type": "number",
        "unit": "",
        "range": "0..1",
        "meaning": "the figure itself",
    }
    assert state["valence.source"]["range"] == "measured | derived | prior"
    assert state["trajectory.slope"]["unit"] == "1/min"
    assert state["trajectory.slopeError"]["range"] == "0.."
    assert (state["updatedAt"]["type"], state["updatedAt"]["unit"]) == (
        "time",
        "UTC, to the millisecond",
    )
    assert state["activity.interactions"]["range"] == "0.."
    assert batch["interactions"]["type"] == "list of objects"
    inside = batch["interactions[].timingData.responseTime"]
    assert (inside["type"], inside["unit"], inside["range"]) == ("number", "s", "0..86400")


def test_a_closed_set_of_keys_is_a_column_each_and_an_open_one_a_list_of_pairs() -> None:
    state = lines(UserState)
    assert {f"emotions.{one.value}" for one in Emotion} < state.keys()
    assert state["readiness.weights"]["type"] == "list of {key: text, value: number}"


def test_a_codebook_is_a_line_a_column(tmp_path: Path) -> None:
    columns = columns_of(UserState)
    write_codebook(columns, tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [line["field"] for line in read] == [column.name for column in columns]
    assert tuple(read[0]) == HEADINGS


def test_each_topic_that_may_hold_words_names_its_fields() -> None:
    with_words = {
        one.name for one in RETENTION if one.store is Store.KAFKA and one.text
    } & SCHEMAS.keys()
    assert TEXT_FIELDS.keys() == with_words
    for topic, fields in TEXT_FIELDS.items():
        assert fields <= {column.path[0] for column in columns_of(SCHEMAS[topic])}

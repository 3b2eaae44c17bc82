"""Frames and Parquet files of a real topic."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl
import pytest

from agents.runtime.topics import CHAT, EMOTIONS, ERASURES, INTERACTIONS, USER_STATE
from app.analysis.codebook import columns_of
from app.analysis.frames import export_parquet, table
from app.analysis.reading import read
from app.kafka.topics import catalogue
from app.local.environment import child_environment
from app.settings import KafkaSettings, Settings
from schemas.base import Message
from schemas.topics.emotions import EmotionRead
from tests.app.analysis.test_reading import chat, erasure, state
from tests.models.learner.build import NOW, batch, interaction, reading
from tests.schemas.examples import EXAMPLES
from tests.topics import produce

ROOT = Path(__file__).resolve().parents[3]
services = pytest.mark.services
SCHEMAS = [one.schema for one in catalogue(KafkaSettings()) if one.schema is not None]
MESSAGES = [message for schema in SCHEMAS for message in EXAMPLES[schema]]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_becomes_a_row_with_what_it_holds(message: Message) -> None:
    frame = table(columns_of(type(message)), [message])
    assert frame.height == 1
    document = message.document()
    for column in columns_of(type(message)):
        value = document
        for name in column.path:
            value = value.get(name) if value is not None else None
        told = frame[column.name][0]
        if column.shape.kind == "time":
            told = told and int(told.timestamp() * 1000)
        if column.shape.kind in ("text", "number", "integer", "boolean", "time"):
            assert told == value, column.name
        else:
            assert (told is None) == (value is None), column.name


def test_lists_of_objects_open_into_rows() -> None:
    message = batch([interaction("a"), interaction("b", timing_data={"response_time": 2.5})])
    frame = table(columns_of(type(message)), [message])
    rows = frame.select("userId", "interactions").explode("interactions")
    rows = rows.unnest("interactions", separator=".")
    assert rows["interactions.eventId"].to_list() == ["a", "b"]
    assert rows["interactions.timingData"].struct.field("responseTime").to_list() == [None, 2.5]
    assert rows["interactions.timestamp"][0] == datetime.fromtimestamp(NOW / 1000, UTC)


def test_what_a_message_lacks_is_null_and_no_message_is_an_empty_frame() -> None:
    columns = columns_of(EmotionRead)
    frame = table(columns, [reading(0, status="unavailable")])
    assert frame["probabilities.joy"][0] is None
    empty = table(columns, [])
    assert empty.schema == frame.schema
    assert empty.height == 0


@services
async def test_a_frame_has_times_and_no_words(topics: Settings) -> None:
    await produce(topics, CHAT, [("ada", chat("ada", "a secret")), ("ben", chat("ben"))])
    await produce(topics, USER_STATE, [("ada", state("ada", n)) for n in (1, 2)])
    words = await read(CHAT, settings=topics).frame()
    assert "text" not in words.columns
    told = await read(CHAT, settings=topics).frame(text=True)
    assert sorted(told["text"].to_list()) == ["a secret", "hello"]
    states = await read(USER_STATE, settings=topics).frame()
    assert states["version"].to_list() == [1, 2]
    assert states["valence.source"].to_list() == ["measured", "measured"]
    assert states.schema["ingestTime"] == pl.Datetime("ms", "UTC")
    assert (await read(INTERACTIONS, settings=topics).frame()).height == 0


@services
async def test_a_file_holds_each_record_once_and_says_what_its_columns_mean(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.analysis.frames._CHUNK", 3)
    states = [("ada", state("ada", number)) for number in range(1, 9)]
    await produce(topics, USER_STATE, [*states, states[3], ("eve", state("eve", 1))])
    await produce(topics, ERASURES, [("eve", erasure("eve"))])
    out = tmp_path / "states.parquet"

    done = await export_parquet(read(USER_STATE, settings=topics), out)

    frame = pl.read_parquet(out)
    assert frame["version"].to_list() == list(range(1, 9))
    assert (done.records, done.left_out) == (8, ())
    inside = orjson.loads(pl.read_parquet_metadata(out)["codebook"])
    with done.codebook.open(newline="") as file:
        assert list(csv.DictReader(file)) == inside
    assert [line["field"] for line in inside] == frame.columns
    assert {path.name for path in tmp_path.glob("*")} - {"masterx"} == {
        out.name,
        done.codebook.name,
    }


def masterx(*arguments: str, settings: Settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=ROOT,
        env=os.environ | child_environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )


@services
async def test_the_command_leaves_out_words_unless_it_is_told(
    topics: Settings, tmp_path: Path
) -> None:
    await produce(topics, CHAT, [("ada", chat("ada", "a secret")), ("ada", b"{")])
    await produce(
        topics, EMOTIONS, [("learner-1", reading(0).model_copy(update={"affect": (0.5,)}))]
    )
    out = tmp_path / "chats.parquet"
    run = masterx("topics", "export", CHAT, "--parquet", str(out), settings=topics)
    assert run.returncode == 0, run.stderr
    assert f"{out}: 1 records" in run.stdout
    assert "left out, as it may hold words: text (--with-text)" in run.stderr
    assert "1 records left out: they cannot be read" in run.stderr
    assert b"a secret" not in out.read_bytes()
    assert pl.read_parquet(out)["userId"].to_list() == ["ada"]
    assert "\ntext," not in (tmp_path / "chats.codebook.csv").read_text()
    run = masterx("topics", "export", CHAT, "--parquet", str(out), "--with-text", settings=topics)
    assert pl.read_parquet(out)["text"].to_list() == ["a secret"]
    run = masterx("topics", "export", EMOTIONS, "--parquet", str(out), settings=topics)
    assert "affect" not in pl.read_parquet(out).columns


@services
def test_what_is_wrong_is_told_in_one_line(topics: Settings, tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    for arguments, code, wrong in (
        (("user-stat", "--parquet", str(out)), 1, "Did you mean 'user-state'?"),
        ((CHAT, "--parquet", str(tmp_path / "no" / "x.parquet")), 1, "cannot be written"),
        ((CHAT, "--parquet", str(out), "--until", "soon"), 2, "--until 'soon'"),
    ):
        run = masterx("topics", "export", *arguments, settings=topics)
        assert run.returncode == code, run.stderr
        assert wrong in run.stderr
        assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    assert not out.exists()


def test_without_polars_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "polars.py").write_text("raise ModuleNotFoundError(name='polars')")
    program = "import app.cli, app.analysis.frames as f; import asyncio; "
    program += "f.chosen = lambda *a, **k: ((), ()); "
    program += "app.cli.app = lambda: asyncio.run(f.frame_of(None)); app.cli.main()"
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.strip() == "error: polars is not installed; run `make install-notebook`"

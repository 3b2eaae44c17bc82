"""Prepare (tokenise, batch, collate) -> model -> post: in three threads or in one.

Beside a GPU there are three. The model thread only ever takes a batch that lies ready, runs it and
passes the result on; it starts the moment it is free. At most `batches_ahead` batches lie ready,
so that under load texts gather in the pool, where batches form by length.

Where the model runs on the processor (`Engine.overlaps` is false) one thread does all of it: there
is nothing to go on beside, and each change of threads would cost as much as a text's tokens do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from models.emotion.reading import Reading
from models.emotion.serving.batching import Pool
from models.emotion.serving.errors import ModelUnavailable, NotRead, unreadable
from models.emotion.serving.observer import Observer
from schemas.topics.emotions import Unread

if TYPE_CHECKING:
    from models.emotion.serving.attempt import ModelRunner
    from models.emotion.serving.engine import Engine
    from models.emotion.serving.inference import Batch, Output, TokenisedText

CHUNK = 256  # texts tokenised at once; bounds how long the pool waits for the tokeniser

Outcome = Reading | Exception


@dataclass(slots=True, eq=False)
class Entry:
    """A text on its way. `cancelled` is asked before work is spent on it."""

    text: str
    cancelled: Callable[[], bool]
    deliver: Callable[[Outcome], None]
    tokens: TokenisedText = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that lies ready, with the engine that tokenised it."""

    engine: Engine
    entries: list[Entry]
    batch: Batch


Settle = Callable[[Sequence[tuple[Entry, Outcome]]], None]


class Pipeline:
    """The threads and what lies between them, under one lock."""

    def __init__(
        self,
        engine: Engine,
        runner: ModelRunner,
        *,
        settle: Settle,
        observer: Observer,
        clock: Callable[[], float],
        batches_ahead: int,
        least_known: float,
    ) -> None:
        """least_known: share of a text's pieces below which it is not read."""
        self._engine = engine
        self._runner = runner
        self._settle = settle
        self._observer = observer
        self._clock = clock
        self._ahead = batches_ahead
        self._least_known = least_known
        self._changed = threading.Condition()
        self._arrived: deque[Entry] = deque()
        self._ready: deque[Prepared] = deque()
        self._outputs: SimpleQueue[tuple[Prepared, Output] | None] = SimpleQueue()
        self._pool: Pool[Entry] = Pool()
        self._pool_engine = engine
        self._stopping = False
        self.warmed: Future[None] = Future()
        self._alone = not engine.overlaps
        parts = (
            {"model": self._all}
            if self._alone
            else {"prepare": self._prepare, "model": self._model, "post": self._post}
        )
        self._threads = [
            threading.Thread(target=target, name=f"emotion-{name}", daemon=True)
            for name, target in parts.items()
        ]

    def start(self) -> None:
        """Start the threads; `warmed` is done when the model thread has run once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads after the batch in hand; what waits is not answered. Blocks."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._outputs.put(None)
        for thread in self._threads:
            thread.join()

    def submit(self, entry: Entry) -> None:
        """Take in a text; never blocks. The caller bounds how many are on their way."""
        with self._changed:
            self._arrived.append(entry)
            self._changed.notify_all()

    def use(self, engine: Engine) -> None:
        """From now on prepare with another engine; batches that lie ready keep theirs."""
        with self._changed:
            self._engine = engine
            self._changed.notify_all()

    # all in one thread -------------------------------------------------------------------

    def _all(self) -> None:
        if not self._warmed():
            return
        while (work := self._next_arrivals()) is not None:
            self._take_in(*work)
            while self._ready and not self._stopping:
                self._read(self._ready.popleft())

    # prepare ---------------------------------------------------------------------------

    def _prepare(self) -> None:
        while (work := self._next_arrivals()) is not None:
            self._take_in(*work)

    def _take_in(self, engine: Engine, arrived: list[Entry]) -> None:
        if engine is not self._pool_engine:
            arrived = self._pool.drain() + arrived  # their ids are of the old tokeniser
            self._pool_engine = engine
        self._tokenise(engine, arrived)
        while len(self._pool) and self._has_room():
            self._make_ready(engine)

    def _next_arrivals(self) -> tuple[Engine, list[Entry]] | None:
        """Wait for texts, or for room for a batch from the pool. None: stop."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopping
                    or self._arrived
                    or (len(self._pool) and len(self._ready) < self._ahead)
                )
            )
            if self._stopping:
                return None
            count = min(CHUNK, len(self._arrived))
            return self._engine, [self._arrived.popleft() for _ in range(count)]

    def _has_room(self) -> bool:
        with self._changed:
            return len(self._ready) < self._ahead and not self._stopping

    def _tokenise(self, engine: Engine, entries: list[Entry]) -> None:
        entries = [e for e in entries if not e.cancelled()]
        if not entries:
            return
        started = self._clock()
        try:
            tokenised = engine.tokenise([e.text for e in entries])
        except Exception as error:
            if len(entries) == 1:
                self._settle([(entries[0], unreadable(error))])
                self._observer.unreadable()
                return
            middle = len(entries) // 2
            self._tokenise(engine, entries[:middle])
            self._tokenise(engine, entries[middle:])
            return
        for entry, tokens in zip(entries, tokenised, strict=True):
            if engine.known(tokens) < self._least_known:
                # The model would guess at pieces that it cannot tell apart.
                self._settle([(entry, NotRead(Unread.NOTHING_TO_READ))])
                continue
            entry.tokens = tokens
            longest = max(len(ids) for ids in tokens)
            step = engine.length_step
            self._pool.add(entry, -(-longest // step) * step)
        self._observer.stage("tokenise", self._clock() - started)

    def _make_ready(self, engine: Engine) -> None:
        taken = self._pool.take(self._runner.batch_tokens, equal=engine.equal_lengths)
        entries = [e for e in taken if not e.cancelled()]
        if not entries:
            return
        started = self._clock()
        try:
            batch = engine.collate([e.tokens for e in entries])
        except Exception as error:  # memory, say: not the texts' fault, so they may come again
            failure = ModelUnavailable(type(error).__name__, 0.0)
            self._settle([(entry, failure) for entry in entries])
            return
        prepared = Prepared(engine, entries, batch)
        self._observer.stage("collate", self._clock() - started)
        with self._changed:
            self._ready.append(prepared)
            self._changed.notify_all()

    # model -----------------------------------------------------------------------------

    def _model(self) -> None:
        if not self._warmed():
            return
        while (prepared := self._next_prepared()) is not None:
            self._read(prepared)

    def _warmed(self) -> bool:
        try:
            self._engine.warm()
        except BaseException as error:
            self.warmed.set_exception(error)
            return False
        self.warmed.set_result(None)
        return True

    def _read(self, prepared: Prepared) -> None:
        if not self._runner.open:
            self._run(prepared)
        if self._runner.open:
            self._fail_all(prepared.entries)
            self._wait_for_recovery()

    def _next_prepared(self) -> Prepared | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._ready)
            if self._stopping:
                return None
            prepared = self._ready.popleft()
            self._changed.notify_all()
            return prepared

    def _run(self, prepared: Prepared) -> None:
        for entries, result in self._runner.run(prepared):
            if isinstance(result, Exception):
                self._settle([(entry, result) for entry in entries])
            else:
                part = Prepared(prepared.engine, entries, prepared.batch)
                if self._alone:
                    self._answer(part, result)
                else:
                    self._outputs.put((part, result))

    def _fail_all(self, entries: list[Entry]) -> None:
        """Answer everything that waits: the breaker is open, the caller decides what now."""
        with self._changed:
            waiting = [*entries, *(e for p in self._ready for e in p.entries), *self._arrived]
            if self._alone:
                waiting += self._pool.drain()  # nobody else takes from it
            self._ready.clear()
            self._arrived.clear()
            self._changed.notify_all()
        error = ModelUnavailable("it failed repeatedly", self._runner.retry_after)
        self._settle([(entry, error) for entry in waiting])

    def _wait_for_recovery(self) -> None:
        """Try the model alone, with our own text, until it works again."""
        while not self._stopping and self._runner.open:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopping or self._arrived or self._ready,
                    timeout=self._runner.retry_after,
                )
            self._fail_all([])  # texts that were on their way when the breaker opened
            self._runner.try_again(self._engine)

    # post ------------------------------------------------------------------------------

    def _post(self) -> None:
        while (item := self._outputs.get()) is not None:
            self._answer(*item)

    def _answer(self, prepared: Prepared, output: Output) -> None:
        started = self._clock()
        outcomes = self._readings(prepared.engine, output)
        self._observer.stage("post", self._clock() - started)
        self._settle(list(zip(prepared.entries, outcomes, strict=True)))

    def _readings(self, engine: Engine, output: Output) -> list[Outcome]:
        try:
            return list(engine.post(output))
        except Exception as error:
            size = len(output.emotions)
            if size == 1:
                self._observer.unreadable()
                return [unreadable(error)]
            parts = [type(output)(*(t[i : i + 1] for t in output)) for i in range(size)]
            return [outcome for part in parts for outcome in self._readings(engine, part)]

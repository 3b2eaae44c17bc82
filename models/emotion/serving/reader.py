"""The emotion model for an event loop: submit texts, get futures of readings.

One reader a process; start it in the process that uses it (its threads do not survive a fork).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.emotion.config import EmotionSettings
from models.emotion.reading import Reading
from models.emotion.serving.breaker import Breaker, BreakerState
from models.emotion.serving.cache import ReadingCache, normalise
from models.emotion.serving.errors import ModelUnavailable, NothingToRead, ReaderStopped
from models.emotion.serving.observer import Observer
from models.emotion.serving.pipeline import Entry, Outcome, Pipeline

if TYPE_CHECKING:
    from models.emotion.serving.attempt import ModelRunner
    from models.emotion.serving.engine import Engine


def _load(settings: EmotionSettings) -> Engine:
    # Here and not above: only the process that serves the model pays for its runtime.
    from models.emotion.serving.engine import load_engine  # noqa: PLC0415

    return load_engine(settings)


class EmotionReader:
    """Reads emotion in texts, in batches, off the event loop.

    Readings complete in any order; nothing that was submitted is dropped: every future
    ends with a Reading, UnreadableText, ModelUnavailable, or is cancelled (by its
    owner, or by `stop`). Use it from one event loop.

    load: makes the engine; a test replaces single steps of it.
    clock: monotonic seconds, for the breaker and for measuring.
    """

    def __init__(
        self,
        settings: EmotionSettings,
        *,
        load: Callable[[EmotionSettings], Engine] = _load,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._load = load
        self._observer = observer or Observer()
        self._clock = clock
        self._cache = ReadingCache(settings.cache_size)
        self._slots = asyncio.Semaphore(settings.queue_size)
        self._available = asyncio.Event()
        self._waiting: set[asyncio.Future[Reading]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pipeline: Pipeline | None = None
        self._runner: ModelRunner | None = None
        self._status = "stopped"
        self._version = ""

    @property
    def version(self) -> str:
        """Of the model that reads new texts; empty before `start`."""
        return self._version

    @property
    def artefact(self) -> Path:
        """The folder of the model that reads new texts."""
        return self._settings.artefact

    @property
    def status(self) -> str:
        """`ok`; `open` or `half-open` (the model fails); `starting`; `stopped`."""
        return self._status

    @property
    def queue_depth(self) -> int:
        """Texts accepted and not yet answered."""
        return len(self._waiting)

    async def start(self) -> None:
        """Load and warm the model. Raises what loading raises; then the reader is stopped."""
        from models.emotion.serving.attempt import ModelRunner  # noqa: PLC0415

        self._loop = asyncio.get_running_loop()
        self._set_status("starting")
        try:
            engine = await asyncio.to_thread(self._load, self._settings)
            breaker = Breaker(self._settings.breaker_failures, self._settings.breaker_cooldown)
            self._runner = ModelRunner(
                breaker,
                observer=self._observer,
                clock=self._clock,
                batch_tokens=engine.batch_tokens,
                changed=self._breaker_changed,
            )
            self._pipeline = Pipeline(
                engine,
                self._runner,
                settle=self._settle,
                observer=self._observer,
                clock=self._clock,
                batches_ahead=self._settings.batches_ahead,
            )
            self._pipeline.start()
            await asyncio.wrap_future(self._pipeline.warmed)
        except BaseException:
            await self.stop()
            raise
        self._version = engine.version
        self._set_status("ok")
        self._available.set()

    async def stop(self) -> None:
        """End after the batch in hand; futures that are not done are cancelled."""
        self._set_status("stopped")
        self._available.clear()
        pipeline, self._pipeline = self._pipeline, None
        for future in list(self._waiting):
            future.cancel()
        if pipeline is not None:
            await asyncio.to_thread(pipeline.stop)

    async def submit(self, text: str) -> asyncio.Future[Reading]:
        """Accept a text, waiting while `queue_size` texts are on their way.

        Raises NothingToRead for a text in which nothing can be seen, ModelUnavailable while
        the breaker is open (see `wait_available`), and ReaderStopped.
        """
        self._must_accept()
        loop = asyncio.get_running_loop()
        normal = normalise(text)
        if not normal:
            raise NothingToRead
        known = self._cache.get(normal)
        self._observer.cache(hit=known is not None)
        if known is not None:
            done: asyncio.Future[Reading] = loop.create_future()
            done.set_result(known)
            return done
        await self._slots.acquire()
        try:
            pipeline = self._must_accept()
        except BaseException:
            self._slots.release()
            raise
        future: asyncio.Future[Reading] = loop.create_future()
        self._waiting.add(future)
        future.add_done_callback(self._answered)
        self._observer.queue(len(self._waiting))

        def deliver(outcome: Outcome) -> None:
            if isinstance(outcome, Reading) and outcome.version == self._version:
                self._cache.put(normal, outcome)
            if future.done():
                return
            if isinstance(outcome, Reading):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

        pipeline.submit(Entry(normal, future.cancelled, deliver))
        return future

    async def wait_available(self) -> None:
        """Return once the model takes texts: at once when it does, after a breaker's trial else."""
        await self._available.wait()

    async def swap(self, settings: EmotionSettings) -> str:
        """Load and warm the artefact of `settings`, then read with it; returns its version.

        The old model goes on reading until the new one has warmed, and stays if that
        fails (what loading raises is raised here). Of `settings` only what concerns
        the model is used; the queue and the batches stay as they are.
        """

        def load_and_warm() -> Engine:
            engine = self._load(settings)
            engine.warm()
            return engine

        engine = await asyncio.to_thread(load_and_warm)
        pipeline = self._pipeline
        if pipeline is None:
            raise ReaderStopped("the reader is not running")
        pipeline.use(engine)
        self._settings = self._settings.model_copy(update={"artefact": settings.artefact})
        self._version = engine.version
        self._cache.clear()
        return engine.version

    def _must_accept(self) -> Pipeline:
        if self._pipeline is None or self._status in {"stopped", "starting"}:
            raise ReaderStopped("the reader is not running")
        if self._status != "ok":
            retry_after = self._runner.retry_after if self._runner else 0.0
            raise ModelUnavailable("it failed repeatedly", retry_after)
        return self._pipeline

    def _answered(self, future: asyncio.Future[Reading]) -> None:
        self._waiting.discard(future)
        self._slots.release()
        self._observer.queue(len(self._waiting))

    def _settle(self, outcomes: Sequence[tuple[Entry, Outcome]]) -> None:
        """Called in the threads: one hop to the loop for a whole batch."""

        def deliver_all() -> None:
            for entry, outcome in outcomes:
                entry.deliver(outcome)

        self._on_loop(deliver_all)

    def _breaker_changed(self, state: BreakerState) -> None:
        self._on_loop(lambda: self._set_breaker_status(state))

    def _set_breaker_status(self, state: BreakerState) -> None:
        if self._pipeline is None:
            return
        self._set_status(str(state))
        if state is BreakerState.CLOSED:
            self._available.set()
        else:
            self._available.clear()

    def _set_status(self, status: str) -> None:
        self._status = status
        self._observer.status(status)

    def _on_loop(self, call: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            # The loop closed while a batch was under way: nobody waits for it any more.
            if not self._loop.is_closed():
                raise

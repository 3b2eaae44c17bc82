"""The emotion model for an event loop: submit texts, get futures of readings.

One reader a process; start it in the process that uses it (its threads do not survive a fork).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.emotion.config import EmotionSettings
from models.emotion.language import Languages
from models.emotion.model_text import in_words
from models.emotion.reading import Reading
from models.emotion.serving.breaker import Breaker, BreakerState
from models.emotion.serving.errors import ModelUnavailable, NotRead, ReaderStopped
from models.emotion.serving.observer import Observer
from models.emotion.serving.pipeline import Entry, Outcome, Pipeline
from models.judged import judged_copy
from schemas.topics.emotions import Unread

if TYPE_CHECKING:
    from models.emotion.serving.attempt import ModelRunner
    from models.emotion.serving.engine import Engine


class ReadingCache:
    """Bounded; for use from one thread. Of one model version: clear it when that changes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._readings: OrderedDict[str, Reading] = OrderedDict()

    def __len__(self) -> int:
        return len(self._readings)

    def get(self, text: str) -> Reading | None:
        """The reading of a normalised text, now the most recently used."""
        reading = self._readings.get(text)
        if reading is not None:
            self._readings.move_to_end(text)
        return reading

    def put(self, text: str, reading: Reading) -> None:
        """Keep a reading, dropping the least recently used over the size."""
        if self._size == 0:
            return
        self._readings[text] = reading
        self._readings.move_to_end(text)
        if len(self._readings) > self._size:
            self._readings.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._readings.clear()


def _load(settings: EmotionSettings) -> Engine:
    # Here and not above: only the process that serves the model pays for its runtime.
    from models.emotion.serving.engine import load_engine  # noqa: PLC0415

    return load_engine(settings)


class EmotionReader:
    """Reads emotion in texts, in batches, off the event loop.

    Readings complete in any order; nothing that was submitted is dropped: every future
    ends with a Reading, NotRead, UnreadableText, ModelUnavailable, or is cancelled (by its
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
        self._languages: Languages | None = None
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
            engine, self._languages = await asyncio.to_thread(self._loaded, self._settings)
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
                least_known=self._settings.least_known,
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

        Raises NotRead (or the future fails with it) for a text that is no evidence,
        ModelUnavailable while the breaker is open (see `wait_available`), and ReaderStopped.
        """
        normal = self._readable(text)
        self._must_accept()
        loop = asyncio.get_running_loop()
        known = self._cache.get(normal)
        self._observer.cache(hit=known is not None)
        if known is not None:
            done: asyncio.Future[Reading] = loop.create_future()
            self._answer(done, known)
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
            if not future.done():
                self._answer(future, outcome)

        pipeline.submit(Entry(normal, future.cancelled, deliver))
        return future

    def _readable(self, text: str) -> str:
        """What the model is to read. Raises NotRead, whether the model works or not."""
        if self._languages is None or self._status in {"stopped", "starting"}:
            raise ReaderStopped("the reader is not running")
        copy = " ".join(judged_copy(text).split())
        if not copy:
            raise NotRead(Unread.NOTHING_TO_READ)
        # Before emoji are English words.
        if not self._languages.knows(copy):
            raise NotRead(Unread.UNSUPPORTED_LANGUAGE)
        return in_words(copy)

    def _answer(self, future: asyncio.Future[Reading], outcome: Outcome) -> None:
        if not isinstance(outcome, Reading):
            future.set_exception(outcome)
        elif self._is_pasted(outcome):
            future.set_exception(NotRead(Unread.NOT_THE_LEARNER))
        else:
            future.set_result(outcome)

    def _is_pasted(self, reading: Reading) -> bool:
        """Whether it is no learner's; never where it may be danger beside a pasted text."""
        settings = self._settings
        if reading.concern is not None and reading.concern >= settings.concern.hint_from:
            return False
        return reading.speaking is not None and reading.speaking < settings.least_speaking

    async def wait_available(self) -> None:
        """Return once the model takes texts: at once when it does, after a breaker's trial else."""
        await self._available.wait()

    async def swap(self, settings: EmotionSettings) -> str:
        """Load and warm the artefact of `settings`, then read with it; returns its version.

        The old model goes on reading until the new one has warmed, and stays if that
        fails (what loading raises is raised here). Of `settings` only what concerns
        the model is used; the queue and the batches stay as they are.
        """

        def load_and_warm() -> tuple[Engine, Languages]:
            engine, languages = self._loaded(settings)
            engine.warm()
            return engine, languages

        engine, languages = await asyncio.to_thread(load_and_warm)
        pipeline = self._pipeline
        if pipeline is None:
            raise ReaderStopped("the reader is not running")
        pipeline.use(engine)
        self._settings = self._settings.model_copy(update={"artefact": settings.artefact})
        self._version = engine.version
        self._languages = languages
        self._cache.clear()
        return engine.version

    def _loaded(self, settings: EmotionSettings) -> tuple[Engine, Languages]:
        """In a thread: both take their time."""
        engine = self._load(settings)
        return engine, Languages(engine.languages, self._settings.language)

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

"""Running a batch when the model may fail: memory, bad texts, or the model itself.

Only the model thread calls in here, so nothing needs a lock; `batch_tokens` and
`state` are read elsewhere and are single values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

from models.emotion.inference import Output
from models.emotion.serving.breaker import Breaker, BreakerState
from models.emotion.serving.errors import ModelUnavailable, unreadable
from models.emotion.serving.observer import Observer
from models.emotion.serving.work import Entry, Prepared

if TYPE_CHECKING:
    from models.emotion.inference import Batch
    from models.emotion.serving.engine import Engine

LEAST_TOKENS = 32
Answered = tuple[list[Entry], Output | Exception]


class ModelRunner:
    """Runs batches; finds out what is to blame when one fails."""

    def __init__(
        self,
        breaker: Breaker,
        *,
        observer: Observer,
        clock: Callable[[], float],
        batch_tokens: int,
        threads: int,
        changed: Callable[[BreakerState], None],
    ) -> None:
        self._breaker = breaker
        self._observer = observer
        self._clock = clock
        self._threads = threads
        self._changed = changed
        self._known = BreakerState.CLOSED
        self.batch_tokens = batch_tokens

    @property
    def open(self) -> bool:
        """Whether the model must not be given texts."""
        return self._breaker.state(self._clock()) is not BreakerState.CLOSED

    @property
    def retry_after(self) -> float:
        """Seconds until the model is tried again."""
        return self._breaker.retry_after(self._clock())

    def warm(self, engine: Engine) -> None:
        """First calls are slow; make them now. Raises what the model raises."""
        torch.set_num_threads(self._threads)
        engine.warm()

    def run(self, prepared: Prepared) -> Iterator[Answered]:
        """Answer every entry of the batch, in parts: with outputs, or with an exception."""
        engine, entries = prepared.engine, prepared.entries
        try:
            output = self._timed(engine, prepared.batch, entries)
        except Exception as error:
            failure = error  # `except` unbinds its name
        else:
            self._succeeded()
            yield entries, output
            return
        if out_of_memory(failure) and len(entries) > 1:
            self._shrink()
            yield from self._halves(engine, entries)
        elif (cause := self._probe(engine)) is not None:
            self._failed()
            yield entries, ModelUnavailable(type(cause).__name__, self.retry_after)
        elif len(entries) > 1:
            yield from self._halves(engine, entries)
        else:
            yield entries, self._once_more(prepared)

    def try_again(self, engine: Engine) -> None:
        """The trial of a half-open breaker, with our own text."""
        if self._breaker.try_once(self._clock()):
            self._tell()
            if self._probe(engine) is None:
                self._succeeded()
            else:
                self._failed()

    def _halves(self, engine: Engine, entries: list[Entry]) -> Iterator[Answered]:
        middle = len(entries) // 2
        for half in (entries[:middle], entries[middle:]):
            if self.open:
                yield half, ModelUnavailable("it failed repeatedly", self.retry_after)
                continue
            yield from self.run(Prepared(engine, half, engine.collate([e.tokens for e in half])))

    def _once_more(self, prepared: Prepared) -> Output | Exception:
        """A single text failed while our own passed: chance, or the text?"""
        try:
            return self._timed(prepared.engine, prepared.batch, prepared.entries)
        except Exception as error:
            self._observer.unreadable()
            return unreadable(error)

    def _timed(self, engine: Engine, batch: Batch, entries: list[Entry]) -> Output:
        started = self._clock()
        output = engine.run(batch)
        lengths = [max(len(ids) for ids in e.tokens) for e in entries]
        padded = len(lengths) * max(lengths)
        self._observer.batch(len(lengths), sum(lengths), padded, self._clock() - started)
        return output

    def _probe(self, engine: Engine) -> Exception | None:
        try:
            engine.try_texts(["ok"])
        except Exception as error:
            return error
        return None

    def _shrink(self) -> None:
        self.batch_tokens = max(LEAST_TOKENS, self.batch_tokens // 2)
        self._observer.out_of_memory(self.batch_tokens)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _succeeded(self) -> None:
        self._breaker.succeeded()
        self._tell()

    def _failed(self) -> None:
        self._breaker.failed(self._clock())
        self._tell()

    def _tell(self) -> None:
        state = self._breaker.state(self._clock())
        if state is not self._known:
            self._known = state
            self._changed(state)


def out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, on a device or in the process."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU allocator raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)

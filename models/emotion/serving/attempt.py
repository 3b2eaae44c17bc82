"""Running a batch when the model may fail: memory, bad texts, or the model itself.

Only the model thread calls in here, so nothing needs a lock; `batch_tokens` and
`state` are read elsewhere and are single values.

When memory runs out, batches are halved; they grow again once full ones have passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from models.emotion.serving.breaker import Breaker, BreakerState
from models.emotion.serving.errors import ModelUnavailable, unreadable
from models.emotion.serving.inference import Output
from models.emotion.serving.observer import Observer
from models.emotion.serving.pipeline import Entry, Prepared

if TYPE_CHECKING:
    from models.emotion.serving.engine import Engine
    from models.emotion.serving.inference import Batch

LEAST_TOKENS = 32
GROW_AFTER = 32
"""Full batches without trouble after which the bound doubles again."""
MOST_PATIENCE = 1_024
"""The same, at most, where memory ran out each time that the bound had grown."""
_NO_MEMORY: Final = ("can't allocate memory", "Failed to allocate memory", "bad_alloc")
Answered = tuple[list[Entry], Output | Exception]


class TokenBound:
    """Padded tokens that a batch may have: up to `most`, less after memory ran out.

    Each time that memory runs out halves the bound. After `GROW_AFTER` full batches (those
    of more than half the bound: smaller ones say nothing about memory) it doubles. Where
    that was too much, twice as many are needed the next time, up to `MOST_PATIENCE`, so
    that a device with less memory than its settings say fails ever more rarely.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.tokens = most
        self._passed = 0
        self._patience = GROW_AFTER
        self._grown = False

    def ran_out(self) -> None:
        """Memory ran out."""
        self.tokens = max(min(LEAST_TOKENS, self._most), self.tokens // 2)
        if self._grown:
            self._patience = min(2 * self._patience, MOST_PATIENCE)
        self._grown = False
        self._passed = 0

    def passed(self, padded: int) -> bool:
        """A batch of so many tokens went through; whether the bound grew."""
        if 2 * padded <= self.tokens:
            return False
        self._passed += 1
        if self._passed < self._patience:
            return False
        self._passed = 0
        if self.tokens == self._most:
            # It holds here: the next trouble is another one.
            self._patience, self._grown = GROW_AFTER, False
            return False
        self.tokens = min(self._most, 2 * self.tokens)
        self._grown = True
        return True


class ModelRunner:
    """Runs batches; finds out what is to blame when one fails."""

    def __init__(
        self,
        breaker: Breaker,
        *,
        observer: Observer,
        clock: Callable[[], float],
        batch_tokens: int,
        changed: Callable[[BreakerState], None],
    ) -> None:
        self._breaker = breaker
        self._observer = observer
        self._clock = clock
        self._changed = changed
        self._known = BreakerState.CLOSED
        self._bound = TokenBound(batch_tokens)

    @property
    def batch_tokens(self) -> int:
        """Padded tokens of a batch, at most."""
        return self._bound.tokens

    @property
    def open(self) -> bool:
        """Whether the model must not be given texts."""
        return self._breaker.state(self._clock()) is not BreakerState.CLOSED

    @property
    def retry_after(self) -> float:
        """Seconds until the model is tried again."""
        return self._breaker.retry_after(self._clock())

    def run(self, prepared: Prepared) -> Iterator[Answered]:
        """Answer every entry of the batch, in parts: with outputs, or with an exception."""
        engine, entries = prepared.engine, prepared.entries
        try:
            output = self._timed(engine, prepared.batch, entries)
        except Exception as error:
            failure = error  # `except` unbinds its name
        else:
            self._succeeded()
            if self._bound.passed(prepared.batch.padded):
                self._observer.batches_grew(self.batch_tokens)
            yield entries, output
            return
        if out_of_memory(failure) and len(entries) > 1:
            self._shrink(engine)
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
        if self._breaker.state(self._clock()) is BreakerState.HALF_OPEN:
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
        taken = self._clock() - started
        self._observer.batch(len(entries), sum(map(_length, entries)), batch.padded, taken)
        return output

    def _probe(self, engine: Engine) -> Exception | None:
        try:
            engine.try_texts(["ok"])
        except Exception as error:
            return error
        return None

    def _shrink(self, engine: Engine) -> None:
        self._bound.ran_out()
        self._observer.out_of_memory(self.batch_tokens)
        engine.release_memory()

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


def _length(entry: Entry) -> int:
    return max(len(ids) for ids in entry.tokens)


def out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, on a device or in the process.

    torch's error for a GPU has a class of its own; ONNX Runtime's and torch's for the processor
    tell it in words alone.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error) for words in _NO_MEMORY)

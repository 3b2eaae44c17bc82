"""What passes from thread to thread: a text on its way, a batch that lies ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.emotion.reading import Reading

if TYPE_CHECKING:
    from models.emotion.serving.engine import Engine
    from models.emotion.serving.inference import Batch, TokenisedText

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

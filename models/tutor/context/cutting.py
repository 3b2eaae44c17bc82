"""Texts made shorter, with a mark where something is left out."""

from __future__ import annotations

from collections.abc import Callable

from models.tutor.prompts.sanitising import one_line


def shortened(text: str, limit: int) -> str:
    """One line of at most `limit` characters, with a mark where something is left out."""
    line = one_line(text)
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}\u2026"


def cut_to(text: str, fits: Callable[[str], bool]) -> str | None:
    """The beginning and the end of a text, as much as fits; None if not even the mark does.

    A question stands at the end of a message as often as at its beginning, so both are kept.
    """
    low, high = 0, len(text) - 1
    best = None
    while low <= high:
        kept = (low + high) // 2
        candidate = _cut(text, kept)
        if fits(candidate):
            best, low = candidate, kept + 1
        else:
            high = kept - 1
    return best


def _cut(text: str, kept: int) -> str:
    tail = kept // 2
    head = kept - tail
    mark = f"[... {len(text) - kept} characters left out ...]"
    return f"{text[:head]} {mark} {text[len(text) - tail :]}".strip()

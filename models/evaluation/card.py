"""A model card's Markdown, from parts that every card has. No numpy: what serves reads cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def document(*sections: Iterable[str]) -> str:
    """Sections with an empty line between each two; one without lines is left out."""
    return "\n\n".join(text for lines in sections if (text := "\n".join(lines))) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table; cells are written as they are."""
    written = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(map(str, row))} |" for row in written]


def bullets(items: Iterable[str]) -> list[str]:
    """A line each."""
    return [f"- {item}" for item in items]


def named(values: Mapping[str, Any]) -> str:
    """`name value, name value`, in their order."""
    return ", ".join(f"{name} {number(value)}" for name, value in values.items())


def number(value: Any) -> str:
    """A float with three digits, a list of them in brackets, anything else as it is."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(number, value)) + "]"
    return str(value)


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """`0.598 (0.576 to 0.619)`."""
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"

"""Pictures of an evaluation as SVG: no plotting library to install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

SIDE = 420
MARGIN = 60
INK = "#1f2937"
ACCENT = "#2563eb"
SECOND = "#b45309"


def reliability(bins: Sequence[dict[str, float]]) -> str:
    """Accuracy over confidence of the most probable label; the diagonal is perfect."""
    marks = []
    for b in bins:
        radius = 3 + 12 * b["share"] ** 0.5
        marks.append(
            f'<circle cx="{_x(b["confidence"])}" cy="{_y(b["accuracy"])}" r="{radius:.1f}" '
            f'fill="{ACCENT}" fill-opacity=".7"><title>{b["share"]:.1%} of texts</title></circle>'
        )
    return _square("Reliability of the most probable label", "confidence", "accuracy", marks)


def scatter(axis: str, points: Sequence[tuple[float, float]]) -> str:
    """Predicted over rated values in [0, 1]."""
    marks = [
        f'<circle cx="{_x(x)}" cy="{_y(y)}" r="2" fill="{ACCENT}" fill-opacity=".35"/>'
        for x, y in points
    ]
    return _square(axis, "rated", "predicted", marks)


def curves(
    title: str,
    across: str,
    up: str,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    mark: tuple[float, float] | None = None,
) -> str:
    """Lines through points in [0, 1], each by its name, and a mark; the diagonal is chance."""
    marks = []
    for place, ((name, points), colour) in enumerate(
        zip(lines.items(), (ACCENT, SECOND), strict=False)
    ):
        path = " ".join(f"{_x(x)},{_y(y)}" for x, y in points)
        top = MARGIN + SIDE - 14 - 18 * place
        marks += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
            f'<text x="{MARGIN + SIDE - 10}" y="{top}" text-anchor="end" fill="{colour}">'
            f"{escape(name)}</text>",
        ]
    if mark is not None:
        x, y = mark
        marks.append(
            f'<circle cx="{_x(x)}" cy="{_y(y)}" r="4" fill="{INK}">'
            f"<title>{y:.1%} {escape(up)}, {x:.1%} {escape(across)}</title></circle>"
        )
    return _square(title, across, up, marks)


def confusion(names: Sequence[str], table: npt.NDArray[np.int64]) -> str:
    """Heat map: row a true label, column the most probable one; each row sums to 1."""
    cell, left, top = 16, 150, 150
    size = cell * len(names)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    parts = []
    for i, name in enumerate(names):
        middle = i * cell + cell * 0.7
        text = escape(name)
        parts.append(f'<text x="{left - 6}" y="{top + middle}" text-anchor="end">{text}</text>')
        x = left + middle
        parts.append(f'<text transform="translate({x},{top - 6}) rotate(-60)">{text}</text>')
        for j in range(len(names)):
            if table[i, j]:
                parts.append(
                    f'<rect x="{left + j * cell}" y="{top + i * cell}" width="{cell}" '
                    f'height="{cell}" fill="{ACCENT}" fill-opacity="{share[i, j]:.3f}">'
                    f"<title>{text} as {escape(names[j])}: {table[i, j]}</title></rect>"
                )
    frame = (
        f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="{INK}"/>'
    )
    return _svg(left + size + 40, top + size + 20, [frame, *parts], 10)


def _square(title: str, across: str, up: str, marks: Sequence[str]) -> str:
    frame = [
        f'<rect x="{MARGIN}" y="{MARGIN}" width="{SIDE}" height="{SIDE}" fill="none" '
        f'stroke="{INK}"/>',
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="#9ca3af" '
        'stroke-dasharray="4"/>',
        f'<text x="{MARGIN}" y="{MARGIN - 20}" font-weight="bold">{escape(title)}</text>',
        f'<text x="{_x(0.5)}" y="{MARGIN + SIDE + 40}" text-anchor="middle">{across}</text>',
        f'<text transform="translate(18,{_y(0.5)}) rotate(-90)" text-anchor="middle">{up}</text>',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        frame.append(
            f'<text x="{_x(tick)}" y="{MARGIN + SIDE + 18}" text-anchor="middle">{tick}</text>'
        )
        frame.append(f'<text x="{MARGIN - 8}" y="{_y(tick)}" text-anchor="end">{tick}</text>')
    return _svg(SIDE + 2 * MARGIN, SIDE + 2 * MARGIN, [*frame, *marks], 12)


def _svg(width: int, height: int, parts: Sequence[str], font: int) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="{font}" fill="{INK}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _x(value: float) -> str:
    return f"{MARGIN + SIDE * value:.1f}"


def _y(value: float) -> str:
    return f"{MARGIN + SIDE * (1 - value):.1f}"

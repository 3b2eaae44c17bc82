"""`masterx watch`: one learner's state, redrawn at every update."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.client.learner import LearnerClient

_AFFECT = ("valence", "arousal", "dominance")
_BEHAVIOUR = {
    "helpNeed": "help need",
    "nextCorrect": "next correct",
    "focus": "focus",
    "cognitiveLoad": "load",
    "engagement": "engagement",
    "fatigue": "fatigue",
}
_UNREAD = {
    "unsupported_language": "not read, in a language that masterx does not know",
    "nothing_to_read": "not read, nothing in it to read",
    "not_the_learner": "not read, it looks pasted",
}
_NAME = 14
"""Characters of the longest name of a row."""


class View:
    """What is known of the learner, as a picture."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.recommendations: list[dict[str, Any]] = []
        self.intervention: dict[str, Any] | None = None
        self.updates = 0

    def take(self, message: dict[str, Any]) -> None:
        """One message of the server."""
        match message.get("type"):
            case "hello" | "resumed":
                self.state = message.get("userState") or self.state
                self.recommendations = message.get("recommendations", self.recommendations)
            case "user_state_update":
                self.state = message["userState"]
                self.updates += 1
            case "recommendations":
                self.recommendations = message["recommendations"]
            case "intervention":
                self.intervention = message

    def __rich__(self) -> Group:
        if not self.state:
            return Group(Text("nothing known yet; waiting", style="dim"))
        table, words = _table(), _table()
        for name, value, note in _figures(self.state):
            table.add_row(name, _bar(value), f"{value:.2f}", note)
        for name, text in self._words():
            words.add_row(name, Text(text))
        version = f"version {self.state.get('version')}, {self.updates} updates seen"
        return Group(table, words, Text(version))

    def _words(self) -> Iterator[tuple[str, str]]:
        """What is no figure: name and text, one a row."""
        state = self.state
        yield "emotions", _shares(state.get("emotions", {}), 5) or "none read yet"
        yield "trajectory", _trajectory(state.get("trajectory", {}))
        if weights := state.get("readiness", {}).get("weights"):
            yield "readiness from", _shares(weights, 4)
        if need := state.get("intervention"):
            yield "need", _need(need)
        if tendencies := state.get("behaviour", {}).get("tendencies"):
            used = sorted(tendencies.items(), key=lambda pair: -pair[1]["share"])
            yield "used", ", ".join(f"{k} {t['share']:.0%} ({t['count']})" for k, t in used)
        if not self.recommendations:
            yield "recommended", "nothing"
        for one in self.recommendations:
            yield "recommended", f"{one['action']}: {'; '.join(one['because'])}"
        if self.intervention is not None:
            because = ", ".join(self.intervention["because"])
            yield "intervention", f"{self.intervention['level']}: {because}"
        if state.get("modelStatus", "ok") != "ok":
            why = _UNREAD.get(state.get("modelReason", ""), "unavailable")
            yield "model", f"{why}: the last message is not in the state"


def _table() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(width=_NAME)
    return table


def _figures(state: dict[str, Any]) -> Iterator[tuple[str, float, str]]:
    """Name, value and how far to trust it, of each estimate that the state holds."""
    for name in _AFFECT:
        if figure := state.get(name):
            yield name, figure["value"], _trust(figure)
    if readiness := state.get("readiness"):
        yield "readiness", readiness["score"], f"{readiness['state']}, {_trust(readiness)}"
    for field, name in _BEHAVIOUR.items():
        if figure := state.get("behaviour", {}).get(field):
            yield name, figure["value"], _trust(figure)


def _trust(figure: dict[str, Any]) -> str:
    if figure["source"] == "prior":
        return "prior: nothing known yet"
    return f"confidence {figure['confidence']:.2f}, {figure['source']}"


def _shares(shares: dict[str, float], most: int) -> str:
    largest = sorted(shares.items(), key=lambda pair: -pair[1])[:most]
    return ", ".join(f"{name} {share:.2f}" for name, share in largest)


def _trajectory(trajectory: dict[str, Any]) -> str:
    call = trajectory.get("call")
    if call is None:
        return "too few points"
    slope, error = trajectory.get("slope", 0.0), trajectory.get("slopeError", 0.0)
    return f"{call}, {slope:+.3f} a minute (error {error:.3f})"


def _need(need: dict[str, Any]) -> str:
    chances = ", ".join(
        f"{level} {share:.2f}" for level, share in need["atLeast"].items() if level != "none"
    )
    return f"{need['level']} (this or more: {chances}; from {' and '.join(need['inputs'])})"


def _bar(value: float, width: int = 24) -> str:
    full = round(value * width)
    return "█" * full + "·" * (width - full)


async def follow(url: str, user: str, token: str) -> None:
    """Show the state until cancelled; connect again when the connection is lost.

    Raises:
        OperatorError: no gateway, or the token does not allow it.
    """
    view = View()
    console = Console()
    if not console.is_terminal:  # a pipe gets one picture after the other
        await _follow(url, user, token, view, lambda: console.print(view))
        return
    with Live(view, console=console, auto_refresh=False) as live:
        await _follow(url, user, token, view, live.refresh)


async def _follow(url: str, user: str, token: str, view: View, draw: Callable[[], None]) -> None:
    async with LearnerClient(url, user, token) as learner:
        async for frame in learner.frames():
            view.take(frame)
            draw()

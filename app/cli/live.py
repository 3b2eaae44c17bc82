"""`masterx watch`: one learner's state, redrawn at every update."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from websockets.exceptions import ConnectionClosed

from app.errors import OperatorError
from app.gateway_client import connected
from schemas.wire import CloseCode

_FIGURES = ("valence", "arousal", "dominance")
_RECONNECT_AFTER = 1.0
_FINAL = (CloseCode.UNAUTHORIZED, CloseCode.FORBIDDEN)


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
        table = Table(box=None, show_header=False, pad_edge=False)
        for name in _FIGURES:
            figure = self.state.get(name)
            if figure is not None:
                trust = f"confidence {figure['confidence']:.2f}, {figure['source']}"
                table.add_row(name, _bar(figure["value"]), f"{figure['value']:.2f}", trust)
        emotions = sorted(self.state.get("emotions", {}).items(), key=lambda pair: -pair[1])[:5]
        mix = ", ".join(f"{name} {share:.2f}" for name, share in emotions) or "none read yet"
        trend = self.state.get("trajectory", {}).get("call") or "too few points"
        actions = ", ".join(one["action"] for one in self.recommendations) or "none"
        lines = [f"emotions        {mix}", f"trajectory      {trend}", f"recommendations {actions}"]
        if self.intervention is not None:
            why = ", ".join(self.intervention["because"])
            lines.append(f"intervention    {self.intervention['level']} ({why})")
        if self.state.get("modelStatus", "ok") != "ok":
            lines.append("the model is unavailable: the last message is not in the state")
        lines.append(f"version {self.state.get('version')}, {self.updates} updates seen")
        return Group(table, *(Text(line) for line in lines))


def _bar(value: float, width: int = 24) -> str:
    full = round(value * width)
    return "█" * full + "·" * (width - full)


async def follow(url: str, token: str) -> None:
    """Show the state until cancelled; connect again when the connection is lost.

    Raises:
        OperatorError: no gateway, or the token does not allow it.
    """
    view = View()
    console = Console()
    if not console.is_terminal:  # a pipe gets one picture after the other
        await _follow(url, token, view, lambda: console.print(view))
        return
    with Live(view, console=console, auto_refresh=False) as live:
        await _follow(url, token, view, live.refresh)


async def _follow(url: str, token: str, view: View, draw: Callable[[], None]) -> None:
    while True:
        async with connected(url, token) as socket:
            try:
                async for raw in socket:
                    view.take(orjson.loads(raw))
                    draw()
            except ConnectionClosed:
                pass  # the close code says whether to come back
            if socket.close_code in _FINAL:
                raise OperatorError(
                    f"closed by the gateway: {socket.close_code} {socket.close_reason}"
                )
        await asyncio.sleep(_RECONNECT_AFTER)

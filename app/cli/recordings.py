"""`masterx replay FILE.jsonl`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.context import fail, load_settings

if TYPE_CHECKING:
    from app.client.replay import Outcome


def replay(
    file: Annotated[Path, typer.Argument(help='lines of {"at": seconds, "message": {...}}')],
    speed: Annotated[
        str, typer.Option(help="real, a factor (10: ten times as fast), or max")
    ] = "real",
    user: Annotated[str, typer.Option(help="as whom")] = "demo",
    url: Annotated[str, typer.Option(help="of the gateway; default: from the settings")] = "",
    token: Annotated[
        str, typer.Option(help="default: the user's, signed here", envvar="MASTERX_TOKEN")
    ] = "",
    as_recorded: Annotated[bool, typer.Option(help="keep the recorded ids and times")] = False,
    wait: Annotated[float, typer.Option(help="seconds to wait for late answers")] = 10.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="only the summary")] = False,
) -> None:
    """Send recorded client messages over the WebSocket; print what comes back, and how fast.

    Each is sent until it is acknowledged. Recorded pings and resumes are left out.
    """
    factor = _factor(speed)
    settings = load_settings()
    import asyncio

    from app.client.gateway import gateway_url
    from app.client.learner import LearnerClient
    from app.client.replay import read
    from app.client.replay import replay as send
    from app.gateway.auth.dev_tokens import token_for

    lines = read(file)
    signed = token or token_for(settings, user)
    address = gateway_url(settings, url)

    async def run() -> Outcome:
        async with LearnerClient(address, user, signed) as client:
            return await send(
                client,
                lines,
                speed=factor,
                as_recorded=as_recorded,
                patience=wait,
                show=_silent if quiet else _show,
            )

    outcome = asyncio.run(run())
    _summary(outcome)
    if not outcome.complete:
        fail("not every message was answered" + (f" ({outcome.closed})" if outcome.closed else ""))


def _factor(speed: str) -> float:
    if speed == "real":
        return 1.0
    if speed == "max":
        return math.inf
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not factor > 0:
        fail(f"--speed {speed!r}: is neither real, max nor a positive number", status=2)
    return factor


def _silent(at: float, direction: str, message: dict[str, Any]) -> None:
    pass


def _show(at: float, direction: str, message: dict[str, Any]) -> None:
    typer.echo(f"{at:9.3f} {direction} {describe(message)}")


def describe(message: dict[str, Any]) -> str:  # noqa: PLR0911 - one a kind of message
    """One line about a message, without what a learner wrote."""
    kind = str(message.get("type"))
    match kind:
        case "user_state_update":
            state = message["userState"]
            figures = " ".join(
                f"{name} {state[name]['value']:.2f}"
                for name in ("valence", "arousal", "dominance")
                if name in state
            )
            parts = (
                figures,
                state.get("trajectory", {}).get("call", ""),
                _part(state, "readiness", "state"),
                _part(state, "intervention", "level", "need"),
            )
            return " ".join((kind, *filter(None, parts)))
        case "recommendations":
            actions = ", ".join(one["action"] for one in message["recommendations"])
            return f"{kind} {actions or 'none'}"
        case "intervention":
            return f"{kind} {message['level']} ({', '.join(message['because'])})"
        case "error":
            return f"{kind} {message['code']} {message.get('field') or ''} {message['message']}"
        case "ack":
            again = len(message.get("duplicates", ()))
            note = f", {again} known before" if again else ""
            return f"{kind} {len(message['eventIds'])} events{note}"
        case "interaction_batch":
            return f"{kind} of {len(message['interactions'])}"
        case "chat_message":
            return f"{kind} of {len(message['text'])} characters"
        case "hello":
            return f"{kind} offset {message.get('offset')}"
    return kind


def _part(state: dict[str, Any], group: str, field: str, name: str = "") -> str:
    """`readiness low`; nothing where the state does not say, or only what holds of everybody."""
    held = state.get(group, {})
    value = held.get(field) if held.get("source") != "prior" else None
    return f"{name or group} {value}" if value else ""


def _summary(outcome: Outcome) -> None:
    from rich.console import Console
    from rich.table import Table

    from app.client.replay import percentile

    console = Console()

    def counts(title: str, counter: dict[str, int]) -> None:
        text = ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))
        console.print(f"{title:<9} {text or 'nothing'}", highlight=False, soft_wrap=True)

    counts("sent", outcome.sent)
    counts("received", outcome.received)
    if outcome.errors:
        counts("errors", outcome.errors)
    table = Table("latency, ms", "n", "p50", "p95", "p99", "max", box=None, pad_edge=False)
    measured = {"ack": outcome.ack_latencies, "state update": outcome.state_latencies}
    for name, values in measured.items():
        cells = (
            [f"{percentile(values, s) * 1e3:.1f}" for s in (0.5, 0.95, 0.99, 1.0)]
            if values
            else ["-"] * 4
        )
        table.add_row(name, str(len(values)), *cells)
    console.print(table)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)

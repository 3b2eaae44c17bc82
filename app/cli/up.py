"""`masterx up` on the terminal: a table while it warms up, one line when it is ready."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from app.gateway.auth.tokens import issue
from app.local.doctor import Finding, examine
from app.local.programs import status_url
from app.local.supervisor import Supervisor
from app.settings import Settings

DEMO_USER = "demo"
_DEMO_TTL = 86_400.0
_COLOURS = {
    "ready": "green",
    "ok": "green",
    "starting": "yellow",
    "recovering": "yellow",
    "stopping": "yellow",
    "warning": "yellow",
    "degraded": "red",
    "restarting": "red",
    "failed": "red",
}


class Progress:
    """Shows each part's state: a live table on a terminal, one line a change elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, tuple[str, str]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, transient=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.settle()

    def settle(self) -> None:
        """Leave the table as it stands; later changes are lines."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def report(self, name: str, state: str, detail: str) -> None:
        """One part's new state."""
        if self._states.get(name) == (state, detail):
            return
        self._states[name] = (state, detail)
        if self._live is not None:
            self._live.update(self._table())
        else:
            colour = _COLOURS.get(state, "dim")
            self._console.print(
                f"{name:<9} [{colour}]{state}[/{colour}]"
                + (f" [dim]{detail}[/dim]" if detail else ""),
                soft_wrap=True,
                highlight=False,
            )

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, (state, detail) in self._states.items():
            colour = _COLOURS.get(state, "dim")
            table.add_row(name, f"[{colour}]{state}[/{colour}]", f"[dim]{detail}[/dim]")
        return table


def print_findings(findings: Iterable[Finding]) -> None:
    """One line a check: what, state, and what to do where it is not fine."""
    console = Console(stderr=True)
    for finding in findings:
        state = "ok" if finding.fine else ("failed" if finding.blocks else "warning")
        colour = _COLOURS[state]
        console.print(
            f"[{colour}]{state:<8}[/{colour}] {finding.name}: {finding.found}"
            + ("" if finding.fine else f"\n         → {finding.remedy}"),
            soft_wrap=True,
            highlight=False,
        )


def ready_line(settings: Settings) -> str:
    """What to look at, and with which token."""
    url = f"http://{settings.gateway.host}:{settings.gateway.port}"
    state = f"{status_url(settings.gateway)}/readyz"
    line = f"masterx is ready: {url}  state: {state}  logs: {settings.embedded.data_dir}/logs"
    if settings.auth.jwks_url is not None:
        return line
    token = issue(settings.auth, DEMO_USER, role="learner", ttl=_DEMO_TTL, consent=True)
    return f"{line}  token for {DEMO_USER}: {token}"


def run(settings: Settings) -> None:
    """Start everything and stay until Ctrl-C or SIGTERM.

    Raises:
        OperatorError: something that has to run does not start.
    """
    findings = [finding for finding in asyncio.run(examine(settings)) if not finding.fine]
    print_findings(findings)
    if any(finding.blocks for finding in findings):
        sys.exit(1)
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with Progress(Console(stderr=True)) as progress:

        def end(number: signal.Signals) -> None:
            progress.report("masterx", "stopping", number.name)
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end, number)

        def on_ready(connected: Settings) -> None:
            progress.settle()
            # Not through rich: it would wrap the token.
            print(ready_line(connected), flush=True)

        await Supervisor(settings, progress.report).run(stop, on_ready)

"""`masterx up`, `gateway`, `worker ROLE`, `llm`, `doctor`: what runs."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from app.cli.context import fail, load_settings
from app.worker.role import RoleError, chosen, roles

USAGE: Final = 2
"""Exit code of a command that was called wrongly, as for an unknown option."""


def up() -> None:
    """Start everything on this machine: services, topics, workers, gateway. Ctrl-C ends it."""
    settings = load_settings()
    from app.cli.up import run

    run(settings)


def gateway() -> None:
    """Run the gateway: WebSocket and REST on one port."""
    settings = load_settings()
    from app.gateway.process.server import run

    run(settings)


def worker(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="ROLE",
            help=f"Roles to run: {', '.join(roles())}.",
            autocompletion=lambda: list(roles()),
        ),
    ],
) -> None:
    """Run a worker role, or several in one process."""
    try:
        chosen_roles = chosen(names)
    except RoleError as error:
        fail(str(error), status=USAGE)
    settings = load_settings()
    from app.worker.process import run

    run(chosen_roles, settings)


def llm() -> None:
    """Serve a language model on this machine, for the tutor (docs/providers.md)."""
    settings = load_settings()
    from app.local.llm import run
    from app.process.errors import OperatorError
    from app.process.exits import Exit

    try:
        run(settings)
    except OperatorError as error:
        fail(str(error), status=Exit.CONFIG)


def doctor() -> None:
    """Check this machine before starting: what is wrong, where, what to do."""
    settings = load_settings()
    import asyncio

    from app.cli.up import print_findings
    from app.local.doctor import examine

    findings = asyncio.run(examine(settings))
    print_findings(findings)
    wrong = sum(finding.blocks for finding in findings)
    if wrong:
        fail(f"{wrong} of {len(findings)} checks failed")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, gateway, worker, llm, doctor):
        app.command()(command)

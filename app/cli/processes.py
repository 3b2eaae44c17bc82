"""`masterx up`, `gateway`, `worker ROLE`, `llm`, `doctor`: what runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from app.cli.context import fail, load_settings


class WorkerRole(StrEnum):
    """The worker roles (app.settings.ROLES; a test holds them together)."""

    EMOTION = "emotion"
    LEARNER = "learner"
    PUSH = "push"
    HISTORY = "history"
    TUTOR = "tutor"


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


def worker(role: Annotated[WorkerRole, typer.Argument(help="which role to play")]) -> None:
    """Run one worker role."""
    settings = load_settings()
    from app.worker.process import run

    run(role.value, settings)


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

"""`masterx watch USER`, `masterx forget USER` and `masterx rebuild [USER]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import fail, load_settings, writing

if TYPE_CHECKING:
    from app.analysis.rebuilding import Rebuilt


def watch(
    user: Annotated[str, typer.Argument(help="whose state to follow")],
    url: Annotated[str, typer.Option(help="of the gateway; default: from the settings")] = "",
    token: Annotated[
        str, typer.Option(help="default: an observer's, signed here", envvar="MASTERX_TOKEN")
    ] = "",
) -> None:
    """Follow a learner's live state in the terminal. Ctrl-C ends it."""
    import asyncio

    from app.client.gateway import gateway_url
    from app.client.live import follow
    from app.gateway.auth.dev_tokens import token_for_watching

    settings = load_settings()
    token = token or token_for_watching(settings, user)
    try:
        asyncio.run(follow(gateway_url(settings, url), user, token))
    except KeyboardInterrupt:
        raise typer.Exit from None


def forget(
    user: Annotated[str, typer.Argument(help="whom to forget")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    requested_by: Annotated[str, typer.Option(help="who asked for it, for the record")] = "",
    wait: Annotated[float, typer.Option(help="seconds to wait for the workers")] = 30.0,
) -> None:
    """Erase a learner everywhere, and say what remains until its retention ends."""
    settings = load_settings()
    if not yes and not typer.confirm(f"Erase everything of {user!r}? It cannot be undone"):
        fail("nothing was erased")
    import asyncio

    from pydantic import ValidationError

    from app.privacy.erasure import forget as erase

    try:
        report = asyncio.run(erase(settings, user, requested_by=requested_by, within=wait))
    except ValidationError as error:
        fail(f"USER {user!r}: {error.errors(include_url=False)[0]['msg']}")
    typer.echo(str(report))
    if not report.complete:
        raise typer.Exit(1)


def rebuild(
    out: Annotated[Path, typer.Option(help="the file to write, JSON lines", dir_okay=False)],
    user: Annotated[str, typer.Argument(help="of this learner; default: all")] = "",
    settings: Annotated[
        Path | None,
        typer.Option(help="TOML of other settings, like [learner.evidence]", dir_okay=False),
    ] = None,
) -> None:
    """Write every state that was, or that would have been under other settings.

    Applies the events that Kafka still has once more (docs/analytics.md). Changes nothing.
    """
    import asyncio

    from app.analysis.rebuilding import rebuild as build
    from app.analysis.rebuilding import with_changes
    from models.learner.behaviour.serving.artefact import BehaviourArtefactProblem
    from models.learner.nets.serving.artefact import NetProblem
    from models.learner.rules import PolicyError

    effective = load_settings()
    try:
        other = None if settings is None else with_changes(effective, settings)
        with writing(out):
            done = asyncio.run(build(effective, out, user=user or None, other=other))
    except (NetProblem, BehaviourArtefactProblem, PolicyError) as problem:
        fail(str(problem))
    _say(out, done)


def _say(out: Path, done: Rebuilt) -> None:
    typer.echo(f"{out}: {done.states} states of {done.learners} learners")
    typer.echo(
        f"{done.equal + done.different} of them stand on user-state: {done.equal} equal, "
        f"{done.different} different"
    )
    notes = {
        f"{done.in_part} learners begin with a stored record: Kafka lacks events": done.in_part,
        f"{done.inexact} learners not exact: other settings then, or order unknown": done.inexact,
        f"{done.pending} events left out: the learner worker has not applied them": done.pending,
    }
    for note, count in notes.items():
        if count:
            typer.echo(note, err=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(watch)
    app.command()(forget)
    app.command()(rebuild)

"""`masterx watch USER` and `masterx forget USER`."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.context import fail, load_settings


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


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(watch)
    app.command()(forget)

"""`masterx token`: a signed token on stdout, and nothing else there."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from app.cli.context import fail, load_settings


class TokenRole(StrEnum):
    """What a token's bearer may do (app.gateway.auth.tokens.Role; a test holds them together)."""

    LEARNER = "learner"
    OBSERVER = "observer"
    SERVICE = "service"
    ADMIN = "admin"


def token(
    user: Annotated[str, typer.Argument(help="whose token (the subject)")],
    role: Annotated[TokenRole, typer.Option(help="what it may do")] = TokenRole.LEARNER,
    ttl: Annotated[float, typer.Option(help="seconds until it expires")] = 3600.0,
    learners: Annotated[
        str, typer.Option(help="whom an observer may see, comma-separated", metavar="A,B")
    ] = "",
    consent: Annotated[bool, typer.Option(help="the learner agrees to be processed")] = True,
) -> None:
    """Print a signed token (development secret or MASTERX_AUTH__SECRET)."""
    settings = load_settings()
    from app.gateway.auth.tokens import CannotIssue, issue

    seen = tuple(name.strip() for name in learners.split(",") if name.strip())
    if role is TokenRole.OBSERVER and not seen:
        typer.echo("note: without --learners this observer sees nobody", err=True)
    try:
        signed = issue(
            settings.auth, user, role=role.value, ttl=ttl, consent=consent, learners=seen
        )
    except CannotIssue as error:
        fail(str(error))
    except ValueError as error:
        fail(f"USER {user!r}: {_first_line(error)}")
    typer.echo(signed)


def _first_line(error: ValueError) -> str:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return str(error.errors(include_url=False)[0]["msg"])
    return str(error)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(token)

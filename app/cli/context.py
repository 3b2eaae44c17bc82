"""What every command shares: the settings, or why there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from app.settings import Settings


def load_settings() -> Settings:
    """The effective settings. Ends the command with status 2 when a value cannot be used."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from app.settings import get_settings

    try:
        return get_settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            place = "__".join(str(part).upper() for part in problem["loc"])
            typer.echo(f"error: MASTERX_{place}: {problem['msg']}", err=True)
        raise typer.Exit(2) from None
    except SettingsError as error:
        fail(str(error), status=2)


def fail(text: str, status: int = 1) -> NoReturn:
    """End the command with one line on stderr."""
    typer.echo(f"error: {text}", err=True)
    raise typer.Exit(status)

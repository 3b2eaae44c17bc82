"""`masterx settings` and `masterx export-schemas`: what can be set, what travels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.context import load_settings

if TYPE_CHECKING:
    from pydantic import BaseModel


def settings(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Show the effective values; secrets and passwords in URLs are masked."""
    effective = masked(load_settings())
    if as_json:
        import orjson

        typer.echo(orjson.dumps(effective, option=orjson.OPT_INDENT_2).decode())
        return
    for name, text in _lines(effective, "MASTERX_"):
        typer.echo(f"{name}={text}")


def masked(model: BaseModel) -> dict[str, Any]:
    """The settings as JSON-ready values, without a secret in them."""
    from app.process.errors import without_password

    def mask(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: mask(one) for name, one in value.items()}
        if isinstance(value, str) and "://" in value:
            return without_password(value)
        return value

    masked_values = mask(model.model_dump(mode="json"))
    assert isinstance(masked_values, dict)
    return masked_values


def _lines(values: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    import orjson

    lines: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict) and prefix == "MASTERX_":
            lines += _lines(value, f"{prefix}{name.upper()}__")
        else:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            lines.append((f"{prefix}{name.upper()}", text))
    return lines


def export_schemas(
    directory: Annotated[Path, typer.Argument(help="where to write them")],
) -> None:
    """Write JSON Schema of every message and the AsyncAPI document."""
    from app.contracts.export import export

    export(directory)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(settings)
    app.command("export-schemas")(export_schemas)

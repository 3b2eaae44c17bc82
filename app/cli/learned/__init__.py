"""`masterx train WHAT` and `masterx evaluate WHAT`: each model's module adds its own command."""

from __future__ import annotations

import typer

training = typer.Typer(help="Fit a model and write its artefact.", no_args_is_help=True)
evaluating = typer.Typer(help="Measure what was trained.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the two groups."""
    app.add_typer(training, name="train")
    app.add_typer(evaluating, name="evaluate")

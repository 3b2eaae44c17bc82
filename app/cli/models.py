"""`masterx train emotion` and `masterx evaluate emotion`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import fail, load_settings
from app.cli.learning import evaluating, training

if TYPE_CHECKING:
    from models.emotion.evaluation import Evaluation


class DataFormat(StrEnum):
    """How a labelled file is laid out (models.emotion.figures.Format; a test compares them)."""

    GOEMOTIONS = "goemotions"
    EMOBANK = "emobank"
    TSV = "tsv"


@training.command("emotion")
def train(
    profile: Annotated[
        str, typer.Option(help="a packaged recipe's name, or a TOML file")
    ] = "frozen",
    out: Annotated[
        Path | None,
        typer.Option(help="folder of the artefact; default: models/PROFILE in the data folder"),
    ] = None,
) -> None:
    """Fit it on the labelled data sets and write its artefact. Goes on where it stopped."""
    settings = load_settings()
    from pydantic import ValidationError
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from models.emotion.artefact import ArtefactProblem
    from models.emotion.encoders import EncoderNotFound
    from models.emotion.examples import DataProblem
    from models.emotion.recipe import load_recipe
    from models.emotion.training import Progress
    from models.emotion.training import train as fit

    # Never over the shipped one: that is replaced by promoting, or by a commit.
    folder = out or settings.embedded.data_dir / "models" / Path(profile).stem
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    try:
        with Bar(*columns) as bar:
            task = bar.add_task("starting", total=None, loss="")

            def report(now: Progress) -> None:
                loss = "" if now.loss is None else f"loss {now.loss:.4f}"
                bar.update(
                    task,
                    description=now.phase,
                    completed=now.step,
                    total=now.steps or None,
                    loss=loss,
                )

            artefact = fit(load_recipe(profile), settings.data_dir, folder, report)
    except (
        FileNotFoundError,
        DataProblem,
        ValidationError,
        ArtefactProblem,
        EncoderNotFound,
    ) as error:
        fail(str(error))
    typer.echo(f"{folder}: version {artefact.version}. Serve it: masterx models promote {folder}")


@evaluating.command("emotion")
def evaluate(
    data: Annotated[Path, typer.Option(help="the labelled file")],
    data_format: Annotated[
        DataFormat, typer.Option("--format", help="its layout")
    ] = DataFormat.GOEMOTIONS,
    predictions: Annotated[Path | None, typer.Option(help="write JSON lines, one a row")] = None,
    plot: Annotated[Path | None, typer.Option(help="folder for the pictures")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Measure the trained artefact on a labelled file, or predict an unlabelled one."""
    settings = load_settings()
    from models.emotion.artefact import ArtefactProblem
    from models.emotion.encoders import EncoderNotFound
    from models.emotion.evaluation import evaluate as measure
    from models.emotion.examples import DataProblem

    try:
        outcome = measure(
            data, data_format.value, settings.emotion, predictions=predictions, plot=plot
        )
    except (DataProblem, ArtefactProblem, EncoderNotFound) as error:
        fail(str(error))
    if as_json:
        import orjson

        typer.echo(orjson.dumps(outcome.figures.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        _show(outcome)


models = typer.Typer(help="Trained models that are served.", no_args_is_help=True)


@models.command()
def promote(
    folder: Annotated[Path, typer.Argument(help="of the artefact: model.safetensors, card.json")],
) -> None:
    """Let every emotion worker take up an artefact, without a restart.

    The old weights read until the new ones have warmed; each reading names its version.
    """
    pointer = load_settings().emotion.promoted
    if pointer is None:
        fail("emotion.promoted: set MASTERX_EMOTION__PROMOTED to a file that all workers see")
    from models.emotion.artefact import ArtefactProblem
    from models.emotion.encoders import EncoderNotFound
    from models.emotion.promotion import promote as move_pointer

    try:
        artefact = move_pointer(folder, pointer)
    except (ArtefactProblem, EncoderNotFound) as error:
        fail(str(error))
    typer.echo(f"{pointer}: now {artefact.version}")


def _show(outcome: Evaluation) -> None:
    from models.emotion.evaluation import confusions

    for name, value in outcome.figures.as_json().items():
        if isinstance(value, dict):
            for part, figure in value.items():
                typer.echo(f"{name}.{part}: {figure}")
        elif value is not None:
            typer.echo(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    if outcome.labelled is not None:
        typer.echo("most frequent confusions (true, read, texts):")
        for true, read, texts in confusions(outcome.labelled):
            typer.echo(f"  {true}, {read}, {texts}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(models, name="models")

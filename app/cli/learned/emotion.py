"""`masterx train emotion` and `masterx evaluate emotion`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.context import fail, load_settings, writing, writing_into
from app.cli.learned import evaluating, training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.settings import Settings
    from models.emotion.measuring.evaluation import Evaluation
    from models.emotion.measuring.figures import Labelled


class DataFormat(StrEnum):
    """How a labelled file is laid out (`figures.Format`; a test compares them)."""

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
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from models.emotion.artefact.artefact import ArtefactProblem
    from models.emotion.training.recipe import load_recipe
    from models.emotion.training.run import Progress
    from models.emotion.training.run import train as fit

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
        with writing_into(folder), Bar(*columns) as bar:
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
    except (FileNotFoundError, ValueError, ArtefactProblem) as error:
        # ValueError: of a recipe, of its data, or of a folder that holds another recipe's run.
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
    from models.emotion.artefact.artefact import ArtefactProblem
    from models.emotion.measuring.evaluation import evaluate as measure
    from models.emotion.training.examples import DataProblem

    try:
        with writing_into(plot), writing(predictions):
            outcome = measure(
                data, data_format.value, settings.emotion, predictions=predictions, plot=plot
            )
    except (DataProblem, ArtefactProblem) as error:
        fail(str(error))
    if as_json:
        import orjson

        typer.echo(orjson.dumps(outcome.figures.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        _show(outcome)
    if plot is not None and not outcome.pictures:
        typer.echo("nothing labelled: no pictures", err=True)


models = typer.Typer(help="Trained models that are served.", no_args_is_help=True)


@models.command()
def promote(
    folder: Annotated[Path, typer.Argument(help="of the artefact: model.safetensors, card.json")],
    force: Annotated[
        bool,
        typer.Option("--force", help="also where a net of the learner's cannot read its readings"),
    ] = False,
) -> None:
    """Let every emotion worker take up an artefact, without a restart.

    The old weights read until the new ones have warmed; each reading names its version.
    The intervention net reads the embeddings of one model only. If it would no longer see any
    text, the command refuses.
    """
    settings = load_settings()
    pointer = settings.emotion.promoted
    if pointer is None:
        fail("emotion.promoted: set MASTERX_EMOTION__PROMOTED to a file that all workers see")
    from models.emotion.artefact.artefact import ArtefactProblem, load
    from models.emotion.artefact.promotion import ReadersLeftBehind
    from models.emotion.artefact.promotion import promote as move_pointer
    from models.emotion.serving.engine import build_engine
    from models.learner.nets.serving.artefact import NetProblem

    try:
        # Here, before any worker tries: its graph must load, and read.
        build_engine(load(folder), settings.emotion).warm()
        artefact = move_pointer(folder, pointer, {} if force else _read_by(settings))
    except ReadersLeftBehind as error:
        fail(
            f"{error}. Train the net anew on this model and serve it with the promotion "
            f"(MASTERX_EMOTION__ARTEFACT={folder} masterx train intervention, then "
            "MASTERX_LEARNER__NETS__INTERVENTION), or go on without: --force"
        )
    except NetProblem as error:
        fail(f"cannot tell which emotion model is read: {error}. To promote all the same: --force")
    except ArtefactProblem as error:
        fail(str(error))
    typer.echo(f"{pointer}: now {artefact.version}")


@models.command()
def export(
    folder: Annotated[Path, typer.Argument(help="of the artefact: model.safetensors, card.json")],
    profile: Annotated[
        str | None,
        typer.Option(help="recipe that names its data; default: the one that the card names"),
    ] = None,
) -> None:
    """Write the graph that a processor runs, and into the card what it costs.

    `masterx train emotion` does it at its end. Do it for an artefact of 0.2, which has none.
    The version changes, so the nets that read its embeddings need training anew.
    """
    settings = load_settings()
    from models.emotion.artefact.artefact import ArtefactProblem, load
    from models.emotion.exporting.export import export as write
    from models.emotion.training.recipe import load_recipe
    from models.emotion.training.sources import load_sources

    try:
        artefact = load(folder)
        recipe = load_recipe(profile or artefact.card.profile)
        sources = load_sources(settings.data_dir, recipe)
        with writing_into(folder):
            written = write(artefact, sources, lambda step: typer.echo(step, err=True))
    except (FileNotFoundError, ValueError, ArtefactProblem) as error:
        fail(str(error))
    typer.echo(f"{folder}: version {written.version}")


def _read_by(settings: Settings) -> dict[str, str]:
    """Of each net here that reads embeddings, those of which model. Raises NetProblem."""
    from models.learner.nets.serving.artefact import load

    nets = settings.learner.nets
    cards = [load(folder).card for folder in (nets.readiness, nets.intervention) if folder]
    return {card.name: card.emotion_version for card in cards if card.emotion_version}


def _show(outcome: Evaluation) -> None:
    for name, value in outcome.figures.as_json().items():
        if name == "per_class" or value is None:
            continue
        if isinstance(value, dict):
            for part, figure in value.items():
                typer.echo(f"{name}.{part}: {figure:.4f}")
        else:
            typer.echo(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    if outcome.labelled is not None and len(outcome.labelled.truth):
        _show_labelled(outcome.labelled, outcome.figures.per_class or {})
    for picture in outcome.pictures:
        typer.echo(f"picture: {picture}")


def _show_labelled(part: Labelled, per_class: dict[str, dict[str, Any]]) -> None:
    from models.emotion.measuring.evaluation import confusions

    typer.echo("\nreliability of the most probable label:")
    _table(
        ("confidence", "accuracy", "n"),
        [
            (
                f"{b['confidence']:.3f}",
                f"{b['accuracy']:.3f}",
                f"{b['share'] * len(part.truth):.0f}",
            )
            for b in part.reliability
        ],
    )
    typer.echo(
        "\nclasses, and what most probable label was read instead (texts); a text of several "
        "classes counts for each:"
    )
    rows = []
    for name, confused in confusions(part).items():
        of = per_class[name]
        scores = (f"{of[figure]:.3f}" for figure in ("precision", "recall", "f1"))
        read = ", ".join(f"{label} {texts}" for label, texts in confused.instead)
        rows.append((name, str(of["support"]), *scores, str(confused.first), read))
    _table(("class", "n", "precision", "recall", "f1", "first", "read instead"), rows)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as their cells, whatever the terminal: to be read, and to be piped."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  " + "  ".join(cells).rstrip())


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(models, name="models")

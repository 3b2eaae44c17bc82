"""`masterx train tutor-moves` and `masterx evaluate tutor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import fail, load_settings
from app.cli.learned import evaluating, training

if TYPE_CHECKING:
    from models.tutor.moves.serving.card import MoveFigures
    from models.tutor.moves.training.evaluation import Report


def train(
    out: Annotated[
        Path | None,
        typer.Option(help="folder of the artefact; default: models/tutor-moves in the data folder"),
    ] = None,
) -> None:
    """Learn teachers' next moves from annotated tutoring dialogues."""
    settings = load_settings()
    from models.tutor.moves.training.readers import DataProblem
    from models.tutor.moves.training.run import train as fit

    folder = out or settings.embedded.data_dir / "models" / "tutor-moves"
    try:
        version = fit(settings.data_dir, folder, lambda phase: typer.echo(phase, err=True))
    except DataProblem as error:
        fail(str(error))
    typer.echo(f"{folder}: version {version}")


def evaluate(
    data: Annotated[Path, typer.Option(help="MathDial's JSON lines")],
    predictions: Annotated[
        Path | None, typer.Option(help="write JSON lines, one a teacher turn")
    ] = None,
    artefact: Annotated[
        Path | None, typer.Option(help="folder of the artefact; default: the packaged one")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Compare the tutor's next move with the teacher's, from what stood before each turn."""
    from models.tutor.moves.serving.artefact import SHIPPED, ArtefactProblem, load
    from models.tutor.moves.training.evaluation import evaluate as measure
    from models.tutor.moves.training.evaluation import write
    from models.tutor.moves.training.readers import DataProblem

    try:
        report, predicted = measure(data, load(artefact or SHIPPED))
        if predictions is not None:
            write(predicted, predictions)
    except (DataProblem, ArtefactProblem, OSError) as error:
        fail(str(error))
    if as_json:
        import orjson

        typer.echo(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        _show(report)


def _show(report: Report) -> None:
    typer.echo(f"{report.teacher_turns} teacher turns, {report.labelled} labelled")
    typer.echo(f"version: {report.version}")
    if report.all is None:
        typer.echo("no turn is labelled: nothing to compare with")
        return
    if report.seen:
        typer.echo(f"{report.seen} of them are of dialogues that the model learned from:")
        typer.echo(
            "how it does on new ones stands in the model card, and below where there are any"
        )
    _show_figures("all", report.all)
    if report.unseen is not None and report.seen:
        _show_figures("unseen", report.unseen)


def _show_figures(name: str, figures: MoveFigures) -> None:
    low, high = figures.interval
    typer.echo(f"{name}.accuracy: {figures.accuracy:.3f} ({low:.3f} to {high:.3f})")
    typer.echo(f"{name}.macro_f1: {figures.macro_f1:.3f}")
    typer.echo(f"{name}.always_{figures.baseline}: {figures.baseline_accuracy:.3f}")
    low, high = figures.gain_interval
    typer.echo(f"{name}.gain: {figures.gain:+.3f} ({low:+.3f} to {high:+.3f})")
    for label, of in figures.per_class.items():
        typer.echo(f"{name}.{label}: {of.turns} turns, recall {of.recall:.3f}, F1 {of.f1:.3f}")


def register(_: typer.Typer) -> None:
    """Add the commands to the groups `train` and `evaluate`."""
    training.command("tutor-moves")(train)
    evaluating.command("tutor")(evaluate)

"""`masterx train behaviour` and `masterx evaluate behaviour`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.context import fail, load_settings, writing, writing_into
from app.cli.learned import evaluating, training


class Task(StrEnum):
    """What can be evaluated (`NAMES` of the behaviour artefact; a test compares them)."""

    NEXT_CORRECT = "next_correct"
    NEXT_HINT = "next_hint"
    LOAD = "load"
    OFFTASK = "offtask"


@training.command("behaviour")
def train(
    data_dir: Annotated[
        Path | None, typer.Option(help="folder of the data sets; default: setting data_dir")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="folder of the artefact; default: models/behaviour in the data folder"),
    ] = None,
) -> None:
    """Fit the estimators of behaviour, cross-validated by person; five minutes."""
    settings = load_settings()
    from models.learner.behaviour.training.run import train as fit
    from models.learner.behaviour.training.sources import BehaviourDataProblem

    # Never over the shipped one: that is replaced by the setting, or by a commit.
    folder = out or settings.embedded.data_dir / "models" / "behaviour"
    try:
        with writing_into(folder):
            figures = fit(
                data_dir or settings.data_dir, folder, lambda task: typer.echo(task, err=True)
            )
    except BehaviourDataProblem as error:
        fail(str(error))
    for task, found in figures.items():
        low, high = found.interval
        typer.echo(f"{task}: AUC {found.auc:.3f} [{low:.3f}, {high:.3f}], ECE {found.ece:.3f}")
    model = folder / "model.json"
    typer.echo(f"Serve it: set MASTERX_LEARNER__BEHAVIOUR__ARTEFACT={model}")


@evaluating.command("behaviour")
def evaluate(
    task: Annotated[Task, typer.Option(help="which estimator")],
    data: Annotated[Path, typer.Option(help="a file with the columns of its data set")],
    predictions: Annotated[Path | None, typer.Option(help="write JSON lines, one a row")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Measure an estimator on people it has not seen, or predict unlabelled rows."""
    settings = load_settings()
    from models.learner.behaviour.serving.artefact import BehaviourArtefactProblem
    from models.learner.behaviour.training.evaluation import evaluate as measure
    from models.learner.behaviour.training.sources import BehaviourDataProblem

    artefact = settings.learner.behaviour.artefact
    try:
        with writing(predictions):
            outcome = measure(task.value, data, artefact, predictions)
    except (BehaviourDataProblem, BehaviourArtefactProblem) as error:
        fail(str(error))
    found = outcome.as_json()
    if as_json:
        import orjson

        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    notes = found.pop("notes")
    for name, value in found.items():
        if value is not None:
            typer.echo(f"{name}: {_figure(value)}")
    for note in notes:
        typer.echo(f"note: {note}")


def _figure(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(map(_figure, value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def register(app: typer.Typer) -> None:
    """Nothing to add: the commands stand in the groups train and evaluate."""

"""`masterx train readiness|intervention` and `masterx evaluate intervention`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.context import fail, load_settings, writing, writing_into
from app.cli.learned import evaluating, training

Out = Annotated[
    Path | None,
    typer.Option(help="folder of the artefact; default: models/NAME in the data folder"),
]


@training.command("readiness")
def train_readiness(out: Out = None) -> None:
    """Fit the readiness net to next-correct outcomes (assistments2009)."""
    settings = load_settings()
    from models.learner.behaviour.serving.artefact import BehaviourArtefactProblem
    from models.learner.behaviour.training.sources import BehaviourDataProblem
    from models.learner.nets.fitting.run import train_readiness as fit

    folder = out or settings.embedded.data_dir / "models" / "readiness"
    try:
        with writing_into(folder):
            artefact = fit(settings.data_dir, settings.learner, folder, typer.echo)
    except (BehaviourDataProblem, BehaviourArtefactProblem) as error:
        fail(str(error))
    typer.echo(
        f"{folder}: version {artefact.version}. Serve it: MASTERX_LEARNER__NETS__READINESS={folder}"
    )


@training.command("intervention")
def train_intervention(out: Out = None) -> None:
    """Fit the intervention net (forum_urgency, assistments2009) to the served emotion model."""
    settings = load_settings()
    from models.emotion.artefact.artefact import ArtefactProblem
    from models.learner.behaviour.serving.artefact import BehaviourArtefactProblem
    from models.learner.behaviour.training.sources import BehaviourDataProblem
    from models.learner.nets.fitting.run import train_intervention as fit
    from models.learner.nets.serving.artefact import NetProblem

    folder = out or settings.embedded.data_dir / "models" / "intervention"
    try:
        with writing_into(folder):
            artefact = fit(
                settings.data_dir, settings.learner, settings.emotion, folder, typer.echo
            )
    except (
        BehaviourDataProblem,
        BehaviourArtefactProblem,
        NetProblem,
        ArtefactProblem,
    ) as error:
        fail(str(error))
    typer.echo(
        f"{folder}: version {artefact.version}. "
        f"Serve it: MASTERX_LEARNER__NETS__INTERVENTION={folder}"
    )


@evaluating.command("intervention")
def evaluate_intervention(
    data: Annotated[Path, typer.Option(help="CSV with post_text; id and Urgency_1_7 if known")],
    predictions: Annotated[Path | None, typer.Option(help="write JSON lines, one a row")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Measure the intervention net on posts graded 1-7, or predict posts without a grade."""
    settings = load_settings()
    import orjson

    from models.emotion.artefact.artefact import ArtefactProblem
    from models.learner.nets.fitting.evaluation import evaluate
    from models.learner.nets.serving.artefact import NetProblem

    try:
        with writing(predictions):
            found = evaluate(data, settings.learner.nets, settings.emotion, predictions).as_json()
    except (NetProblem, ArtefactProblem) as error:
        fail(str(error))
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    for name, value in found.items():
        if name != "per_level":
            typer.echo(f"{name}: {value}")
    for level, row in found["per_level"].items():
        typer.echo(f"{level}: " + ", ".join(f"{k} {v}" for k, v in row.items()))


def register(app: typer.Typer) -> None:
    """The commands joined their groups when this module was imported."""

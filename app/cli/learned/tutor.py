"""`masterx train tutor-moves` and `masterx evaluate tutor`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from app.cli.context import fail, load_settings, writing
from app.cli.learned import evaluating, training

if TYPE_CHECKING:
    from models.tutor.moves.serving.card import MoveFigures
    from models.tutor.moves.training.evaluation import Report

T = TypeVar("T")

_TERMINATED: Final = 128 + signal.SIGTERM
"""Exit status of what a signal ended."""


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
    data: Annotated[
        Path | None, typer.Option(help="MathDial's JSON lines: compare the tutor's next moves")
    ] = None,
    dialogues: Annotated[
        Path | None,
        typer.Option(
            help="JSON lines, a dialogue each (examples/dialogues.jsonl): let the tutor reply",
            dir_okay=False,
        ),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="with --data: write JSON lines, one a teacher turn")
    ] = None,
    artefact: Annotated[
        Path | None,
        typer.Option(help="with --data: folder of the artefact; default: the packaged one"),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(help="with --dialogues: ask this one alone; default: all that are set up"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="with --dialogues: write JSON lines, one a learner turn")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Compare the tutor's moves with teachers' (--data), or read its replies (--dialogues).

    --dialogues starts a Redis of its own. It needs no Kafka and no MongoDB, and without a provider
    it says what learners get then. Nothing but the file of --out is kept.
    """
    if (data is None) == (dialogues is None):
        fail("name one of --data and --dialogues", status=2)
    if dialogues is not None:
        _refuse("--data", predictions=predictions, artefact=artefact)
        _reply(dialogues, provider, out, as_json=as_json)
    elif data is not None:
        _refuse("--dialogues", provider=provider, out=out)
        _compare(data, predictions, artefact, as_json=as_json)


def _refuse(needed: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None:
            fail(f"--{name} goes with {needed}", status=2)


def _compare(data: Path, predictions: Path | None, artefact: Path | None, *, as_json: bool) -> None:
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
        _print_json(report.as_json())
    else:
        _show(report)


def _reply(file: Path, provider: str | None, out: Path | None, *, as_json: bool) -> None:
    import asyncio

    from app.process import logs
    from app.tutor.evaluation.dialogues import read_dialogues
    from app.tutor.evaluation.report import TurnLine
    from app.tutor.evaluation.running import asking_only, run_dialogues

    settings = load_settings()
    # What a worker says of each request is said by the lines here.
    level = settings.log.level if "level" in settings.log.model_fields_set else "warning"
    logs.configure(settings.log.model_copy(update={"level": level}))
    if provider is not None:
        settings = asking_only(settings, provider)
    try:
        dialogues = read_dialogues(file)
    except (ValueError, OSError) as error:
        fail(str(error))
    with writing(out):
        pass

    def told(line: TurnLine) -> None:
        if out is not None:
            # What stood there is gone only when the first turn is over; who interrupts a long
            # run has the turns so far.
            mode = "ab" if line.dialogue or line.turn else "wb"
            with writing(out), out.open(mode) as lines:
                lines.write(line.json_line())
        if sys.stderr.isatty():
            typer.echo(f"{line.dialogue}:{line.turn} {line.verdict}, {line.seconds} s", err=True)

    try:
        report = asyncio.run(_until_terminated(run_dialogues(settings, dialogues, told)))
    except asyncio.CancelledError:
        raise typer.Exit(_TERMINATED) from None
    if as_json:
        _print_json(report.as_json())
    else:
        typer.echo(report.as_text())


async def _until_terminated(run: Coroutine[Any, Any, T]) -> T:
    """SIGTERM ends it in good order, as Ctrl-C does."""
    import asyncio

    task = asyncio.ensure_future(run)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _print_json(document: dict[str, Any]) -> None:
    import orjson

    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


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

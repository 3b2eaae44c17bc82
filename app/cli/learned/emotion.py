"""`masterx train emotion` and `masterx evaluate emotion`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import fail, load_settings, writing, writing_into
from app.cli.learned import evaluating, training
from app.cli.learned.emotion_tables import show

if TYPE_CHECKING:
    from app.settings import Settings
    from models.emotion.measuring.evaluation import Evaluation, MessageEvaluation


class DataFormat(StrEnum):
    """How the data are laid out (`figures.Format`, `MessageFormat`; a test compares them)."""

    GOEMOTIONS = "goemotions"
    EMOBANK = "emobank"
    TSV = "tsv"
    SIGN = "sign"
    CONCERN = "concern"
    DIALOGUES = "dialogues"
    GROUPS = "groups"


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
    data: Annotated[Path, typer.Option(help="the labelled file; of groups, a folder")],
    data_format: Annotated[
        DataFormat, typer.Option("--format", help="its layout")
    ] = DataFormat.GOEMOTIONS,
    predictions: Annotated[Path | None, typer.Option(help="write JSON lines, one a row")] = None,
    plot: Annotated[Path | None, typer.Option(help="folder for the pictures")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
    band: Annotated[
        str,
        typer.Option(
            metavar="LOW,HIGH",
            help="valence that is no sign, for sign, concern and groups; default: the artefact's",
        ),
    ] = "",
    concern_at: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="probability of concern from which one message raises an alarm, for sign, "
            "concern, dialogues and groups; default: setting emotion.concern.at",
        ),
    ] = None,
    words_alone: Annotated[
        bool,
        typer.Option(
            "--words-alone",
            help="of concern: the tutor's lexicon without the model, as while that is down",
        ),
    ] = False,
) -> None:
    """Measure the trained artefact on a labelled file, or predict an unlabelled one."""
    if words_alone and data_format is not DataFormat.CONCERN:
        fail("--words-alone: only with --format concern", status=2)
    if words_alone and (band or concern_at is not None or plot is not None):
        fail("--words-alone: not with --band, --concern-at or --plot", status=2)
    settings = load_settings()
    from models.emotion.artefact.artefact import ArtefactProblem
    from models.emotion.measuring.evaluation import evaluate as measure
    from models.emotion.measuring.evaluation import evaluate_messages as measure_messages
    from models.emotion.serving.errors import ModelUnavailable
    from models.emotion.training.examples import DataProblem
    from models.tutor.safety.lexicon import LexiconProblem

    outcome: Evaluation | MessageEvaluation
    try:
        with writing_into(plot), writing(predictions):
            match data_format.value:
                case "sign" | "concern" | "dialogues" | "groups" as form:
                    if form == "dialogues" and band:
                        fail("--band: only with --format sign, concern or groups", status=2)
                    outcome = measure_messages(
                        data,
                        form,
                        settings.emotion,
                        settings.tutor.safety,
                        band=_band(band),
                        concern_at=concern_at,
                        predictions=predictions,
                        plot=plot,
                        words_alone=words_alone,
                    )
                case form:
                    if band or concern_at is not None:
                        fail(
                            "--band, --concern-at: only with --format sign, concern, dialogues or "
                            "groups",
                            status=2,
                        )
                    outcome = measure(
                        data, form, settings.emotion, predictions=predictions, plot=plot
                    )
    except (DataProblem, ArtefactProblem, LexiconProblem, ModelUnavailable) as error:
        fail(str(error))
    if as_json:
        import orjson

        typer.echo(orjson.dumps(outcome.figures.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        show(outcome)
    if plot is not None and not outcome.pictures:
        typer.echo(_WITHOUT_PICTURES.get(data_format, "nothing labelled: no pictures"), err=True)


_WITHOUT_PICTURES = {
    DataFormat.SIGN: "--plot: there are no pictures of --format sign",
    DataFormat.DIALOGUES: "--plot: there are no pictures of --format dialogues",
    DataFormat.GROUPS: "--plot: there are no pictures of --format groups",
    DataFormat.CONCERN: "no picture: it needs labels of both kinds, and a model that says concern",
}


def _band(text: str) -> tuple[float, float] | None:
    """None for an empty one. Ends the command with status 2 for what is no band."""
    if not text:
        return None
    from models.emotion.artefact.card import checked_band

    try:
        low, high = map(float, text.split(","))
        return checked_band((low, high))
    except ValueError:
        fail(f"--band {text!r}: expected LOW,HIGH, with 0 <= LOW <= HIGH <= 1", status=2)


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


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(models, name="models")

"""`masterx topics create|list|plan|export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import fail, load_settings, moment, writing

if TYPE_CHECKING:
    from app.kafka.admin import TopicStatus

app = typer.Typer(
    help="Create the topics, show them, plan them, or export one.", no_args_is_help=True
)


@app.command()
def create() -> None:
    """Create what is missing. Changes nothing that exists."""
    import asyncio

    from app.kafka.admin import create_topics
    from app.kafka.plan import left_out
    from app.kafka.topics import catalogue

    settings = load_settings()
    topics = asyncio.run(create_topics(settings))
    _show(topics)
    refused = {topic.name: topic.refused for topic in topics}
    for topic in catalogue(settings.kafka):
        for one in left_out(settings, topic, refused[topic.name]):
            typer.echo(f"refused by the broker: {one}", err=True)


@app.command("list")
def list_() -> None:
    """Show every topic: what travels on it, its partitions on the broker."""
    import asyncio

    from app.kafka.admin import list_topics

    _show(asyncio.run(list_topics(load_settings())))


class PlanFormat(StrEnum):
    """How the plan is written."""

    PLAIN = "plain"
    STRIMZI = "strimzi"


@app.command()
def plan(
    format_: Annotated[
        PlanFormat, typer.Option("--format", help="a line a topic, or Strimzi's KafkaTopics")
    ] = PlanFormat.PLAIN,
    cluster: Annotated[str, typer.Option(help="name of Strimzi's Kafka resource")] = "my-cluster",
) -> None:
    """Print the topics and their settings, to create them elsewhere. Asks no broker."""
    from app.kafka import plan

    settings = load_settings()
    if format_ is PlanFormat.STRIMZI:
        typer.echo(plan.strimzi(settings, cluster), nl=False)
    else:
        typer.echo(plan.plain(settings))


@app.command()
def export(
    topic: Annotated[str, typer.Argument(help="name in the catalogue, like user-state")],
    parquet: Annotated[Path, typer.Option(help="the file to write", dir_okay=False)],
    since: Annotated[
        str, typer.Option(help="received since: 30m, 6h, 2d ago, or an ISO 8601 time")
    ] = "",
    until: Annotated[str, typer.Option(help="received before; as --since")] = "",
    text: Annotated[
        bool,
        typer.Option("--with-text", help="also what learners and the tutor wrote, and embeddings"),
    ] = False,
) -> None:
    """Write a topic's records to a Parquet file, with a codebook beside it.

    Each record once, without learners who were forgotten (docs/analytics.md).
    """
    import asyncio

    from app.analysis.frames import export_parquet
    from app.analysis.reading import read

    settings = load_settings()
    bounds = moment("--since", since), moment("--until", until)
    try:
        records = read(topic, *bounds, unreadable="skip", settings=settings)
    except ValueError as error:
        fail(f"--since or --until: {error}", status=2)
    with writing(parquet):
        done = asyncio.run(export_parquet(records, parquet, text=text))
    typer.echo(f"{parquet}: {done.records} records; what the columns mean: {done.codebook}")
    if done.left_out:
        left_out = ", ".join(done.left_out)
        typer.echo(f"left out, as it may hold words: {left_out} (--with-text)", err=True)
    if done.skipped:
        typer.echo(f"{done.skipped} records left out: they cannot be read", err=True)


def _show(topics: tuple[TopicStatus, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("topic", "partitions", "state", "what", box=None, pad_edge=False)
    for topic in topics:
        state = "created" if topic.created else _state(topic)
        table.add_row(topic.physical, f"{topic.partitions}/{topic.expected}", state, topic.summary)
    Console().print(table)


def _state(topic: TopicStatus) -> str:
    if topic.partitions == 0:
        return "missing"
    return "ready" if topic.ready else "not ready"

"""`masterx topics create|list|plan`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import load_settings

if TYPE_CHECKING:
    from app.kafka.admin import TopicStatus

app = typer.Typer(help="Create the topics, show them, or plan them.", no_args_is_help=True)


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

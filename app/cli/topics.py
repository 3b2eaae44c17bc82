"""`masterx topics create|list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from app.cli.context import load_settings

if TYPE_CHECKING:
    from app.kafka.admin import TopicStatus

app = typer.Typer(help="Create the topics, or show how they stand.", no_args_is_help=True)


@app.command()
def create() -> None:
    """Create what is missing. Changes nothing that exists."""
    import asyncio

    from app.kafka.admin import create_topics

    _show(asyncio.run(create_topics(load_settings())))


@app.command("list")
def list_() -> None:
    """Show every topic: what travels on it, its partitions on the broker."""
    import asyncio

    from app.kafka.admin import list_topics

    _show(asyncio.run(list_topics(load_settings())))


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

"""`masterx dead-letters list|replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import fail, load_settings, moment

if TYPE_CHECKING:
    from app.kafka.redrive import Letter

app = typer.Typer(
    help="What could not be processed: look at it, send it again.", no_args_is_help=True
)

Since = Annotated[
    str, typer.Option(help="only what failed since: 30m, 6h, 2d, or an ISO 8601 time")
]
Topic = Annotated[str, typer.Option(help="only what failed on this topic")]


@app.command("list")
def list_(since: Since = "", topic: Topic = "") -> None:
    """Show the dead letters: where, when, who gave up, why. Never what was written."""
    from datetime import UTC, datetime

    letters = _chosen(since, topic, ())
    for one in letters:
        letter = one.letter
        at = datetime.fromtimestamp(letter.failed_at / 1000, UTC).isoformat(timespec="seconds")
        where = f" {letter.field}:" if letter.field else ""
        typer.echo(f"{one.id}  {at}  {letter.role}  {letter.error}:{where} {letter.reason}")
    typer.echo(f"{len(letters)} dead letters", err=True)


@app.command()
def replay(
    since: Since = "",
    topic: Topic = "",
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="topic:partition:offset; repeatable")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="all that are kept")] = False,
    again: Annotated[bool, typer.Option(help="also those that were replayed before")] = False,
) -> None:
    """Send dead letters again to where they failed, each once."""
    if not (since or topic or ids or everything):
        fail("say which: --id, --since, --topic or --all", status=2)
    import asyncio
    from collections import Counter

    from app.kafka.redrive import Result
    from app.kafka.redrive import replay as send

    letters = _chosen(since, topic, tuple(ids or ()))
    results = asyncio.run(send(load_settings(), letters, again=again))
    for one in results:
        reason = f": {one.reason}" if one.reason else ""
        typer.echo(f"{one.letter.id}  {one.result}{reason}")
    counts = Counter(one.result for one in results)
    typer.echo(", ".join(f"{counts[result]} {result}" for result in Result), err=True)


def _chosen(since: str, topic: str, ids: tuple[str, ...]) -> list[Letter]:
    import asyncio

    from app.kafka.redrive import read

    settings = load_settings()
    letters = asyncio.run(read(settings, since_ms=moment("--since", since) or 0))
    letters = [one for one in letters if not topic or one.letter.topic == topic]
    if ids:
        found = {one.id for one in letters}
        unknown = [name for name in ids if name not in found]
        if unknown:
            fail(f"no such dead letter: {', '.join(unknown)} (masterx dead-letters list)")
        letters = [one for one in letters if one.id in ids]
    return letters

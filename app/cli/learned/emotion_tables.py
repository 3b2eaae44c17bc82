"""What `masterx evaluate emotion` prints: figures, a line each, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from models.emotion.measuring.concerns import Alarms, ConcernFigures
    from models.emotion.measuring.dialogues import DialogueFigures
    from models.emotion.measuring.evaluation import Evaluation, MessageEvaluation
    from models.emotion.measuring.figures import Labelled
    from models.emotion.measuring.groups import GroupFigures
    from models.emotion.measuring.signs import Share, SignFigures


def show(outcome: Evaluation | MessageEvaluation) -> None:
    """Print an evaluation, and where its pictures are."""
    from models.emotion.measuring.concerns import ConcernFigures
    from models.emotion.measuring.evaluation import Evaluation
    from models.emotion.measuring.groups import GroupFigures
    from models.emotion.measuring.signs import SignFigures

    if isinstance(outcome, Evaluation):
        _show_labels(outcome)
    elif isinstance(outcome.figures, SignFigures):
        _show_signs(outcome.figures)
    elif isinstance(outcome.figures, ConcernFigures):
        _show_concerns(outcome.figures)
    elif isinstance(outcome.figures, GroupFigures):
        _show_groups(outcome.figures)
    else:
        _show_dialogues(outcome.figures)
    for picture in outcome.pictures:
        typer.echo(f"picture: {picture}")


def _show_signs(figures: SignFigures) -> None:
    from models.emotion.measuring.signs import CLAIMED_ABOVE
    from models.emotion.training.examples import SIGNS

    low, high = figures.band
    typer.echo(f"rows: {figures.rows}")
    typer.echo(f"n: {figures.n}")
    typer.echo(f"neutral band: {low:g} to {high:g}")
    _show_share("accuracy", figures.accuracy)
    _show_share(f"claimed as measured (read, confidence above {CLAIMED_ABOVE:g})", figures.claimed)
    if not figures.n:
        return
    if figures.by_kind:
        typer.echo("\naccuracy by kind:")
        _table(*_of_kinds(figures.by_kind, "right"))
    typer.echo("\nsigns; a row for each that was meant, a column for each that was read:")
    _table(
        ("meant", *(f"read {sign:+d}" if sign else "read 0" for sign in SIGNS)),
        [
            (f"{sign:+d}" if sign else "0", *map(str, counts))
            for sign, counts in zip(SIGNS, figures.confusion, strict=True)
        ],
    )


def _show_concerns(figures: ConcernFigures) -> None:
    typer.echo(f"rows: {figures.rows}")
    typer.echo(f"n: {figures.n}")
    if figures.by_model.rows:
        typer.echo(f"operating point: {figures.concern_at:g}")
    _show_alarms("", figures.alarms)
    _show_alarms(" by the words", figures.by_words)
    _show_alarms(" by the model", figures.by_model)
    for name in ("average_precision", "roc_auc"):
        value = getattr(figures, name)
        if value is not None:
            typer.echo(f"{name}: {value:.4f}")
    _show_kinds(figures)
    if figures.curve:
        typer.echo("\noperating points; with the words, and of the model alone:")
        _table(
            ("at", "found", "alarmed", "found alone", "alarmed alone"),
            [
                (f"{p.at:.6f}", *(f"{getattr(p, name):.4f}" for name in p.__slots__[1:]))
                for p in figures.curve
            ],
        )


def _show_dialogues(figures: DialogueFigures) -> None:
    typer.echo(f"rows: {figures.rows}")
    typer.echo(f"n: {figures.n}")
    typer.echo(
        f"operating points: {figures.concern_at:g} of one message, {figures.hints_at:g} of hints"
    )
    _show_alarms("", figures.alarms)
    _show_alarms(" by one message", figures.by_one)
    _show_kinds(figures)


def _show_groups(figures: GroupFigures) -> None:
    from models.emotion.measuring.groups import BARS, misses

    low, high = figures.band
    typer.echo(f"rows: {figures.rows}")
    typer.echo(f"n: {figures.n}")
    typer.echo(f"neutral band: {low:g} to {high:g}")
    typer.echo(f"operating point: {figures.concern_at:g}")
    typer.echo("bars: " + ", ".join(f"{name} {bar:g}" for name, bar in BARS.items()))
    typer.echo(f"groups that miss a bar: {len(figures.missed())} of {len(figures.groups)}")
    if not figures.groups:
        return
    typer.echo("")
    _table(
        ("axis", "group", "n", "unread", "mean shift", "largest", "same sign", "alarmed", "found",
         "misses"),
        [
            (
                one.axis,
                one.group,
                str(one.n),
                str(one.unread),
                _figure(one.mean_shift, "+.4f"),
                _figure(one.largest_shift, ".4f"),
                f"{one.sign_agreement:.3f}",
                _figure(one.alarmed, ".3f"),
                _figure(one.found, ".3f"),
                ", ".join(misses(one)),
            )
            for one in figures.groups
        ],
    )  # fmt: skip


def _figure(value: float | None, digits: str) -> str:
    return "-" if value is None else format(value, digits)


def _show_kinds(figures: ConcernFigures | DialogueFigures) -> None:
    for title, kinds in (("found", figures.found_by_kind), ("alarmed", figures.alarmed_by_kind)):
        if kinds:
            typer.echo(f"\n{title} by kind:")
            _table(*_of_kinds(kinds, title))


def _show_alarms(how: str, alarms: Alarms) -> None:
    _show_share(f"found{how}", alarms.found)
    _show_share(f"alarmed{how}", alarms.alarmed)


def _show_share(name: str, share: Share | None) -> None:
    if share is not None:
        typer.echo(
            f"{name}: {share.share:.4f} [{share.low:.4f}, {share.high:.4f}], "
            f"{share.count} of {share.rows}"
        )


def _of_kinds(
    kinds: Mapping[str, Share], counted: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows: list[tuple[str, ...]] = [
        (kind, str(s.rows), str(s.count), f"{s.share:.3f}", f"[{s.low:.3f}, {s.high:.3f}]")
        for kind, s in kinds.items()
    ]
    return ("kind", "rows", counted, "share", "95%"), rows


def _show_labels(outcome: Evaluation) -> None:
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

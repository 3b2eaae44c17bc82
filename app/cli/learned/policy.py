"""`masterx policy export`, `masterx train policy` and `masterx evaluate policy`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import fail, load_settings, writing
from app.cli.learned import evaluating, training

if TYPE_CHECKING:
    from models.learner.recommending.offline.comparison import Comparison

PRIOR = "prior"
"""The name of the catalogue's priors among compared policies."""

app = typer.Typer(help="What recommendations taught.", no_args_is_help=True)


@app.command()
def export(
    out: Annotated[
        Path, typer.Argument(help="the decision log to write, JSON lines", dir_okay=False)
    ],
) -> None:
    """Join the topics `recommendations` and `feedback` to a decision log."""
    import asyncio

    from app.client.decisions import export_decisions

    settings = load_settings()
    with writing(out):
        done = asyncio.run(export_decisions(settings, out))
    typer.echo(f"{out}: {done.decisions} decisions, {done.answered} recommendations with an answer")
    if done.left_out:
        typer.echo(f"{done.left_out} left out: they do not say what was chosen from", err=True)


@training.command("policy")
def train(
    log: Annotated[Path, typer.Argument(help="a decision log (`masterx policy export`)")],
    out: Annotated[Path, typer.Option(help="the artefact to write", dir_okay=False)] = Path(
        "policy.json"
    ),
) -> None:
    """Fit what this deployment's learners answered, for `learner.recommending.learned`."""
    settings = load_settings().learner
    from models.learner.recommending.offline.log import LogProblem, read_log
    from models.learner.recommending.offline.training import fit_policy, write_policy

    catalogue = settings.catalogue
    try:
        policy = fit_policy(read_log(log), catalogue, settings.recommending)
    except LogProblem as error:
        fail(str(error))
    with writing(out):
        write_policy(policy, out)
    kept = len(catalogue.actions) - len(policy.actions)
    typer.echo(
        f"{out}: {len(policy.actions)} actions learned from {policy.answers} answers of "
        f"{policy.learners} learners in {policy.decisions} decisions; {kept} keep their priors"
    )
    if policy.actions:
        typer.echo(f"Use it: MASTERX_LEARNER__RECOMMENDING__LEARNED={out.resolve()}")
    else:
        typer.echo(
            "It learned of no action: each needs answers of at least "
            f"{settings.recommending.min_learners} learners (learner.recommending.min_learners)"
        )


@evaluating.command("policy")
def evaluate(
    log: Annotated[Path, typer.Argument(help="a decision log (`masterx policy export`)")],
    learned: Annotated[
        list[Path] | None,
        typer.Option(help="an artefact of `masterx train policy`; may be given several times"),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=100, max=100_000, help="of the bootstrap over learners")
    ] = 1000,
    max_unsupported: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="share of its places that a policy may fill with the never shown"
        ),
    ] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Compare policies on a decision log: inverse propensity and doubly robust, 95% intervals.

    Always among them: the catalogue's priors, and what the settings name as learned.
    An artefact that was trained on this log looks better than it is: compare on a later one.
    """
    settings = load_settings().learner
    from models.learner.recommending.offline.evaluation import NothingToCompare, compare
    from models.learner.recommending.offline.log import LogProblem, read_log
    from models.learner.recommending.serving.expectations import (
        Expectations,
        LearnedPolicy,
        load_learned,
    )
    from models.learner.rules import PolicyError

    policies: dict[str, LearnedPolicy | None] = {PRIOR: None}
    named = settings.recommending.learned
    try:
        for path in [*([named] if named else []), *(learned or [])]:
            try:
                policy = load_learned(path)
                Expectations(settings.catalogue, policy, settings.recommending.noise)
            except PolicyError as error:
                if path != named:
                    raise
                # What the settings name may be what this comparison is to replace.
                typer.echo(f"left out, named by the settings: {error}", err=True)
                continue
            # A file of that name in this folder is another thing than the priors.
            policies[str(path.resolve() if str(path) == PRIOR else path)] = policy
        comparison = compare(
            list(read_log(log)),
            settings.catalogue,
            policies,
            settings.recommending,
            resamples=resamples,
            max_unsupported=max_unsupported,
        )
    except (LogProblem, NothingToCompare, PolicyError) as error:
        fail(str(error))
    if as_json:
        import orjson

        typer.echo(orjson.dumps(comparison.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        _show(comparison)


def _show(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    typer.echo(
        f"{comparison.decisions} decisions, {comparison.learners} learners, "
        f"{comparison.answers} answers to {comparison.shown} recommendations; mean reward of what "
        f"was shown {comparison.logged}"
    )
    if comparison.left_out:
        typer.echo(
            f"{comparison.left_out} decisions left out: a candidate is not in the catalogue",
            err=True,
        )
    table = Table(
        "policy",
        "IPS",
        "doubly robust",
        "effective answers",
        "unsupported",
        box=None,
        pad_edge=False,
    )
    for name, value in comparison.policies.items():
        estimates = (value.ips, value.doubly_robust)
        cells = ("the log cannot say" if one is None else str(one) for one in estimates)
        table.add_row(name, *cells, f"{value.effective_answers:.0f}", f"{value.unsupported:.1%}")
    Console().print(table)


def register(root: typer.Typer) -> None:
    """Add the group `policy`; the other two commands stand in their groups already."""
    root.add_typer(app, name="policy")

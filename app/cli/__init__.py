"""The command line, `masterx`.

A command imports what it needs when it runs: `masterx token` answers at once, and
only training and a GPU's emotion worker ever load torch.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

import typer

from app.cli import (
    dead_letters,
    learned,
    learners,
    processes,
    recordings,
    reference,
    tokens,
    topics,
)
from app.cli.learned import behaviour, emotion, nets, policy, tutor
from app.process.errors import OperatorError

app = typer.Typer(
    name="masterx",
    help="Estimates how each learner is doing, while they work, and helps.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    processes,
    tokens,
    recordings,
    learners,
    emotion,
    behaviour,
    nets,
    policy,
    tutor,
    learned,
    reference,
):
    module.register(app)
app.add_typer(topics.app, name="topics")
app.add_typer(dead_letters.app, name="dead-letters")


_INSTALLED_BY: Final = {
    **dict.fromkeys(
        ("torch", "transformers", "onnx", "onnxscript", "scipy", "sklearn", "bayesianbandits"),
        "make install-train",
    ),
    "polars": "make install-notebook",
}
"""What serving does without, and the command that adds it."""


def main() -> None:
    """Run a command. What an operator can put right is told without a traceback."""
    # What a client library says of a failed connection, we say ourselves.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        app()
    except OperatorError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (command := _INSTALLED_BY.get((error.name or "").partition(".")[0])) is None:
            raise
        print(f"error: {error.name} is not installed; run `{command}`", file=sys.stderr)
        sys.exit(1)

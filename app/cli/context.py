"""What commands share: the settings, or why there are none, times, and files they can't write."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from app.settings import Settings


_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def load_settings() -> Settings:
    """The effective settings. Ends the command with status 2 when a value cannot be used.

    With `Exit.CONFIG` when it is a rule file or a catalogue of another version.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from app.process.exits import Exit
    from app.settings import get_settings
    from models.learner.rules import UnknownPolicyFormat

    try:
        return get_settings()
    except ValidationError as error:
        status = 2
        for problem in error.errors(include_url=False, include_input=False):
            place = "__".join(str(part).upper() for part in problem["loc"])
            # What concerns several settings names them itself.
            where = f"MASTERX_{place}: " if place else ""
            said = str(problem["msg"]).removeprefix("Value error, ")
            typer.echo(f"error: {where}{said}", err=True)
            if isinstance(problem.get("ctx", {}).get("error"), UnknownPolicyFormat):
                status = Exit.CONFIG
        raise typer.Exit(status) from None
    except SettingsError as error:
        fail(str(error), status=2)


def moment(option: str, text: str) -> int | None:
    """Epoch milliseconds of what an option says: 30m, 6h, 2d ago, or an ISO 8601 time.

    None for an empty one. A time without an offset is one of this machine's zone.
    """
    if not text:
        return None
    import time
    from datetime import datetime

    if text[-1] in _SECONDS and text[:-1].replace(".", "", 1).isdigit():
        return int((time.time() - float(text[:-1]) * _SECONDS[text[-1]]) * 1000)
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except ValueError:
        fail(f"{option} {text!r}: is neither like 30m, 6h, 2d nor an ISO 8601 time", status=2)


def fail(text: str, status: int = 1) -> NoReturn:
    """End the command with one line on stderr."""
    typer.echo(f"error: {text}", err=True)
    raise typer.Exit(status)


@contextmanager
def writing(out: Path | None) -> Iterator[None]:
    """Say in one line that a file cannot be written: before the work in this block if possible.

    Nothing is created or emptied by looking. None: no file was asked for.
    """
    with _saying(out, _why_not_file):
        yield


@contextmanager
def writing_into(folder: Path | None) -> Iterator[None]:
    """As `writing`, of a folder that the block may create, and of what it writes there."""
    with _saying(folder, _why_not_folder):
        yield


@contextmanager
def _saying(out: Path | None, why_not: Callable[[Path], int | None]) -> Iterator[None]:
    try:
        number = None if out is None else why_not(out)
        if number is not None:
            raise OSError(number, os.strerror(number), str(out))
        yield
    except OSError as error:
        # A full disk names no file; an error that names another file is none of this one's.
        named = None if error.filename is None else Path(os.fsdecode(error.filename))
        if out is None or not (named is None or named == out or out in named.parents):
            raise
        fail(f"{named or out}: cannot be written: {error.strerror or error}")


def _why_not_file(out: Path) -> int | None:
    if out.is_dir():
        return errno.EISDIR
    if not out.parent.exists():
        return errno.ENOENT
    if not out.parent.is_dir():
        return errno.ENOTDIR
    return _why_not_writable(out if out.exists() else out.parent)


def _why_not_folder(folder: Path) -> int | None:
    standing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return _why_not_writable(standing) if standing.is_dir() else errno.ENOTDIR


def _why_not_writable(place: Path) -> int | None:
    return None if os.access(place, os.W_OK) else errno.EACCES

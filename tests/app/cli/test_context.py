"""Files that cannot be written are told in one line, and before the work where that shows."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
import typer

from app.cli.context import writing, writing_into

Writing = Callable[[Path | None], AbstractContextManager[None]]
BOTH = pytest.mark.parametrize("guard", [writing, writing_into])


@pytest.fixture
def obstacle(tmp_path: Path) -> Path:
    """A file where a folder is needed."""
    file = tmp_path / "a-file"
    file.write_text("kept")
    return file


def refused(guard: Writing, out: Path) -> bool:
    """Whether it ends before the block begins."""
    begun = False
    with suppress(typer.Exit), guard(out):
        begun = True
    return not begun


def test_a_file_needs_its_folder_and_must_not_be_one(
    tmp_path: Path, obstacle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in (tmp_path, tmp_path / "no" / "out", obstacle / "out"):
        assert refused(writing, out)
        told = capsys.readouterr().err
        assert told.startswith(f"error: {out}: cannot be written: ")
        assert told.count("\n") == 1


def test_looking_changes_nothing(tmp_path: Path, obstacle: Path) -> None:
    for guard, out in (
        (writing, tmp_path / "out"),
        (writing, obstacle),
        (writing_into, tmp_path / "new" / "deep"),
    ):
        assert not refused(guard, out)
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
    assert obstacle.read_text() == "kept"


def test_a_folder_may_be_missing_but_not_be_a_file(tmp_path: Path, obstacle: Path) -> None:
    assert refused(writing_into, obstacle)
    assert refused(writing_into, obstacle / "deeper" / "still")
    assert not refused(writing_into, tmp_path)


@BOTH
def test_a_disk_that_fills_on_the_way_is_told(
    guard: Writing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit), guard(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'out'}: cannot be written: No space left on device\n"
    )


@BOTH
def test_what_happens_to_another_file_is_not_blamed_on_this_one(
    guard: Writing, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), guard(tmp_path / "out"):
        (tmp_path / "elsewhere").read_text()


@BOTH
def test_without_a_file_errors_pass(guard: Writing) -> None:
    with pytest.raises(OSError, match="unrelated"), guard(None):
        raise OSError("unrelated")


def test_a_file_in_the_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "plots"
    (folder / "a.svg").mkdir(parents=True)
    with pytest.raises(typer.Exit), writing_into(folder):
        (folder / "a.svg").write_text("")
    assert capsys.readouterr().err.startswith(f"error: {folder / 'a.svg'}: cannot be written")

"""The last release beside this one: its tree at a fixed commit, from which workers run.

Every issue that changes a record, a topic or a heartbeat runs test_rolling.py; at a release
COMMIT moves to it.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from app.local.environment import PREFIX
from tests.workers import ROOT, Release

COMMIT = "5921eda56e42c8a51351514c7859623a0ecf5991"
"""0.1."""
READS_OF_LAST = None
"""What `reads` is in its heartbeats: it says nothing, and reads format 3."""
WRITTEN_BY_LAST = 3
"""The format of the learners' records that it writes."""


def lay_out(folder: Path) -> Release:
    """Unpack the last release into `folder`, and see that its code is what runs there.

    Fails where this is a git checkout that lacks the commit; skips where it is none.
    """
    if _git("rev-parse", "--is-inside-work-tree").returncode != 0:
        pytest.skip("not a git checkout: the last release cannot be laid out beside this one")
    if _git("cat-file", "-e", f"{COMMIT}^{{commit}}").returncode != 0:
        pytest.fail(
            f"this clone lacks the last release, commit {COMMIT}; "
            "a shallow clone gets it by `git fetch --unshallow`"
        )
    # An archive and not `git worktree add`: it leaves nothing in .git when a test is killed.
    packed = _git("archive", "--format=tar", COMMIT)
    assert packed.returncode == 0, packed.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tree:
        tree.extractall(folder, filter="data")
    where = _run(folder, "import app, models; print(app.__file__); print(models.__file__)")
    assert where == [str(folder / name / "__init__.py") for name in ("app", "models")]
    variables = _run(
        folder,
        "from app.environment import environment; from app.settings import Settings;"
        "print(*environment(Settings()), sep='\\n')",
    )
    assert f"{PREFIX}KAFKA__BOOTSTRAP" in variables
    return Release(folder, frozenset(variables))


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)


def _run(root: Path, program: str) -> list[str]:
    """What a program prints, run as that tree's workers are."""
    clean = {k: v for k, v in os.environ.items() if not k.upper().startswith(PREFIX)}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env=clean | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()

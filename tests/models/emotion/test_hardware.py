from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.emotion.hardware import Bfloat16Trial

needs_amx = pytest.mark.skipif(
    not torch.cpu._is_amx_tile_supported(), reason="no trial without AMX"
)
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"


@needs_amx
@pytest.mark.parametrize(
    ("program", "answer"), [("pass", True), ("import sys; sys.exit(3)", False), (DIES, False)]
)
def test_the_trials_end_is_the_answer(tmp_path: Path, program: str, answer: bool) -> None:
    assert Bfloat16Trial(1, tmp_path, program).pays() is answer


@needs_amx
def test_the_answer_is_kept(tmp_path: Path) -> None:
    assert not Bfloat16Trial(1, tmp_path, DIES).pays()
    # A second trial would say yes, if it were run.
    assert not Bfloat16Trial(1, tmp_path, "pass").pays()


@needs_amx
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    assert Bfloat16Trial(1, blocked / "folder", "pass").pays()


def test_without_amx_there_is_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not Bfloat16Trial(1, tmp_path, "pass").pays()

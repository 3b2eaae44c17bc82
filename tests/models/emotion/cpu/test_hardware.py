from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.emotion.cpu.hardware import Bfloat16Trial

needs_amx = pytest.mark.skipif(
    not torch.cpu._is_amx_tile_supported(), reason="no trial without AMX"
)
HEAPS = """
import ctypes, sys, threading
from models.emotion.cpu.hardware import share_heaps
if sys.argv[1] == "shared":
    share_heaps()
barrier = threading.Barrier(6)
def allocate():
    barrier.wait()
    kept = [bytearray(10_000) for _ in range(100)]
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""
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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_threads_share_two_heaps() -> None:
    def heaps(how: str) -> int:
        program = [sys.executable, "-c", HEAPS, how]
        run = subprocess.run(program, capture_output=True, text=True, check=True)
        return run.stdout.count("<heap nr=")

    assert heaps("shared") <= 2 < heaps("each its own")

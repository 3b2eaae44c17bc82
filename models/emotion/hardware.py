"""What this CPU can do, found out by trial.

A processor may claim AMX and still die of an illegal instruction at the first bfloat16
product (seen in a virtual machine). So the trial runs in a process of its own, beside
the loading of the model, and its answer is kept until the machine boots again.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import torch

TRIAL_SECONDS = 60
# Rows, inner and outer width of an encoder's feed-forward layer at a usual batch.
TRIAL = """
import sys, time, torch
torch.set_num_threads(int(sys.argv[1]))
def seconds(dtype):
    a, w = torch.ones(1024, 384, dtype=dtype), torch.ones(1536, 384, dtype=dtype)
    for _ in range(5):
        torch.nn.functional.linear(a, w)
    best = 9.0
    for _ in range(10):
        start = time.perf_counter()
        torch.nn.functional.linear(a, w)
        best = min(best, time.perf_counter() - start)
    return best
sys.exit(0 if seconds(torch.bfloat16) * 1.5 < seconds(torch.float32) else 3)
"""


class Bfloat16Trial:
    """Finds out whether bfloat16 products work here and are 1.5 times as fast as float32."""

    def __init__(self, threads: int, memory: Path | None = None, program: str = TRIAL) -> None:
        """Start the trial, unless its answer is known. `memory`: folder that keeps the answer."""
        self._answer: bool | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if not torch.cpu._is_amx_tile_supported():  # without AMX float32 is faster
            self._answer = False
            return
        self._file = (memory or _cache_folder()) / f"bfloat16-{_machine(threads)}"
        try:
            self._answer = self._file.read_text(encoding="ascii") == "pays"
        except OSError:
            self._process = subprocess.Popen(  # noqa: S603 (our own constant program)
                [sys.executable, "-c", program, str(threads)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def pays(self) -> bool:
        """The answer; waits for the trial. A trial that dies or hangs means no."""
        if self._answer is None:
            assert self._process is not None
            try:
                self._answer = self._process.wait(TRIAL_SECONDS) == 0
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                return False  # the machine may only be busy: try again at the next start
            self._remember(self._answer)
        return self._answer

    def _remember(self, answer: bool) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text("pays" if answer else "does not", encoding="ascii")
        except OSError:
            pass  # only the next start is slower


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "masterx"


def _machine(threads: int) -> str:
    """Names this boot of this machine, and the library."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = "unknown"
    name = f"{boot} {torch.__version__} {threads}"
    return hashlib.sha256(name.encode()).hexdigest()[:16]

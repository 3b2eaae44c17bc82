"""What this CPU can do, found out by trial.

A processor may claim AMX and still die of an illegal instruction at the first bfloat16
product (seen in a virtual machine). So the trial runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys

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
    """Finds out, beside whatever else goes on, whether bfloat16 works here and pays."""

    def __init__(self, threads: int) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if torch.cpu._is_amx_tile_supported():  # without AMX float32 is faster
            self._process = subprocess.Popen(  # noqa: S603 (our own constant program)
                [sys.executable, "-c", TRIAL, str(threads)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def pays(self) -> bool:
        """Whether bfloat16 products are 1.5 times as fast as float32 here. Waits for the trial."""
        if self._process is None:
            return False
        try:
            return self._process.wait(TRIAL_SECONDS) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False

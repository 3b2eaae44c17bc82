"""What this CPU can do, found out by trial.

A processor may claim AMX and still die of an illegal instruction at the first bfloat16
product (`tiles` says why, and what helps). So the trial runs in a process of its own, beside
the loading of the model, and its answer is kept until the machine boots again.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import torch

from models.emotion.cpu.tiles import TilesUnknown, describe_tiles

log = logging.getLogger(__name__)

M_ARENA_MAX = -8  # malloc.h
TRIAL_SECONDS = 60
# Right: products of a transformer's shapes, odd ones too, forward and backward, beside float32's.
# Fast: rows, inner and outer width of an encoder's feed-forward layer at a usual batch.
TRIAL = """
import sys, time, torch
from torch.nn.functional import linear, scaled_dot_product_attention
from models.emotion.cpu.hardware import prepare_bfloat16
torch.set_num_threads(int(sys.argv[1]))
prepare_bfloat16()

def gradients(dtype, *tensors):
    leaves = [t.to(dtype).requires_grad_() for t in tensors]
    result = linear(*leaves) if len(leaves) == 2 else scaled_dot_product_attention(*leaves)
    result.float().square().sum().backward()
    return [result, *(leaf.grad for leaf in leaves)]

def right(*shapes):
    tensors = [torch.randn(shape) for shape in shapes]
    pairs = zip(gradients(torch.bfloat16, *tensors), gradients(torch.float32, *tensors))
    return all((a.float() - b).norm() < 0.05 * b.norm() for a, b in pairs)

def seconds(dtype):
    a, w = torch.ones(1024, 384, dtype=dtype), torch.ones(1536, 384, dtype=dtype)
    for _ in range(5):
        linear(a, w)
    best = 9.0
    for _ in range(10):
        start = time.perf_counter()
        linear(a, w)
        best = min(best, time.perf_counter() - start)
    return best

heads = [(8, 12, n, 32) for n in (12, 13)]
correct = all(right((n, 384), (m, 384)) for n in (31, 512) for m in (1, 41, 1536))
correct = correct and all(right(shape, shape, shape) for shape in heads)
sys.exit(0 if correct and seconds(torch.bfloat16) * 1.5 < seconds(torch.float32) else 3)
"""


def prepare_bfloat16() -> None:
    """What must precede this process's first bfloat16 product on a CPU."""
    if torch.cpu._is_amx_tile_supported():
        try:
            if describe_tiles():
                log.info("hardware.amx_tiles_described")
        except TilesUnknown as problem:
            log.info("hardware.amx_tiles_unknown reason=%s", problem)


def share_heaps() -> None:
    """Let the threads of this process share two heaps (glibc; elsewhere nothing happens).

    glibc gives each thread one, and each keeps the room that its largest texts once took: a tenth
    of a gigabyte in all.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_ARENA_MAX, 2)


def trains_in_bfloat16(device: torch.device, threads: int) -> bool:
    """Whether the encoders' products are best made in bfloat16 there; from then on they can be."""
    if device.type == "cpu":
        if not Bfloat16Trial(threads).pays():
            return False
        prepare_bfloat16()
    return True


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
    """Names this boot of this machine, the library, and the trial."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = "unknown"
    name = f"{boot} {torch.__version__} {threads} {TRIAL}"
    return hashlib.sha256(name.encode()).hexdigest()[:16]

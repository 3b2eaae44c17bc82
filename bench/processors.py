"""How far readings move on another kind of processor: the same texts on an emulated one.

    python -m bench.processors [--cpu Haswell] [--texts 20]

Needs `qemu-x86_64` (Debian's package qemu-user). Haswell has AVX2 and no VNNI. A text takes some
seconds there, so few are read. Printed are the mean and the largest |dp| of all emotions against
this machine's own processor.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.chain import texts
from models.emotion.artefact.artefact import load
from models.emotion.config import EmotionSettings
from models.emotion.serving.engine import build_engine
from models.emotion.serving.inference import calibrate

EMULATOR = "qemu-x86_64"


def probabilities(lines: list[str]) -> np.ndarray:
    """(texts, classes), as the worker reads them on the processor that this runs on."""
    settings = EmotionSettings(device="cpu")
    artefact = load(settings.artefact)
    engine = build_engine(artefact, settings)
    rows = [engine.run(engine.collate(engine.tokenise([line]))) for line in lines]
    return np.concatenate([calibrate(artefact.card, row).emotions for row in rows])


def emulated(cpu: str, lines: list[str]) -> np.ndarray:
    """The same under the emulator, by this script in a process of its own."""
    emulator = shutil.which(EMULATOR)
    if emulator is None:
        raise SystemExit(f"{EMULATOR} is not installed (Debian: apt-get install qemu-user)")
    with tempfile.TemporaryDirectory() as name:
        given, read = Path(name) / "lines.json", Path(name) / "read.npy"
        given.write_text(json.dumps(lines))
        # A virtual environment's interpreter is a link that the emulator does not follow.
        command = [emulator, "-cpu", cpu, os.path.realpath(sys.executable)]
        subprocess.run(
            [*command, "-m", "bench.processors", "--lines", given, "--out", read],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
        )
        return np.load(read)


def main(args: argparse.Namespace) -> None:
    if args.lines is not None:
        np.save(args.out, probabilities(json.loads(args.lines.read_text())))
        return
    lines = list(itertools.islice(texts(), args.texts))
    moved = np.abs(emulated(args.cpu, lines) - probabilities(lines))
    print(f"{args.cpu}, {len(lines)} texts: mean |dp| {moved.mean():.5f}, max {moved.max():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", default="Haswell", help=f"as `{EMULATOR} -cpu help` names it")
    parser.add_argument("--texts", type=int, default=20)
    parser.add_argument("--lines", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    main(parser.parse_args())

"""What the processor's way of running the model depends on."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.emotion.artefact.artefact import Artefact
from models.emotion.exporting.graph import write_sums
from models.emotion.serving import cpu
from models.emotion.serving.cpu import SUMS, WITHOUT_OVERFLOW, RunGraph, Unpadded, overflows
from models.emotion.serving.tokenising import TokeniseTexts

CPUINFO = Path("/proc/cpuinfo")
TEXTS = ["ok", "I do not get it at all", "thank you so much! " * 9] * 4


def test_several_threads_read_what_one_reads(artefact: Artefact) -> None:
    batch = Unpadded(TokeniseTexts(artefact)(TEXTS))
    one, several = RunGraph(artefact, 1)(batch), RunGraph(artefact, 3)(batch)
    for first, second in zip(one, several, strict=True):
        assert np.array_equal(first, second)


def test_the_runtime_keeps_no_telemetry(tmp_path: Path) -> None:
    """Its own default is to: its session file stands in the temporary folder then."""
    folders = []
    for module in ("onnxruntime", "models.emotion.serving.cpu"):
        folders.append(tmp_path / module)
        folders[-1].mkdir()
        # It sends nothing where it believes itself in CI.
        unset = {"CI", "ORT_DISABLE_TELEMETRY"}
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            env=environment | {"TMPDIR": str(folders[-1])},
            check=True,
            timeout=120,
        )

    left_alone, ours = ([*folder.iterdir()] for folder in folders)
    assert ours == []
    if not left_alone:
        pytest.skip("here the runtime by itself leaves nothing either")


def test_a_processor_is_asked_whether_its_products_overflow(tmp_path: Path) -> None:
    """True only on x86 without VNNI: `bench/processors.py` reads on an emulated one."""
    flags = set(CPUINFO.read_text().split()) if CPUINFO.is_file() else set()
    if flags & {"avx2", "avx512_vnni", "avx_vnni"}:
        assert overflows() == flags.isdisjoint({"avx512_vnni", "avx_vnni"})
    write_sums(tmp_path / "sums.onnx")
    assert (tmp_path / "sums.onnx").read_bytes() == SUMS.read_bytes()


@pytest.mark.parametrize(("answer", "setting"), [(True, "1"), (False, None)])
def test_slower_products_only_where_they_overflow(
    artefact: Artefact, monkeypatch: pytest.MonkeyPatch, answer: bool, setting: str | None
) -> None:
    monkeypatch.setattr(cpu, "overflows", lambda: answer)
    options = RunGraph(artefact, 1)._session.get_session_options()
    try:
        held = options.get_session_config_entry(WITHOUT_OVERFLOW[0])
    except RuntimeError:  # how the runtime says that there is none
        held = None
    assert held == setting


def test_values_that_are_no_numbers_are_an_error(artefact: Artefact) -> None:
    run = RunGraph(replace(artefact), 1)
    assert run._wide is not None
    run._wide._bias = np.full_like(run._wide._bias, np.nan)
    with pytest.raises(ArithmeticError, match="not numbers"):
        run(Unpadded(TokeniseTexts(artefact)(["ok"])))

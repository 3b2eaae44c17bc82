"""What the processor's way of running the model depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.emotion.artefact.artefact import Artefact
from models.emotion.serving.cpu import Alone, RunGraph, may_saturate
from models.emotion.serving.tokenising import TokeniseTexts

TEXTS = ["ok", "I do not get it at all", "thank you so much! " * 9] * 4


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "fpu avx2 fma", True),
        ("x86_64", "fpu avx2 avx512f avx512_vnni", False),
        ("x86_64", "fpu avx2 avx_vnni", False),
        ("aarch64", "fp asimd asimddp", False),
    ],
)
def test_only_x86_without_vnni_may_saturate(
    tmp_path: Path, machine: str, flags: str, expected: bool
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags : {flags}\n")
    assert may_saturate(machine, cpuinfo) is expected
    assert not may_saturate(machine, tmp_path / "none")


def test_several_threads_read_what_one_reads(artefact: Artefact) -> None:
    batch = Alone(TokeniseTexts(artefact, 128)(TEXTS))
    one, several = RunGraph(artefact, 1)(batch), RunGraph(artefact, 3)(batch)
    for first, second in zip(one, several, strict=True):
        assert np.array_equal(first, second)


def test_values_that_are_no_numbers_are_an_error(artefact: Artefact) -> None:
    run = RunGraph(replace(artefact), 1)
    assert run._wide is not None
    run._wide._bias = np.full_like(run._wide._bias, np.nan)
    with pytest.raises(ArithmeticError, match="not numbers"):
        run(Alone(TokeniseTexts(artefact, 128)(["ok"])))

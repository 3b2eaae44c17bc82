"""oneDNN is told the shape of AMX's tiles where CPUID does not say it."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.emotion.cpu import tiles
from models.emotion.cpu.tiles import (
    MAX_PALETTE,
    PALETTES_KNOWN,
    TilesUnknown,
    describe_tiles,
    symbols,
)

LIBRARY = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="AMX on Linux, x86-64"
)
needs_amx = pytest.mark.skipif(
    not torch.cpu._is_amx_tile_supported(), reason="there are no tiles without AMX"
)
# In a process of its own: where something is wrong it dies of an illegal instruction.
PRODUCTS = """
import torch
from models.emotion.cpu.tiles import describe_tiles
describe_tiles()
print("told again:", describe_tiles())
for rows, inner, columns in ((1, 1, 1), (13, 41, 7), (512, 384, 1536)):
    a, b = torch.randn(rows, inner).bfloat16(), torch.randn(inner, columns).bfloat16()
    exact = a.double() @ b.double()
    assert ((a @ b).double() - exact).norm() <= 0.01 * exact.norm(), (rows, inner, columns)
print("right")
"""


@linux
@needs_amx
def test_products_are_right_after_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRODUCTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # What is known already is not told again
    assert done.stdout.split("\n")[:2] == ["told again: False", "right"]


@linux
def test_local_symbols_of_torch_are_found() -> None:
    found = symbols(LIBRARY, [MAX_PALETTE, PALETTES_KNOWN])
    assert found[PALETTES_KNOWN].size == tiles.COUNT_BYTES
    assert found[MAX_PALETTE].value != found[PALETTES_KNOWN].value


@linux
def test_another_layout_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "VECTOR_BYTES", 32)
    with pytest.raises(TilesUnknown, match=r"libtorch_cpu\.so: .* other sizes: \[4, 24, 24, 24\]"):
        describe_tiles()


@linux
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no symbols can be read"), (b"#!/bin/sh\n" * 9, "not an ELF file of 64 bits")],
)
def test_a_file_without_symbols(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "library.so").write_bytes(content)
    with pytest.raises(TilesUnknown, match=message):
        symbols(tmp_path / "library.so", [MAX_PALETTE])


@linux
def test_a_name_that_is_not_there() -> None:
    with pytest.raises(TilesUnknown, match="no symbol _ZN4dnnl_is_not_like_this"):
        symbols(LIBRARY, ["_ZN4dnnl_is_not_like_this"])


def test_another_kind_of_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with pytest.raises(TilesUnknown, match="on Linux, x86-64 only"):
        describe_tiles()

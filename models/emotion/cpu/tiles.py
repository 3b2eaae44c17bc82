"""AMX where a hypervisor hides the shape of its tiles.

oneDNN, inside torch, asks CPUID leaf 0x1D how large the processor's tiles are. Some virtual
machines pass AMX through but end CPUID one leaf before (seen on Firecracker). oneDNN then
finds no palette, configures no tiles, and dies of an illegal instruction at its first
bfloat16 product, on a processor that would do it several times as fast as a float32 one.

Nothing has to be guessed: the architecture has a single palette (Intel SDM vol. 1, ch. 18:
palette 1, 8 tiles of 16 rows of 64 bytes). `describe_tiles` puts it where oneDNN keeps
CPUID's answer. That is another library's memory, so symbols and their sizes must be as
expected, every step is read back, and `hardware` tries it in a process of its own first.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch

PALETTE = 1
TILES, ROWS, ROW_BYTES = 8, 16, 64

_AMX = "N4dnnl4impl3cpu3x643amx"
_FUNCTION, _LOCAL = "_Z" + _AMX, "_ZZ" + _AMX
MAX_PALETTE = _FUNCTION + "15get_max_paletteEv"
PALETTES_KNOWN = _LOCAL + "15get_max_paletteEvE3EAX"
SHAPE = {  # function of the palette, its static vector: what the architecture says
    (_FUNCTION + "13get_max_tilesEi", _LOCAL + "13get_max_tilesEiE8palettes"): TILES,
    (_FUNCTION + "12get_max_rowsEi", _LOCAL + "12get_max_rowsEiE8palettes"): ROWS,
    (_FUNCTION + "20get_max_column_bytesEi", _LOCAL + "20get_max_column_bytesEiE8palettes"): (
        ROW_BYTES
    ),
}
COUNT_BYTES, VECTOR_BYTES = 4, 24  # unsigned int; std::vector<int>: begin, end, capacity

_SECTION = np.dtype(
    {
        "names": ["type", "offset", "size", "link"],
        "formats": ["<u4", "<u8", "<u8", "<u4"],
        "offsets": [4, 24, 32, 40],
        "itemsize": 64,
    }
)
_SYMBOL = np.dtype(
    {
        "names": ["name", "value", "size"],
        "formats": ["<u4", "<u8", "<u8"],
        "offsets": [0, 8, 16],
        "itemsize": 24,
    }
)
_SYMBOL_TABLE = 2  # SHT_SYMTAB


_TELLING = Lock()  # who finds the palette told must not find its shape missing


class TilesUnknown(RuntimeError):
    """oneDNN is not built as this module knows it, or did not take what it was told."""


class Symbol(NamedTuple):
    """Where a library keeps a function or variable, from its load address, and its bytes."""

    value: int
    size: int


def describe_tiles() -> bool:
    """Tell oneDNN the palette where it sees none; before this process's first product.

    True if it had to be told, False where CPUID said it. Raises TilesUnknown where that
    cannot be done safely; nothing is changed then, unless oneDNN failed to take it.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise TilesUnknown("AMX tiles are known on Linux, x86-64 only")
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    with _TELLING:
        return _describe(library)


def _describe(library: Path) -> bool:
    variables = [PALETTES_KNOWN, *(vector for _, vector in SHAPE)]
    names = [MAX_PALETTE, *(function for function, _ in SHAPE), *variables]
    found = symbols(library, names)
    sizes = [found[name].size for name in variables]
    if sizes != [COUNT_BYTES] + [VECTOR_BYTES] * len(SHAPE):
        raise TilesUnknown(f"{library.name}: oneDNN's palettes are of other sizes: {sizes}")
    base = _load_address(library)

    def ask(function: str, *arguments: int) -> int:
        call = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int] * len(arguments))
        return int(call(base + found[function].value)(*arguments))

    if ask(MAX_PALETTE) >= PALETTE:
        return False
    ctypes.c_uint32.from_address(base + found[PALETTES_KNOWN].value).value = PALETTE
    for (function, vector), size in SHAPE.items():
        ask(function, PALETTE)  # oneDNN makes the vector: one element, zero for want of the leaf
        begin, end, _ = (ctypes.c_uint64 * 3).from_address(base + found[vector].value)
        if end - begin != PALETTE * ctypes.sizeof(ctypes.c_int):
            raise TilesUnknown(f"{library.name}: {vector} does not hold one palette")
        ctypes.c_int.from_address(begin).value = size
        if ask(function, PALETTE) != size:
            raise TilesUnknown(f"{library.name}: {function} does not say {size}")
    return True


def symbols(library: Path, names: Sequence[str]) -> dict[str, Symbol]:
    """Look the names up in an ELF file's symbol table, local ones too. Raises TilesUnknown."""
    try:
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            return {name: _symbol(data, name) for name in names}
    except (OSError, ValueError, IndexError) as error:
        raise TilesUnknown(f"{library}: no symbols can be read: {error}") from error


def _symbol(data: mmap.mmap, name: str) -> Symbol:
    if data[:6] != b"\x7fELF\x02\x01":  # 64 bits, little endian
        raise ValueError("not an ELF file of 64 bits")
    offset = int.from_bytes(data[0x28:0x30], "little")
    count = int.from_bytes(data[0x3C:0x3E], "little")
    sections = np.frombuffer(data[offset : offset + count * _SECTION.itemsize], _SECTION)
    table = sections[sections["type"] == _SYMBOL_TABLE]
    if not len(table):
        raise ValueError("its symbols were stripped")
    strings = sections[table[0]["link"]]
    start, end = int(strings["offset"]), int(strings["offset"] + strings["size"])
    entries = np.frombuffer(
        data[int(table[0]["offset"]) : int(table[0]["offset"] + table[0]["size"])], _SYMBOL
    )
    at = start - 1
    while (at := data.find(name.encode() + b"\0", at + 1, end)) >= 0:
        known = entries[entries["name"] == at - start]
        if len(known):
            return Symbol(int(known[0]["value"]), int(known[0]["size"]))
    raise ValueError(f"no symbol {name}")


def _load_address(library: Path) -> int:
    """Where this process has the library. Raises TilesUnknown if it has not."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)  # span, rights, offset in the file, device, inode, file
        if fields[5:] == [str(library.resolve())] and int(fields[2], 16) == 0:
            return int(fields[0].partition("-")[0], 16)
    raise TilesUnknown(f"{library}: not loaded")

"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place at the end.

    Where the block raises, `path` stays as it was and nothing is left beside it.

    Raises:
        OSError: the folder does not exist or cannot be written to, or `path` is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    beside = path.with_name(path.name + ".new")
    try:
        beside.touch()
        yield beside
        beside.replace(path)
    except BaseException:
        with suppress(OSError):  # there may be no such folder: what led here says it
            beside.unlink(missing_ok=True)
        raise

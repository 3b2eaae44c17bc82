"""Counting tokens with a real tokenizer, towards the safe side.

Errors:
    TokenizerProblem    no tokenizer.json where the setting says

The packaged encoder's WordPiece counts unless another is named. It was made for another model
than the one that answers, so three things that it cannot see are counted apart: line ends and
indentation, which it drops; pieces it does not know, by their bytes; and a margin.
"""

from __future__ import annotations

import importlib.util
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

_PROBE: Final = "a\n\n    b"
_INDENT: Final = re.compile(r"[ \t]{2,}")
_INDENT_CHARS: Final = 4  # blanks that one token of today's vocabularies holds, on the safe side
_CACHED: Final = 512  # texts whose count is kept; a conversation is counted anew with each reply


class TokenizerProblem(ValueError):
    """The tokenizer that the settings name cannot be used."""


class Counter:
    """Counts tokens, at most a few milliseconds for a prompt. Thread-safe.

    margin: times the tokenizer's own count, >= 1
    """

    def __init__(self, tokenizer: Tokenizer, margin: float = 1.0) -> None:
        self._tokenizer = tokenizer
        self._margin = margin
        end = _PROBE.index("b")
        covered = {
            place
            for start, stop in tokenizer.encode(_PROBE, add_special_tokens=False).offsets
            for place in range(start, stop)
        }
        self._drops_blanks = not set(range(1, end)) <= covered
        self._unknown = _unknown(tokenizer)
        self._cached = lru_cache(maxsize=_CACHED)(self._count)

    def __call__(self, text: str) -> int:
        """Tokens of a text, >= 0."""
        return self._cached(text)

    def _count(self, text: str) -> int:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        tokens = len(encoding.ids)
        if self._unknown is not None and self._unknown in encoding.ids:
            tokens += sum(
                len(text[start:stop].encode(errors="replace")) - 1
                for token, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True)
                if token == self._unknown
            )
        if self._drops_blanks:
            tokens += text.count("\n")
            tokens += sum(math.ceil(len(run) / _INDENT_CHARS) for run in _INDENT.findall(text))
        return math.ceil(tokens * self._margin)


def counter(name: str, margin: float = 1.0) -> Counter:
    """The counter that a setting names. Raises TokenizerProblem."""
    return Counter(_loaded(name), margin)


@lru_cache(maxsize=4)
def _loaded(name: str) -> Tokenizer:
    path = _find(name)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise TokenizerProblem(f"context.tokenizer: {path} is no tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _find(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    folders = [path]
    # find_spec of a dotted name would import its parents.
    if name.isidentifier() and (spec := importlib.util.find_spec(name)) and spec.origin:
        package = Path(spec.origin).parent
        folders += [package / "model", package]
    for folder in folders:
        if (folder / "tokenizer.json").is_file():
            return folder / "tokenizer.json"
    raise TokenizerProblem(
        f"context.tokenizer: {name!r} is neither a tokenizer.json nor a folder or an installed "
        "package that holds one"
    )


def _unknown(tokenizer: Tokenizer) -> int | None:
    token = getattr(tokenizer.model, "unk_token", None)
    return None if token is None else tokenizer.token_to_id(token)

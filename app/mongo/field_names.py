"""Names of fields that a MongoDB-wire store takes: no dot, no leading dollar.

MongoDB takes them since version 5, but queries cannot name them; FerretDB refuses the
document. We write U+FF0E and U+FF04 in their place, as MongoDB's manual long advised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_DOT: Final = "\uff0e"
_DOLLAR: Final = "\uff04"
_NESTED: Final = (dict, list, tuple)
"""What holds names: documents are JSON-ready, so every mapping in them is a dict."""


def stored(value: Any) -> Any:
    """The value with names as they are stored, at every depth."""
    return _renamed(value, _stored_name)


def original(value: Any) -> Any:
    """What `stored` was given, unless a name held one of the two signs itself."""
    return _renamed(value, _original_name)


def _renamed(value: Any, rename: Callable[[str], str]) -> Any:
    # Most values are numbers and words: a call for each would cost more than all the rest.
    if isinstance(value, dict):
        return {
            rename(name): _renamed(each, rename) if isinstance(each, _NESTED) else each
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple)) and any(isinstance(each, _NESTED) for each in value):
        return [_renamed(each, rename) for each in value]
    return value


def _stored_name(name: str) -> str:
    if "." not in name and not name.startswith("$"):
        return name
    dollar = name.startswith("$")
    rest = (name[1:] if dollar else name).replace(".", _DOT)
    return _DOLLAR + rest if dollar else rest


def _original_name(name: str) -> str:
    if _DOT not in name and not name.startswith(_DOLLAR):
        return name
    dollar = name.startswith(_DOLLAR)
    rest = (name[1:] if dollar else name).replace(_DOT, ".")
    return "$" + rest if dollar else rest

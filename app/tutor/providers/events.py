"""Server-sent events, from a response's bytes to the data that they carry.

The client library parses every frame as JSON, also one without data: a gateway's `retry:` line
or an empty `data:` then ends a good answer. Here a frame without data is no event.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BOM: Final = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event has more bytes than it may have."""


@dataclass(frozen=True, slots=True)
class Event:
    """A frame with data.

    Attributes:
        name: its `event:` field, or "".
        data: not empty.
    """

    name: str
    data: str


class EventDecoder:
    """Decodes one stream. Lines end in LF, CR or CRLF, in whatever pieces they come.

    Args:
        most: bytes of one event, and of what is held of one that is not whole, >= 1.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""
        self._begun = False
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, received: bytes) -> Iterator[Event]:
        """The events that are whole with these bytes.

        Raises EventTooLong, and UnicodeDecodeError where a line is not UTF-8.
        """
        buffer = self._rest + received
        if not self._begun and len(buffer) >= len(_BOM):
            self._begun, buffer = True, buffer.removeprefix(_BOM)
        start = 0
        for end in _LINE_END.finditer(buffer):
            if end.end() == len(buffer) and end.group() == b"\r":
                break  # the LF of a CRLF may come with the next bytes
            yield from self._line(buffer[start : end.start()])
            start = end.end()
        self._rest = buffer[start:]
        if len(self._rest) > self._most:
            raise EventTooLong

    def end(self) -> Iterator[Event]:
        """What stands at the stream's end without the blank line that should follow it."""
        yield from self._line(self._rest.removesuffix(b"\r"))
        yield from self._line(b"")
        self._rest = b""

    def _line(self, line: bytes) -> Iterator[Event]:
        if not line:
            data, name = "\n".join(self._data).strip(), self._name
            self._data, self._name, self._size = [], "", 0
            if data:
                yield Event(name, data)
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._size += len(value)
            if self._size > self._most:
                raise EventTooLong
            self._data.append(value.decode())
        elif field == b"event":
            self._name = value.decode()
        # Comments, ids and times to reconnect after say nothing about the answer.

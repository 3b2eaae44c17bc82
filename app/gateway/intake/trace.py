"""W3C Trace Context: one `traceparent` from the client's request through every topic."""

from __future__ import annotations

import re
import secrets
from typing import Final

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


def valid(traceparent: str | None) -> bool:
    """Whether it is one that we may hand on (https://www.w3.org/TR/trace-context, 3.2)."""
    if traceparent is None or len(traceparent) > 128:
        return False
    match = _FORM.fullmatch(traceparent)
    if match is None:
        return False
    version, trace_id, span_id, more = match.groups()
    return (
        version != "ff"
        and trace_id.strip("0") != ""
        and span_id.strip("0") != ""
        and (version != "00" or more is None)
    )


def new() -> str:
    """A trace of its own, not sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"

"""How a process of ours ends, and with which code.

A worker that cannot go on safely ends at once, without a clean-up that might write:
what it had not acknowledged comes again to its successor.
"""

from __future__ import annotations

import os
import sys
from enum import IntEnum
from typing import NoReturn

import structlog

log = structlog.get_logger(__name__)


class Exit(IntEnum):
    """Exit codes; the supervisor and a cluster restart on every one but `CONFIG`."""

    UNAVAILABLE = 69
    """A service that this process needs did not answer at the start, or refuses it."""
    SEND_FAILED = 70
    """An output could not be delivered, or the agent raised."""
    FENCED = 71
    """The group lease was lost: another worker may own the partitions."""
    STALLED = 72
    """No progress for too long although there is work."""
    CONFIG = 78
    """Settings, an artefact or a stored record that cannot be used; a restart does not help."""


def end_now(code: Exit, reason: str) -> NoReturn:
    """Log why and end the process without running any clean-up."""
    log.error("process.ended", exit_code=int(code), exit=code.name.lower(), reason=reason)
    _end(int(code))


def stop_now(reason: str) -> NoReturn:
    """End a process that was asked to stop, without waiting any longer; exit code 0.

    What it acknowledged was delivered before; the rest comes again to its successor.
    """
    log.warning("worker.stopped_early", reason=reason)
    _end(0)


def _end(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

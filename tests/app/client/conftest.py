"""The gateway that the client talks to."""

from __future__ import annotations

from tests.app.gateway.conftest import edge, pusher

__all__ = ["edge", "pusher"]

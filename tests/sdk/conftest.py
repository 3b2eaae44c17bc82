"""A gateway in this process, for pages that Node runs."""

from tests.app.gateway.conftest import edge, pusher

__all__ = ["edge", "pusher"]

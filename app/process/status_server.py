"""The private HTTP port of a worker or gateway, answered by threads of its own.

It answers while the event loop stands still, and whatever other clients of the port do:
connections that send nothing, slowly, or do not read are closed after `REQUEST_SECONDS`,
and where there are too many, the oldest makes room for the newest.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import orjson
from prometheus_client import make_wsgi_app

from app.process.exits import Exit, end_now

REQUEST_SECONDS: Final = 5.0
"""From a connection's start to the end of its answer; after that it is closed."""
MAX_CONNECTIONS: Final = 64
"""Each has a thread."""
_POLL_SECONDS: Final = 0.5

Answer = tuple[int, dict[str, Any]]
_REASONS: Final = {200: "200 OK", 404: "404 Not Found", 503: "503 Service Unavailable"}


class StatusServer:
    """Serves JSON documents, and this process's metrics at /metrics, until `close`.

    Args:
        host, port: where to listen; port 0: any free.
        paths: called in a thread of the server with the query string; the status (200 or
            503) and the document to answer with.
        setting: named when the port cannot be had.
    """

    def __init__(
        self, host: str, port: int, paths: dict[str, Callable[[str], Answer]], *, setting: str
    ) -> None:
        self._paths = paths
        self._metrics = make_wsgi_app()
        try:
            self._server = _Server((host, port))
        except (OSError, OverflowError) as error:
            end_now(Exit.UNAVAILABLE, f"cannot listen at {host}:{port} ({error}): see {setting}")
        self._server.set_app(self._respond)
        threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="status", daemon=True
        ).start()

    @property
    def address(self) -> str:
        """host:port."""
        host, port = self._server.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def close(self) -> None:
        """Stop listening. Blocks for half a second at most."""
        self._server.shutdown()
        self._server.server_close()

    def _respond(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start)
            return answer
        answer_of = self._paths.get(path)
        status, document = (
            (404, {"paths": ["/metrics", *self._paths]})
            if answer_of is None
            else answer_of(environ.get("QUERY_STRING", ""))
        )
        start(_REASONS[status], [("Content-Type", "application/json")])
        return [orjson.dumps(document)]


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds; their lines help nobody."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int]) -> None:
        # By when each connection has to be done, the oldest first.
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """As HTTPServer does, but without asking a name server what we are called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread; room is made for it."""
        with self._lock:
            while len(self._open) >= MAX_CONNECTIONS:
                _interrupt(next(iter(self._open)), self._open)
            self._open[request] = time.monotonic() + REQUEST_SECONDS
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Twice a second: close what takes too long. A timeout of each read would not do."""
        now = time.monotonic()
        with self._lock:
            for request in [one for one, until in self._open.items() if until < now]:
                _interrupt(request, self._open)

    def shutdown_request(self, request: Any) -> None:
        """The answer is sent, or the connection broken."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is no news."""


def _interrupt(request: socket.socket, among: dict[socket.socket, float]) -> None:
    """Make the thread's read or write end; it closes the socket then."""
    del among[request]
    with suppress(OSError):  # the client was faster
        request.shutdown(socket.SHUT_RDWR)

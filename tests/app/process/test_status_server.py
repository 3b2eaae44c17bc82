"""The private port answers whatever other clients of it do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from app.process import status_server
from app.process.status_server import MAX_CONNECTIONS, StatusServer


@pytest.fixture
def server() -> Iterator[StatusServer]:
    running = StatusServer(
        "127.0.0.1", 0, {"/healthz": lambda query: (200, {"query": query})}, setting="none"
    )
    yield running
    running.close()


def connection(server: StatusServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def get(server: StatusServer, path: str) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.get(f"http://{server.address}{path}")


def test_it_answers_while_others_send_nothing_or_slowly(server: StatusServer):
    # Given twice as many connections as it takes, half of them idle, half in a request
    with ExitStack() as stack:
        for number in range(2 * MAX_CONNECTIONS):
            waiting = stack.enter_context(connection(server))
            if number % 2:
                waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        # Then each request is answered, and threads stay bounded
        for _ in range(5):
            assert get(server, "/healthz?a=b").json() == {"query": "a=b"}
        assert threading.active_count() < MAX_CONNECTIONS + 30


def test_a_request_that_drips_in_is_cut_off(server: StatusServer, monkeypatch):
    monkeypatch.setattr(status_server, "REQUEST_SECONDS", 1.0)
    with connection(server) as dripping:
        dripping.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        dripping.settimeout(0.1)  # each byte comes well within the timeout of one read
        assert any(_closed_after_a_byte(dripping) for _ in range(600))


def _closed_after_a_byte(dripping: socket.socket) -> bool:
    try:
        dripping.sendall(b"x")
        return not dripping.recv(100)
    except TimeoutError:
        return False
    except OSError:
        return True


def test_paths(server: StatusServer):
    assert get(server, "/nowhere").status_code == 404
    assert get(server, "/nowhere").json() == {"paths": ["/metrics", "/healthz"]}
    assert "python_info" in get(server, "/metrics").text


def test_a_port_that_is_taken_ends_the_process_with_the_setting(server: StatusServer, monkeypatch):
    ended = []

    def end_now(code, reason):
        ended.append((code, reason))
        raise SystemExit

    monkeypatch.setattr(status_server, "end_now", end_now)
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(SystemExit):
        StatusServer("127.0.0.1", port, {}, setting="gateway.status_port")
    assert "gateway.status_port" in ended[0][1]

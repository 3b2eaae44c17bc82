"""A socket to a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from app.process.errors import OperatorError
from app.settings import Settings

SOCKET_PATH = "/api/v1/ml-personalization/ws/"
_MAX_BYTES = 4 * 1024 * 1024


def gateway_url(settings: Settings, url: str = "") -> str:
    """Where the gateway is: `url`, or else what the settings say."""
    return url or f"http://{settings.gateway.host}:{settings.gateway.port}"


def socket_url(url: str, user: str) -> str:
    """A learner's socket at a gateway (http or ws). Raises OperatorError: `url` is no address."""
    base = urlsplit(url)
    if base.scheme not in ("http", "https", "ws", "wss") or not base.netloc:
        raise OperatorError(f"{url!r} is no address like http://127.0.0.1:8000")
    scheme = "wss" if base.scheme in ("https", "wss") else "ws"
    return urlunsplit((scheme, base.netloc, SOCKET_PATH + quote(user, safe=""), "", ""))


@asynccontextmanager
async def connected(url: str, token: str) -> AsyncIterator[ClientConnection]:
    """An open socket. Raises OperatorError that says why there is none."""
    try:
        socket = await connect(
            url,
            additional_headers={"Authorization": f"Bearer {token}"},
            max_size=_MAX_BYTES,
            proxy=None,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        raise OperatorError(f"{url} refused the connection: HTTP {status}") from error
    except (OSError, TimeoutError, WebSocketException) as error:
        raise OperatorError(
            f"no gateway answers at {url} ({error}). Start it with `masterx up`."
        ) from error
    try:
        yield socket
    finally:
        await socket.close()

"""What a browser loads from the gateway: the SDK at /sdk/v1.js, and the example page at /.

`make sdk` builds the SDK from sdk/, and a test compares the two. Any page may load it: it holds no
data. What it sends needs a token and an allowed origin, like everything else.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse

SDK: Final = Path(__file__).resolve().parents[1] / "pages" / "sdk" / "v1.js"

_EXAMPLE: Final = Path(__file__).resolve().parents[3] / "examples" / "page.html"
_HEADERS: Final = {
    # The address stays when the SDK changes: a browser asks each time, and mostly gets a 304.
    "Cache-Control": "no-cache",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


def router(*, example: bool) -> APIRouter:
    """Routes of the files. The SDK is read once, here.

    Args:
        example: whether to serve the example page, where it is.
    """
    source = SDK.read_bytes()
    headers = {**_HEADERS, "ETag": f'"{sha256(source).hexdigest()[:32]}"'}
    pages = APIRouter()

    @pages.get("/sdk/v1.js", include_in_schema=False)
    async def sdk(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(source, headers=headers, media_type="text/javascript; charset=utf-8")

    if example and _EXAMPLE.is_file():

        @pages.get("/", include_in_schema=False)
        async def page() -> FileResponse:
            return FileResponse(_EXAMPLE)

    return pages

"""The SDK, as a file for browsers and as a package for npm; and the example page at /.

`make sdk` builds both files from sdk/, and `make test-web` compares them. Any page may load them:
they hold no data. What the SDK sends needs a token and an allowed origin, like everything else.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse

_FOLDER: Final = Path(__file__).resolve().parents[1] / "pages" / "sdk"
SDK: Final = _FOLDER / "v1.js"
PACKAGE: Final = _FOLDER / "masterx-sdk.tgz"

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
    pages = APIRouter()
    _serve(pages, SDK, "text/javascript; charset=utf-8")
    _serve(pages, PACKAGE, "application/octet-stream")

    if example and _EXAMPLE.is_file():

        @pages.get("/", include_in_schema=False)
        async def page() -> FileResponse:
            return FileResponse(_EXAMPLE)

    return pages


def _serve(pages: APIRouter, file: Path, media_type: str) -> None:
    """Serve a file of the SDK at /sdk/ and its name."""
    content = file.read_bytes()
    headers = {**_HEADERS, "ETag": f'"{sha256(content).hexdigest()[:32]}"'}

    @pages.get(f"/sdk/{file.name}", include_in_schema=False)
    async def serve(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

"""What a browser loads from the gateway: the SDK at /sdk/v1.js; in development, example pages.

The examples are the one at /, without the SDK, and the lesson in React at /example/.

`make sdk` builds the SDK and the lesson from sdk/ and examples/react/, and a test compares them.
Any page may load the SDK: it holds no data. What it sends needs a token and an allowed origin, like
everything else.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.responses import FileResponse

SDK: Final = Path(__file__).resolve().parents[1] / "pages" / "sdk" / "v1.js"

LESSON: Final = SDK.parents[1] / "example"

_LESSON_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_LESSON_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
}
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
        example: whether to serve the example pages, where they are.
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

    if example:
        lesson = {one.name: one for one in LESSON.iterdir() if one.suffix in _LESSON_TYPES}

        @pages.get("/example/{name:path}", include_in_schema=False)
        async def part(name: str) -> Response:
            if (file := lesson.get(name or "index.html")) is None:
                raise HTTPException(404)
            kind = f"{_LESSON_TYPES[file.suffix]}; charset=utf-8"
            return FileResponse(file, headers=_LESSON_HEADERS, media_type=kind)

    return pages

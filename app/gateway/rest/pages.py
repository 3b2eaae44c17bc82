"""The SDK, as a file for browsers and as a package for npm; in development, the example pages.

The examples are the one at /, without the SDK, and the lesson in React at /example/.

`make sdk` builds all of them but the first from sdk/ and examples/react/, and `make test-web`
compares them. Any page may load the SDK: it holds no data. What it sends needs a token and an
allowed origin, like everything else.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.responses import FileResponse, RedirectResponse

_FOLDER: Final = Path(__file__).resolve().parents[1] / "pages" / "sdk"
SDK: Final = _FOLDER / "v1.js"
PACKAGE: Final = _FOLDER / "masterx-sdk.tgz"

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
    pages = APIRouter()
    _serve(pages, SDK, "text/javascript; charset=utf-8")
    _serve(pages, PACKAGE, "application/octet-stream")

    if example and _EXAMPLE.is_file():

        @pages.get("/", include_in_schema=False)
        async def page() -> FileResponse:
            return FileResponse(_EXAMPLE)

    if example:
        lesson = {one.name: one for one in LESSON.iterdir() if one.suffix in _LESSON_TYPES}

        @pages.get("/example", include_in_schema=False)
        async def lesson_page() -> RedirectResponse:
            return RedirectResponse("/example/")

        @pages.get("/example/{name:path}", include_in_schema=False)
        async def part(name: str) -> Response:
            if (file := lesson.get(name or "index.html")) is None:
                raise HTTPException(404)
            kind = f"{_LESSON_TYPES[file.suffix]}; charset=utf-8"
            return FileResponse(file, headers=_LESSON_HEADERS, media_type=kind)

    return pages


def _serve(pages: APIRouter, file: Path, media_type: str) -> None:
    """Serve a file of the SDK at /sdk/ and its name."""
    content = file.read_bytes()
    headers = {**_HEADERS, "ETag": f'"{sha256(content).hexdigest()[:32]}"'}

    @pages.api_route(f"/sdk/{file.name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def serve(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

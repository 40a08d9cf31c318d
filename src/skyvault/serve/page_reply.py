"""How pages and their files leave the server: escaped, compressed, with an ETag, free to load nothing else."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from skyvault.errors import NotFound
from skyvault.serve import page_text
from skyvault.serve.page_citation import bibcode_address, doi_address

if TYPE_CHECKING:
    from jinja2 import Environment

WEB: Final = Path(__file__).parents[1] / "web"
HTML: Final = "text/html; charset=utf-8"
#: scripts and styles come from /static alone; nothing inline, nothing foreign
SECURITY: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}
_STATIC_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_LEAST_GZIP_BYTES: Final = 600


@dataclass(frozen=True, slots=True)
class Document:
    """A finished page or file. ``zipped`` is empty where compressing is not worth it."""

    body: bytes
    zipped: bytes
    etag: str
    content_type: str

    def response(self, request: Request, *, cache: str = "no-cache", status: int = 200) -> Response:
        """The answer: 304 when the client has it already, compressed when it can be."""
        headers = {
            **SECURITY,
            "content-type": self.content_type,
            "etag": self.etag,
            "cache-control": cache,
            "vary": "accept-encoding",
        }
        if status == 200 and self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self.zipped and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.zipped, status_code=status, headers={**headers, "content-encoding": "gzip"})
        return Response(self.body, status_code=status, headers=headers)


def document(body: bytes, content_type: str = HTML, *, level: int = 6) -> Document:
    """Make a document; ``level`` is gzip's, 1 for pages that are sent once."""
    zipped = gzip.compress(body, level, mtime=0) if len(body) >= _LEAST_GZIP_BYTES else b""
    return Document(body, zipped, f'W/"{hashlib.sha256(body).hexdigest()[:20]}"', content_type)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    # imported at the first page: a server's start, and most of its clients, need no templates
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(WEB / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=64,
    )
    environment.filters.update({one.__name__: one for one in page_text.FILTERS})
    environment.filters.update(bibcode_address=bibcode_address, doi_address=doi_address)
    return environment


def render(template: str, **content: Any) -> bytes:
    """A template filled in, as UTF-8. Every text in ``content`` is escaped."""
    text = _environment().get_template(template).render(content)
    return text.encode("utf-8", "replace")


@lru_cache(maxsize=1)
def _static() -> Mapping[str, Document]:
    """All files of web/static by name; no other file can be asked for."""
    found = {}
    for path in (WEB / "static").iterdir():
        content_type = _STATIC_TYPES.get(path.suffix)
        if content_type is not None:
            found[path.name] = document(path.read_bytes(), content_type, level=9)
    return found


def static_response(request: Request, name: str) -> Response:
    """A file of web/static. Raises NotFound."""
    found = _static().get(name)
    if found is None:
        raise NotFound(f"there is no file /static/{name[:100]}")
    # pages name files with their version, so an old page never meets a new style
    return found.response(request, cache="public, max-age=86400")


@lru_cache(maxsize=1)
def static_version() -> str:
    """Changes when a file of web/static does."""
    texts = sorted(f"{name}{one.etag}" for name, one in _static().items())
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:8]

"""What every page needs: where the service is, what it is called, and how snippets are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from skyvault.serve.page_reply import static_version
from skyvault.serve.page_text import curl_snippet, pyvo_snippet

if TYPE_CHECKING:
    from starlette.requests import Request

    from skyvault.serve.service import Service


def root_path(service: Service, request: Request) -> str:
    """The path of the service's root, without a slash at the end: where a proxy has put it."""
    return urlsplit(service.base_url(request)).path.rstrip("/")


def around(service: Service, request: Request) -> dict[str, Any]:
    """The content that the base template and the shared pieces ask for."""
    from skyvault import __version__

    base = service.base_url(request)
    return {
        "base": base,
        "root": root_path(service, request),
        "tap": f"{base}/tap",
        "settings": service.settings,
        "version": __version__,
        "static_version": static_version(),
        "pyvo_snippet": pyvo_snippet,
        "curl_snippet": curl_snippet,
        "urlencode": urlencode,
    }

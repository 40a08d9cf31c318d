"""Pages for people: what is here, and a page a table."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from skyvault.serve.service import Service


class Pages:
    """Pages of one service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self) -> list[Route]:
        return [Route("/", self.index)]

    async def index(self, request: Request) -> Response:
        names = "".join(f"<li>{escape(name)}</li>" for name in self.service.store.view().tables)
        return HTMLResponse(f"<!doctype html><title>Skyvault</title><h1>Skyvault</h1><ul>{names}</ul>")

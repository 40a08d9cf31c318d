"""Errors on their way to a client: each in the form its protocol wants, none with the server's insides in it.

VO protocols answer with a VOTable whose QUERY_STATUS is ERROR (DALI 1.1, section 4.2.3), DataLink and SODA with
plain text that begins with the fault's name, people with a page.
"""

from __future__ import annotations

import functools
import html
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from skyvault.errors import Busy, NotFound, SkyvaultError, UsageError

logger = logging.getLogger(__name__)

FaultForm = Literal["votable", "text", "json", "html"]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

_CONTENT_TYPES: Mapping[FaultForm, str] = {
    "votable": "application/x-votable+xml",
    "text": "text/plain; charset=utf-8",
    "json": "application/json",
    "html": "text/html; charset=utf-8",
}
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }}</style>
</head><body><h1>{title}</h1><p>{message}</p></body></html>
"""
_TITLES = {400: "That cannot be done", 401: "Please log in", 403: "Not allowed", 404: "Not here", 503: "Busy"}


class _Unexpected(SkyvaultError):
    """A fault of ours; the log knows more under its number."""


def as_skyvault_error(error: BaseException) -> SkyvaultError:
    """The error as a sentence for the client. What was not expected is logged under a number, which is all it says."""
    if isinstance(error, SkyvaultError):
        return error
    if isinstance(error, MemoryError):
        logger.error("out of memory", exc_info=error)
        return Busy("the server is out of memory", retry_after_s=10, hint="Ask for less at a time, or try again.")
    number = secrets.token_hex(4)
    logger.error("error %s", number, exc_info=error)
    return _Unexpected(f"something went wrong in the server (error {number})", hint="Tell its operator this number.")


def fault_response(error: BaseException, form: FaultForm = "votable") -> Response:
    """The answer that tells a client of an error, with its status and, when it should come back, Retry-After."""
    told = as_skyvault_error(error)
    headers = {"content-type": _CONTENT_TYPES[form]}
    if isinstance(told, Busy):
        headers["retry-after"] = str(told.retry_after_s)
    return Response(fault_body(told, form), status_code=told.http_status, headers=headers)


def fault_body(error: SkyvaultError, form: FaultForm) -> bytes:
    """The error's document in one of the forms."""
    if form == "json":
        told = {"fault": error.fault, "message": str(error), "where": error.where, "hint": error.hint}
        return json.dumps({key: value for key, value in told.items() if value is not None}).encode()
    return message_body(str(error), form, fault=error.fault, status=error.http_status)


def message_body(message: str, form: FaultForm, *, fault: str = "FatalFault", status: int = 400) -> bytes:
    """A message that was an error once (of a job that ended long ago) as a document."""
    if form == "votable":
        from skyvault.formats.votable_out import error_document

        return error_document(message)
    if form == "json":
        return json.dumps({"fault": fault, "message": message}).encode()
    if form == "html":
        title = _TITLES.get(status, "Something went wrong")
        return _PAGE.format(title=title, message=html.escape(message)).encode()
    # DataLink 1.1, section 3.4, and SODA 1.0, section 4.2: the fault's name, a colon, a blank, the message
    return f"{fault}: {message}\n".encode(errors="replace")


def guarded(form: FaultForm | Callable[[Request], FaultForm] = "votable") -> Callable[[Endpoint], Endpoint]:
    """A decorator: what an endpoint raises is answered in this form."""

    def decorate(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def guard(request: Request) -> Response:
            try:
                return await endpoint(request)
            except HTTPException as error:
                return _of_http(request, error, form(request) if callable(form) else form)
            except Exception as error:
                return fault_response(error, form(request) if callable(form) else form)

        return guard

    return decorate


def exception_handlers(
    form_of: Callable[[Request], FaultForm],
) -> dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]:
    """Handlers for an application, for everything that no endpoint has guarded: unknown paths, wrong methods."""

    async def on_error(request: Request, error: Exception) -> Response:
        return fault_response(error, form_of(request))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _of_http(request, error, form_of(request))

    return {SkyvaultError: on_error, HTTPException: on_http, Exception: on_error}


def _of_http(request: Request, error: HTTPException, form: FaultForm) -> Response:
    if error.status_code == 404:
        told: SkyvaultError = NotFound(f"there is nothing at {request.url.path[:200]}")
    elif error.status_code == 405:
        told = UsageError(f"{request.method} is not possible at {request.url.path[:200]}")
    else:
        told = UsageError(error.detail)
    response = fault_response(told, form)
    response.status_code = error.status_code
    response.headers.update(dict(error.headers or {}))
    return response


def prefers_html(request: Request) -> bool:
    """Whether a person's browser asks: it names text/html together with XHTML, or nothing but text/html.

    Java's own HTTP client, and so TOPCAT and STILTS, sends "text/html, image/gif, ..." with every request.
    """
    weights: dict[str, float] = {}
    for part in request.headers.get("accept", "").split(","):
        kind, _, options = part.partition(";")
        weight = 1.0
        for option in options.split(";"):
            name, _, value = option.partition("=")
            if name.strip().lower() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        weights[kind.strip().lower()] = weight
    wished = weights.get("text/html", 0.0)
    others = max(weights.get(kind, 0.0) for kind in ("text/xml", "application/xml", "application/x-votable+xml"))
    is_browser = "application/xhtml+xml" in weights or set(weights) == {"text/html"}
    return is_browser and wished > 0 and wished >= others


def form_for_people(request: Request) -> FaultForm:
    """A page for a browser, a VOTable for everybody else."""
    return "html" if prefers_html(request) else "votable"

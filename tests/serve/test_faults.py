"""Errors on the wire: the right status, the protocol's own form, nothing of the server's insides."""

from __future__ import annotations

import io
import json
import logging

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from skyvault.errors import Busy, NotFound, QueryError, QueryTimeout, QuotaError, TooLarge, Unauthorised
from skyvault.serve.faults import exception_handlers, fault_response, form_for_people, guarded, prefers_html

SECRET = "/home/operator/secret"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (QueryError("no"), 400),
        (QueryTimeout("too long"), 400),
        (Unauthorised("who?"), 401),
        (NotFound("nothing"), 404),
        (TooLarge("large"), 413),
        (QuotaError("full"), 507),
        (Busy("busy", retry_after_s=7), 503),
        (ValueError(SECRET), 500),
        (MemoryError(), 503),
    ],
)
def test_each_error_has_its_status(error: Exception, status: int, caplog: pytest.LogCaptureFixture) -> None:
    assert fault_response(error).status_code == status
    if isinstance(error, Busy):
        assert fault_response(error).headers["retry-after"] == "7"


def test_the_votable_says_error_and_the_message() -> None:
    from astropy.io.votable import parse

    response = fault_response(QueryError("there is no column <b>", line=2, column=3, hint="Try ra & dec."))
    assert response.headers["content-type"] == "application/x-votable+xml"
    info = parse(io.BytesIO(bytes(response.body))).resources[0].infos[0]
    assert (info.name, info.value) == ("QUERY_STATUS", "ERROR")
    assert info.content == "line 2, column 3: there is no column <b>. Try ra & dec."


def test_the_other_forms_say_the_same() -> None:
    error = NotFound("there is no product <x>", hint="Look again.")
    assert bytes(fault_response(error, "text").body) == b"NotFoundFault: there is no product <x>. Look again.\n"
    told = json.loads(bytes(fault_response(error, "json").body))
    assert told["fault"] == "NotFoundFault" and told["hint"] == "Look again."
    page = bytes(fault_response(error, "html").body).decode()
    assert "there is no product &lt;x&gt;" in page and "<h1>Not here</h1>" in page


def test_what_was_not_expected_is_logged_under_a_number_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    body = bytes(fault_response(ValueError(SECRET), "text").body).decode()
    assert SECRET not in body
    number = body.split("error ")[1].split(")")[0]
    assert number in caplog.text and SECRET in caplog.text


def test_endpoints_and_applications_answer_every_error_in_form(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request) -> Response:
        raise {"query": QueryError("bad"), "http": HTTPException(418, "teapot"), "bug": KeyError(SECRET)}[
            request.path_params["how"]
        ]

    app = Starlette(
        routes=[Route("/text/{how}", guarded("text")(fail)), Route("/bare/{how}", fail)],
        exception_handlers=exception_handlers(form_for_people),  # type: ignore[arg-type]
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/text/query").text == "UsageFault: line 1, column 1: bad.\n"
        assert client.get("/text/http").status_code == 418
        assert client.get("/text/bug").status_code == 500
        for path, status in (("/bare/query", 400), ("/bare/bug", 500), ("/nowhere", 404)):
            answer = client.get(path)
            assert answer.status_code == status
            assert 'name="QUERY_STATUS" value="ERROR"' in answer.text
            assert SECRET not in answer.text
        answer = client.post("/bare/query")
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("accept", "wished"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html", True),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", False),
        ("*/*", False),
        ("", False),
        ("application/xml, text/html;q=0.5, application/xhtml+xml;q=0.5", False),
        ("text/html;q=x, application/xhtml+xml", False),
    ],
)
def test_only_a_browser_is_given_pages(accept: str, wished: bool) -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"accept", accept.encode())]}
    assert prefers_html(Request(scope)) is wished

"""A small server with nothing but a job list, whose queries do what their text says; started by the tests.

python uws_server.py HOME PORT WORKERS
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from skyvault.errors import Cancelled, QueryError
from skyvault.jobs.context import JobContext
from skyvault.jobs.results import Results
from skyvault.jobs.runner import Runner
from skyvault.ledger.ledger import open_ledger
from skyvault.serve.faults import exception_handlers, form_for_people
from skyvault.serve.params import FormLimits, Parameter
from skyvault.serve.uws import UwsSettings, uws_routes

PARAMETERS = (
    Parameter("REQUEST", choices=("doQuery",)),
    Parameter("LANG"),
    Parameter("QUERY"),
    Parameter("RESPONSEFORMAT", aliases=("FORMAT",)),
    Parameter("MAXREC", "integer", minimum=0),
    Parameter("UPLOAD", multiple=True),
)


def work(context: JobContext) -> None:
    """sleep SECONDS | spin SECONDS | fail | crash | upload PART | anything else, which is echoed."""
    verb, _, rest = context.parameters.get("QUERY", [""])[0].partition(" ")
    content_type = context.parameters.get("RESPONSEFORMAT", ["text/csv;header=present"])[0]
    answer = f"answer\n{verb} {rest}\n".encode()
    if verb == "sleep" and context.cancelled.wait(float(rest)):
        raise Cancelled("stopped")
    if verb == "spin":
        # a query that keeps the processor busy and looks only now and then whether it should stop
        end = time.monotonic() + float(rest)
        while time.monotonic() < end:
            context.raise_if_cancelled()
            sum(range(20_000))
    if verb == "fail":
        raise QueryError("there is no column vmga", line=1, column=8, hint="Did you mean vmag?")
    if verb == "crash":
        raise ZeroDivisionError("/etc/secret")
    if verb == "upload":
        answer = context.uploads[rest].read_bytes()
    context.progress(rows=1)
    context.result_path().write_bytes(answer)
    context.set_result(content_type=content_type, rows=1)


async def health(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(os.getpid()))


def make_app() -> Starlette:
    home = Path(os.environ["UWS_HOME"])
    ledger = open_ledger(home / "ledger.db")
    runner = Runner(ledger, work, Results(home / "jobs"), in_all=4, per_user=None, lease_s=2.0, renew_s=0.5)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        runner.start()
        yield
        runner.stop(grace_s=0.2)
        ledger.close()

    settings = UwsSettings(
        execution_default_s=60,
        execution_hard_s=600,
        life_default_s=3600,
        life_hard_s=7200,
        limits=FormLimits(field_bytes=20_000, file_bytes=3_000_000),
    )
    routes = uws_routes(
        "/tap/async", runner, PARAMETERS, settings, owner_of=lambda request: request.headers.get("x-user")
    )
    return Starlette(
        routes=[Route("/health", health), *routes],
        lifespan=lifespan,
        exception_handlers=exception_handlers(form_for_people),  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    os.environ["UWS_HOME"] = sys.argv[1]
    uvicorn.run(
        "uws_server:make_app",
        factory=True,
        app_dir=str(Path(__file__).parent),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        workers=int(sys.argv[3]),
        log_level="warning",
    )

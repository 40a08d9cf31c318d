"""A small server with nothing but a job list, whose queries do what their text says, and the VOSI documents.

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
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from skyvault.config import Secret
from skyvault.errors import Cancelled, QueryError
from skyvault.formats.capability import (
    GEOMETRY_FEATURES,
    STD,
    UDF_FEATURES,
    Capability,
    Feature,
    Interface,
    Language,
    Limit,
    OutputFormat,
    TapCapability,
    capabilities_document,
)
from skyvault.formats.vosi_xml import SchemaDescription, availability_document, table_document, tableset_document
from skyvault.jobs.context import JobContext
from skyvault.jobs.results import Results
from skyvault.jobs.runner import Runner
from skyvault.ledger.ledger import open_ledger
from skyvault.model.table import Column, ForeignKey, Table
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


LIGHT = Table(
    "lab.stars",
    (
        Column("source_id", "long", indexed=True, principal=True, nullable=False, ucd="meta.id;meta.main"),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main"),
        Column("name", "char", "*", xtype=None, description="catalogue name, with < and &"),
        Column("seen", "char", "*", xtype="timestamp", ucd="time.epoch"),
        Column("flux", "float", "5", unit="mJy"),
        Column("footprint", "double", "*", xtype="polygon", std=True),
    ),
    description="Stars of the laboratory",
    nrows=12,
    foreign_keys=(ForeignKey("k1", "lab.other", (("source_id", "id"),), description="the other one"),),
)
OTHER = Table("lab.other", (Column("id", "long"),), kind="view")
SCHEMAS = (SchemaDescription("lab", (LIGHT, OTHER), description="A laboratory"),)


def capabilities(base: str) -> list[Capability]:
    """What a TAP service says of itself."""
    standard = {"capabilities": "VOSI#capabilities", "availability": "VOSI#availability", "tables": "VOSI#tables-1.1"}
    return [
        *(Capability(STD + name, (Interface(f"{base}/{path}", "full"),)) for path, name in standard.items()),
        TapCapability(
            STD + "TAP",
            (Interface(base, "base", version="1.1"),),
            languages=(
                Language(
                    "ADQL",
                    (("2.0", "ivo://ivoa.net/std/ADQL#v2.0"), ("2.1", "ivo://ivoa.net/std/ADQL#v2.1")),
                    "ADQL, with <all> features",
                    {
                        GEOMETRY_FEATURES: (Feature("POINT"), Feature("CIRCLE")),
                        UDF_FEATURES: (Feature("ivo_hashlist_has(list VARCHAR, item VARCHAR) -> INTEGER", "in & out"),),
                    },
                ),
            ),
            output_formats=(
                OutputFormat("text/csv", ("csv",)),
                OutputFormat("application/x-votable+xml", ("votable",), STD + "TAPRegExt#output-votable-binary2"),
            ),
            data_models=(("ObsCore-1.1", "ivo://ivoa.net/std/ObsCore#core-1.1"),),
            upload_methods=tuple(f"{STD}TAPRegExt#upload-{way}" for way in ("inline", "http", "https")),
            retention_period=(Limit(3600, 7200),),
            execution_duration=(Limit(60, 60, mode="sync"), Limit(60, 600, mode="async")),
            output_limit=(Limit(20_000, 20_000_000, "row"),),
            upload_limit=(Limit(3_000_000, 3_000_000, "byte"),),
        ),
    ]


async def vosi(request: Request) -> Response:
    base = str(request.base_url) + "tap"
    table = request.path_params.get("table")
    documents = {
        "capabilities": lambda: b"".join(capabilities_document(capabilities(base))),
        "availability": lambda: availability_document(is_available=True, up_since=0.0, notes=["<up>"]),
        "tables": lambda: b"".join(tableset_document(SCHEMAS, detail=request.query_params.get("detail", "max"))),
    }
    if table is not None:
        return Response(table_document({"lab.stars": LIGHT, "lab.other": OTHER}[table]), media_type="text/xml")
    return Response(documents[request.path_params["document"]](), media_type="text/xml")


async def health(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(os.getpid()))


def make_app() -> Starlette:
    # a thread that waits for the interpreter gets it after 0.5 ms, not 5: the event loop must not queue behind queries
    sys.setswitchinterval(0.0005)
    home = Path(os.environ["UWS_HOME"])
    address = os.environ.get("SKYVAULT_LEDGER")
    ledger = open_ledger(Secret(address) if address else home / "ledger.db")
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
        routes=[
            Route("/health", health),
            *routes,
            Route("/tap/tables/{table}", vosi),
            Route("/tap/{document}", vosi),
        ],
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

"""What the service says of itself: capabilities, availability, tables (VOSI 1.1), with ETag and gzip."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.errors import NotFound, ParameterError
from skyvault.formats import vosi_xml
from skyvault.formats.capability import (
    Capability,
    ConeSearchCapability,
    Feature,
    Interface,
    Language,
    Limit,
    OutputFormat,
    TapCapability,
    capabilities_document,
)
from skyvault.model.table import Table
from skyvault.serve.faults import guarded
from skyvault.serve.identity import identity_of
from skyvault.serve.service import Service
from skyvault.store import obscore, regtap, tap_schema
from skyvault.store.view import View, split_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skyvault.config import Settings

OBSCORE_MODEL = ("ObsCore-1.1", "ivo://ivoa.net/std/ObsCore#core-1.1")


class Vosi:
    """The documents of one service; each is made once for what is published and kept."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._kept: dict[tuple[str, ...], tuple[int, bytes, bytes, str]] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/tap/capabilities", guarded()(self.capabilities)),
            Route("/tap/availability", guarded()(self.availability)),
            Route("/tap/tables", guarded()(self.tables)),
            Route("/tap/tables/{name:path}", guarded()(self.table)),
            Route("/{schema}/{table}/scs/capabilities", guarded()(self.cone_capabilities)),
        ]

    async def availability(self, request: Request) -> Response:
        self.service.store.view()
        document = vosi_xml.availability_document(is_available=True, up_since=self.service.started)
        return Response(document, headers={"content-type": vosi_xml.CONTENT_TYPE, "cache-control": "no-store"})

    async def capabilities(self, request: Request) -> Response:
        base = self.service.base_url(request)

        def make(view: View) -> bytes:
            return b"".join(capabilities_document(tap_capabilities(base, view, self.service.settings)))

        return self._document(request, ("capabilities", base), make)

    async def tables(self, request: Request) -> Response:
        detail: Literal["min", "max"] = "min"
        for name, value in request.query_params.multi_items():
            if name.lower() == "detail" and value:
                if value not in ("min", "max"):
                    raise ParameterError(f"detail={value!r} is not known", hint="Use detail=min or detail=max.")
                detail = "min" if value == "min" else "max"

        # astroquery's TapPlus is the one client that names itself in no way
        tap_plus = "user-agent" not in request.headers and "accept" not in request.headers

        def make(view: View) -> bytes:
            descriptions = tap_schema.schema_descriptions(view.tables.values())
            schemas = _schemas([shelf.table for shelf in view.tables.values()], descriptions)
            document = b"".join(vosi_xml.tableset_document(schemas, detail=detail, spell=tap_schema.spelled))
            return vosi_xml.with_tap_plus_flags(document) if tap_plus else document

        # TAP clients that ask without detail expect columns from small services; large ones would be slow
        if "detail" not in {name.lower() for name in request.query_params}:
            columns = sum(len(shelf.table.columns) for shelf in self.service.store.view().tables.values())
            detail = "max" if columns <= 5000 else "min"
        return self._document(request, ("tables", detail, str(tap_plus)), make)

    async def table(self, request: Request) -> Response:
        name = request.path_params["name"]
        rules = self.service.user_rules
        if rules is not None and name.lower().startswith("tap_user."):
            # the draft of VOSI 1.2 has users' tables beside the others; the list has only what is published
            table = rules.readable(identity_of(request), name)
            document = vosi_xml.table_document(
                _written(replace(table.table, name=f"tap_user.{table.name}")), spell=tap_schema.spelled
            )
            return Response(document, headers={"content-type": vosi_xml.CONTENT_TYPE, "cache-control": "no-store"})
        shelf = self.service.store.view().get(name)
        if shelf is None:
            raise NotFound(f"there is no table {name!r}", hint="See /tap/tables for those there are.")

        def make(view: View) -> bytes:
            return vosi_xml.table_document(_written(shelf.table), spell=tap_schema.spelled)

        return self._document(request, ("table", shelf.table.name), make)

    async def cone_capabilities(self, request: Request) -> Response:
        base = self.service.base_url(request)
        name = f"{request.path_params['schema']}.{request.path_params['table']}"
        shelf = self.service.store.view().get(name)
        if shelf is None or not shelf.stored.positions:
            raise NotFound(f"there is no cone search of {name!r}")
        service = self.service.settings
        url = f"{base}/{request.path_params['schema']}/{request.path_params['table']}/scs"
        cone = ConeSearchCapability(
            "ivo://ivoa.net/std/ConeSearch",
            (Interface(url, use="base", version="1.03"),),
            max_radius_deg=180.0,
            max_records=service.maxrec_hard,
        )
        own = Capability("ivo://ivoa.net/std/VOSI#capabilities", (Interface(f"{url}/capabilities"),))

        def make(view: View) -> bytes:
            return b"".join(capabilities_document([cone, own]))

        return self._document(request, ("cone", base, name), make)

    def _document(self, request: Request, key: tuple[str, ...], make: Callable[[View], bytes]) -> Response:
        view = self.service.store.view()
        kept = self._kept.get(key)
        if kept is None or kept[0] != view.version:
            body = make(view)
            if len(self._kept) > 2000:
                self._kept.clear()
            kept = (view.version, body, gzip.compress(body, 6), f'"{hashlib.sha256(body).hexdigest()[:20]}"')
            self._kept[key] = kept
        headers = {
            "content-type": vosi_xml.CONTENT_TYPE,
            "etag": kept[3],
            "cache-control": "no-cache",
            "vary": "accept-encoding",
        }
        if kept[3] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(kept[2], headers={**headers, "content-encoding": "gzip"})
        return Response(kept[1], headers=headers)


def tap_capabilities(base: str, view: View, settings: Settings) -> list[Capability]:
    """What the TAP service at ``base`` can do, and its other documents."""
    from skyvault.adql.functions import language_features
    from skyvault.formats.registry import OUTPUT_FORMATS

    features = {
        kind: tuple(Feature(form, description) for form, description in forms)
        for kind, forms in language_features().items()
    }
    # clients written for TAPRegExt 1.0 know these two types in its own spelling only (STILTS 3.4, TOPCAT 4.8)
    for kind in ("udf", "adqlgeo"):
        known = features.get(f"ivo://ivoa.net/std/tapregext#features-{kind}")
        if known:
            features[f"ivo://ivoa.net/std/TAPRegExt#features-{kind}"] = known
    models: tuple[tuple[str, str], ...] = (OBSCORE_MODEL,) if view.get(obscore.NAME) is not None else ()
    if settings.registry_full:
        # RegTAP 1.2, section 6: only who has the whole registry may say so
        models += (("Registry 1.1", regtap.UTYPE),)
    tap = TapCapability(
        "ivo://ivoa.net/std/TAP",
        (Interface(f"{base}/tap", use="base", version="1.1"),),
        languages=(
            Language(
                "ADQL",
                (("2.0", "ivo://ivoa.net/std/ADQL#v2.0"), ("2.1", "ivo://ivoa.net/std/ADQL#v2.1")),
                description="Astronomical Data Query Language",
                features=features,
            ),
        ),
        output_formats=tuple(OutputFormat(one.content_type, one.short_names, one.ivo_id) for one in OUTPUT_FORMATS),
        data_models=models,
        # TAP 1.1, section 2.5: http is mandatory where uploads are; the operator's list says from which hosts
        upload_methods=tuple(f"ivo://ivoa.net/std/TAPRegExt#upload-{method}" for method in ("inline", "http", "https")),
        retention_period=(Limit(int(settings.job_life_days * 86_400), int(settings.job_life_days * 86_400)),),
        execution_duration=(Limit(int(settings.async_time_s), int(settings.async_time_s)),),
        output_limit=(Limit(settings.maxrec_default, settings.maxrec_hard, "row"),),
        upload_limit=(Limit(settings.upload_bytes, settings.upload_bytes, "byte"),),
    )
    others = [
        Capability(
            f"ivo://ivoa.net/std/VOSI#{what}",
            (Interface(f"{base}/tap/{what}", version="1.1" if what == "tables" else None),),
        )
        for what in ("capabilities", "availability", "tables")
    ]
    examples = Capability(
        "ivo://ivoa.net/std/DALI#examples",
        (Interface(f"{base}/tap/examples", kind="vr:WebBrowser", role=None),),
    )
    return [tap, *others, examples]


def _written(table: Table) -> Table:
    return replace(table, name=tap_schema.spelled_name(table.name))


def _schemas(tables: Iterable[Table], descriptions: Mapping[str, str]) -> list[vosi_xml.SchemaDescription]:
    by_schema: dict[str, list[Table]] = {}
    for table in sorted(tables, key=lambda t: t.name.lower()):
        by_schema.setdefault(split_name(table.name)[0], []).append(_written(table))
    return [
        vosi_xml.SchemaDescription(
            tap_schema.spelled(name),
            tuple(members),
            descriptions.get(name.lower()),
            utype=tap_schema.SCHEMA_UTYPES.get(name.lower()),
        )
        for name, members in by_schema.items()
    ]

"""Capabilities and availability of the services for datasets: image search, links, cutouts (VOSI 1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.formats import vosi_xml
from skyvault.formats.capability import Capability, InputParam, Interface, capabilities_document
from skyvault.serve import links, sia1, sia2, soda_parameters, ssa
from skyvault.serve.dataset_links import LINKS
from skyvault.serve.faults import guarded
from skyvault.serve.params import Parameter

if TYPE_CHECKING:
    from skyvault.serve.service import Service

_VOTABLE: Final = "application/x-votable+xml"


class DatasetVosi:
    """The documents of /sia1, /sia2, /datalink and /soda."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self) -> list[Route]:
        routes = []
        for name in ("sia1", "sia2", "ssa", "datalink", "soda"):
            routes.append(Route(f"/{name}/capabilities", guarded()(self.capabilities), name=name))
            routes.append(Route(f"/{name}/availability", guarded()(self.availability)))
        return routes

    async def availability(self, request: Request) -> Response:
        self.service.store.view()
        document = vosi_xml.availability_document(is_available=True, up_since=self.service.started)
        return Response(document, headers={"content-type": vosi_xml.CONTENT_TYPE, "cache-control": "no-store"})

    async def capabilities(self, request: Request) -> Response:
        base = self.service.base_url(request)
        name = request.url.path.rstrip("/").split("/")[-2]
        document = b"".join(capabilities_document(capabilities_of(name, base)))
        return Response(document, headers={"content-type": vosi_xml.CONTENT_TYPE, "cache-control": "no-cache"})


def capabilities_of(name: str, base: str) -> list[Capability]:
    """What one of the services does, and its two documents."""
    root = f"{base}/{name}"
    own = {
        "sia1": lambda: [
            _capability(sia1.STANDARD, root, "1.0", _inputs(sia1.PARAMETERS.parameters), sia1.CONTENT_TYPE)
        ],
        "sia2": lambda: [_capability(sia2.STANDARD, f"{root}/query", "2.0", _inputs(sia2.PARAMETERS.parameters))],
        "ssa": lambda: [_capability(ssa.STANDARD, root, "1.1", _inputs(ssa.PARAMETERS.parameters))],
        "datalink": lambda: [_capability(LINKS, f"{root}/links", "1.1", _inputs(links.PARAMETERS.parameters))],
        "soda": lambda: [
            _capability(standard, f"{root}/{kind}", "1.0", _inputs(soda_parameters.PARAMETERS), None)
            for kind, standard in soda_parameters.STANDARDS.items()
        ],
    }[name]()
    return [
        *own,
        Capability("ivo://ivoa.net/std/VOSI#capabilities", (Interface(f"{root}/capabilities"),)),
        Capability("ivo://ivoa.net/std/VOSI#availability", (Interface(f"{root}/availability"),)),
    ]


def _inputs(parameters: tuple[Parameter, ...]) -> tuple[InputParam, ...]:
    return tuple(one.as_input() for one in parameters)


def _capability(
    standard: str, url: str, version: str, params: tuple[InputParam, ...], result: str | None = _VOTABLE
) -> Capability:
    interface = Interface(url, use="base", version=version, query_types=("GET",), result_type=result, params=params)
    return Capability(standard, (interface,))

"""A registry in small: RegTAP tables that list the sandbox's services, a dead one, and one that moved away.

Its TAP server has observations of its own, too, as searchable registries do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import pyarrow as pa

from skyvault.formats.arrow import arrow_type
from skyvault.model.table import Column, Table
from skyvault.sandbox.emulation import Emulation, HeldTable
from skyvault.sandbox.vo_services import MIRRORED, observation_table, own_plates, plates

_TAP: Final = "ivo://ivoa.net/std/tap"
_SIA2: Final = "ivo://ivoa.net/std/sia#query-2.0"
_SSA: Final = "ivo://ivoa.net/std/ssa"
_OBSCORE: Final = "ivo://ivoa.net/std/obscore#core-1.1"
#: nobody listens there (RFC 6335: the discard service is not run any more)
DEAD: Final = "http://127.0.0.1:9/tap"
_ALL_SKY: Final = "MOC 0/0-11"


@dataclass(frozen=True, slots=True)
class Listed:
    """A resource as the registry knows it; ``coverage`` is "MOC ..." (None: it does not say where it has data)."""

    ivoid: str
    title: str
    standard: str
    address: str
    has_obscore: bool = False
    coverage: str | None = None


def resources(url: str) -> tuple[Listed, ...]:
    """What is listed; ``url`` is the sandbox's own address."""
    return (
        Listed("ivo://sandbox/plates/tap", "Sandbox Plate Archive", _TAP, f"{url}/vo/tap", True),
        Listed(
            "ivo://sandbox/registry/tap", "Sandbox Registry Data Center", _TAP, f"{url}/registry/tap", True, _ALL_SKY
        ),
        Listed("ivo://sandbox/plates/sia2", "Sandbox Plate Images", _SIA2, f"{url}/vo/sia2/query", False, _ALL_SKY),
        Listed("ivo://sandbox/lenses/ssa", "Lens Spectra", _SSA, f"{url}/vo/ssa?"),
        Listed("ivo://sandbox/dead/tap", "Closed Observatory", _TAP, DEAD, True),
        Listed("ivo://sandbox/moved/tap", "Moved Observatory", _TAP, f"{url}/vo/page/tap", True),
        # has data of the south polar cap only, and would fail if it were asked
        Listed("ivo://sandbox/south/sia2", "Polar Images", _SIA2, f"{url}/vo/page/sia2", False, "MOC 2/128-131"),
        # a TAP service without observations
        Listed("ivo://sandbox/heasarc/tap", "Sandbox HEASARC", _TAP, f"{url}/heasarc/tap"),
    )


class Registry(Emulation):
    """The registry at ``/registry``."""

    name: ClassVar[str] = "registry"
    services: ClassVar[Mapping[str, str]] = {"tap": "/tap"}
    has_addresses_in_rows: ClassVar[bool] = True

    def tables(self) -> Iterable[HeldTable]:
        url = self.place.url.removesuffix(f"/{self.name}")
        listed = resources(url)
        yield _table(
            "resource",
            {
                "ivoid": [one.ivoid for one in listed],
                "res_type": ["vs:catalogservice"] * len(listed),
                "created": ["2020-01-01T00:00:00"] * len(listed),
                "short_name": [one.ivoid.split("/")[-2] for one in listed],
                "res_title": [one.title for one in listed],
                "updated": ["2026-01-01T00:00:00"] * len(listed),
                "res_description": [f"{one.title}, of the sandbox" for one in listed],
            },
        )
        yield _table(
            "capability",
            {
                "ivoid": [one.ivoid for one in listed],
                "cap_index": [1] * len(listed),
                "cap_type": ["tr:tableaccess" if one.standard == _TAP else None for one in listed],
                "cap_description": [None] * len(listed),
                "standard_id": [one.standard for one in listed],
            },
        )
        yield _table(
            "interface",
            {
                "ivoid": [one.ivoid for one in listed],
                "cap_index": [1] * len(listed),
                "intf_index": [1] * len(listed),
                "intf_type": ["vs:paramhttp"] * len(listed),
                "intf_role": ["std"] * len(listed),
                "std_version": [None] * len(listed),
                "access_url": [one.address for one in listed],
            },
        )
        obstaps = [one for one in listed if one.has_obscore]
        yield _table(
            "res_detail",
            {
                "ivoid": [one.ivoid for one in obstaps],
                "cap_index": [1] * len(obstaps),
                "detail_xpath": ["/capability/dataModel/@ivo-id"] * len(obstaps),
                "detail_value": [_OBSCORE] * len(obstaps),
            },
        )
        yield _table(
            "res_table",
            {
                "ivoid": [one.ivoid for one in obstaps],
                "table_index": [1] * len(obstaps),
                "table_name": ["ivoa.obscore"] * len(obstaps),
                "table_utype": [_OBSCORE] * len(obstaps),
            },
        )
        covered = [one for one in listed if one.coverage is not None]
        yield _table(
            "stc_spatial",
            {
                "ivoid": [one.ivoid for one in covered],
                "coverage": [one.coverage for one in covered],
                "ref_system_name": [None] * len(covered),
            },
        )
        yield observation_table((*plates()[:MIRRORED], *own_plates()), f"{url}/vo/files")


def _table(name: str, values: Mapping[str, list[Any]]) -> HeldTable:
    """A table of RegTAP 1.2 (section 8): texts and small numbers; the coverage is a MOC."""
    columns = tuple(
        Column(
            column,
            "short" if column.endswith("_index") else "char",
            None if column.endswith("_index") else "*",
            std=True,
        )
        for column in values
    )
    rows = pa.table(
        [pa.array(values[column.name], arrow_type(column)) for column in columns], names=[c.name for c in columns]
    )
    return HeldTable(f"rr.{name}", rows, described=Table(f"rr.{name}", columns, description=f"RegTAP's {name}"))

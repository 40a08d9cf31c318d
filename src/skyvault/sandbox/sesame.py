"""The name resolver Sesame of the CDS, in small: it knows the simulated sky's named objects and the bright ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skyvault.sandbox.emulation import Emulation
from skyvault.sandbox.sky import find_object

if TYPE_CHECKING:
    from collections.abc import Mapping

#: as many as the real one takes in one request
_MOST_NAMES = 200
_SCHEMA = (
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:noNamespaceSchemaLocation="http://vizier.cds.unistra.fr/xml/sesame_4x.xsd"'
)


class Sesame(Emulation):
    """``/nph-sesame/-oxp/SNV?name&name`` answers XML, ``-oI`` and ``-oF`` plain text."""

    name: ClassVar[str] = "sesame"
    services: ClassVar[Mapping[str, str]] = {"resolver": "/nph-sesame"}

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/nph-sesame/{how:path}", self._resolve), Route("/nph-sesame", self._resolve)]

    def _resolve(self, request: Request) -> Response:
        options = next((part for part in request.path_params.get("how", "").split("/") if part.startswith("-o")), "-o")
        names = [unquote_plus(part) for part in request.url.query.split("&") if part][:_MOST_NAMES]
        if not names:
            return Response("Sesame: no object name was given\n", 400, media_type="text/plain")
        if "x" in options:
            media_type = "text/plain" if "p" in options else "text/xml"
            return Response(_document(names), media_type=media_type)
        return Response("".join(_plain(name) for name in names), media_type="text/plain")


def _document(names: Sequence[str]) -> str:
    targets = "".join(_target(name) for name in names)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Sesame {_SCHEMA}>\n{targets}</Sesame>\n'


def _target(name: str) -> str:
    begin = f'<Target option="SNV">\n  <name>{escape(name)}</name>\n'
    place = _place(name)
    if place is None:
        return (
            f"{begin}  <!-- Q0 #1 -->\n"
            '  <Resolver name="S=Simbad"><INFO>*** Nothing found ***</INFO></Resolver>\n'
            '  <Resolver name="V=VizieR"><INFO>*** Nothing found ***</INFO></Resolver>\n</Target>\n'
        )
    main_name, otype, ra, dec = place
    return (
        f'{begin}  <Resolver name="S=Simbad">\n    <otype>{escape(otype)}</otype>\n'
        f"    <jpos>{_sexagesimal(ra / 15.0)} {_sexagesimal(dec, is_signed=True)}</jpos>\n"
        f"    <jradeg>{ra:.7f}</jradeg>\n    <jdedeg>{dec:+.7f}</jdedeg>\n"
        f"    <oname>{escape(main_name)}</oname>\n    <nrefs>1</nrefs>\n  </Resolver>\n</Target>\n"
    )


def _plain(name: str) -> str:
    place = _place(name)
    if place is None:
        return f"# {name}\t#Q0\n#=S=Simbad:    0\n\n#! *** Nothing found *** \n\n"
    main_name, otype, ra, dec = place
    return (
        f"# {name}\t#Q0\n#=S=Simbad:    1\n%@ 0\n%C.0 {otype}\n"
        f"%J {ra:.7f} {dec:+.7f} = {_sexagesimal(ra / 15.0)} {_sexagesimal(dec, is_signed=True)}\n%I.0 {main_name}\n\n"
    )


def _place(name: str) -> tuple[str, str, float, float] | None:
    """Main name, object type, ICRS degrees."""
    one = find_object(name)
    if one is not None:
        return one.name, one.otype, one.ra_deg, one.dec_deg
    from skyvault.missions.bright_objects import bright_object

    place = bright_object(name)
    return None if place is None else (name.strip(), "?", *place)


def _sexagesimal(value: float, *, is_signed: bool = False) -> str:
    units = round(abs(value) * 360000)
    hours, rest = divmod(units, 360000)
    minutes, hundredths = divmod(rest, 6000)
    sign = ("-" if value < 0 else "+") if is_signed else ""
    return f"{sign}{hours:02d}:{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"

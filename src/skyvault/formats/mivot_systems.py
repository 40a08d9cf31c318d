"""The elements of a MIVOT block, and what all rows of a table share in it: frames, scales of time, photometric systems.

``shared`` collects the INSTANCEs of GLOBALS by their identifiers; each is written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from skyvault.formats.votable_out import element, modern_frame
from skyvault.model.frames import PhotometricSystem
from skyvault.model.table import CoordinateFrame, TimeFrame

#: astropy (7.1) hands a block on without escaping, and cannot read it again with these in it
_UNSAFE: Final = str.maketrans({"'": "\u2032", "&": "+", "<": "(", ">": ")", '"': "\u2033"})


def instance(dmtype: str, inner: str, *, role: str | None = None, dmid: str | None = None) -> str:
    """An INSTANCE with what is in it."""
    return element("INSTANCE", {"dmrole": role, "dmtype": dmtype, "dmid": dmid}, "\n" + inner)


def attribute(
    role: str, dmtype: str, *, ref: str | None = None, value: str | None = None, unit: str | None = None
) -> str:
    """An ATTRIBUTE: a column's value, or a constant."""
    told = None if value is None else value.translate(_UNSAFE)
    return element("ATTRIBUTE", {"dmrole": role, "dmtype": dmtype, "ref": ref, "value": told, "unit": unit})


def reference(role: str, dmref: str) -> str:
    """A REFERENCE to what is in GLOBALS."""
    return element("REFERENCE", {"dmrole": role, "dmref": dmref})


def collection(role: str, members: Sequence[str]) -> str:
    """A COLLECTION of INSTANCEs."""
    return element("COLLECTION", {"dmrole": role}, "\n" + "".join(members))


# --- what all rows share --------------------------------------------------------------------------------------------


def space_system(shared: dict[str, str], frame: CoordinateFrame) -> str:
    """A frame of places as Coords 1.0 has it; returns its identifier."""
    name = f"_space_{frame.id}"
    if name not in shared:
        role = "coords:SpaceFrame"
        inner = attribute(f"{role}.spaceRefFrame", "ivoa:string", value=modern_frame(frame.system))
        if frame.equinox:
            equinox = frame.equinox.strip()
            if equinox[:1].isdigit():
                # a year without a letter is Besselian in FK4, Julian else (VOTable 1.5, COOSYS)
                equinox = ("B" if modern_frame(frame.system) == "FK4" else "J") + equinox
            inner += attribute(f"{role}.equinox", "coords:Epoch", value=equinox)
        inner += _location(f"{role}.refPosition", frame.refposition)
        held = instance(role, inner, role="coords:PhysicalCoordSys.frame")
        shared[name] = instance("coords:SpaceSys", held, dmid=name)
    return name


def time_system(shared: dict[str, str], frame: TimeFrame) -> str:
    """A scale of times and where its clock is; returns its identifier."""
    name = f"_time_{frame.id}"
    if name not in shared:
        role = "coords:TimeFrame"
        inner = attribute(f"{role}.timescale", "ivoa:string", value=frame.timescale)
        inner += _location(f"{role}.refPosition", frame.refposition)
        held = instance(role, inner, role="coords:PhysicalCoordSys.frame")
        shared[name] = instance("coords:TimeSys", held, dmid=name)
    return name


def _location(role: str, position: str | None) -> str:
    kind = "coords:StdRefLocation"
    return instance(kind, attribute(f"{kind}.position", "ivoa:string", value=position or "UNKNOWN"), role=role)


def photometric_system(shared: dict[str, str], group: str, system: PhotometricSystem) -> str:
    """A filter with its zero point as PhotDM 1.1 has it; returns the identifier of the calibration."""
    name, filter_name = f"_photcal_{group}", f"_photfilter_{group}"
    if name not in shared:
        role = "Phot:PhotCal"
        inner = attribute(
            f"{role}.identifier", "ivoa:string", value="/".join(one for one in (system.filter, system.system) if one)
        )
        if system.zero_point_jy is not None:
            flux = attribute("Phot:Flux.ucd", "Phot:UCD", value="phot.flux.density")
            flux += attribute("Phot:Flux.unitexpression", "ivoa:Unit", value="Jy")
            flux += attribute("Phot:Flux.value", "ivoa:real", value=repr(system.zero_point_jy))
            zero = attribute("Phot:ZeroPoint.type", "ivoa:integer", value="0")
            zero += attribute("Phot:ZeroPoint.referenceMagnitudeValue", "ivoa:real", value="0")
            zero += instance("Phot:Flux", flux, role="Phot:ZeroPoint.flux")
            inner += instance("Phot:ZeroPoint", zero, role=f"{role}.zeroPoint")
        if system.system is not None:
            kind = attribute("Phot:MagnitudeSystem.type", "Phot:TypeOfMagSystem", value=system.system)
            inner += instance("Phot:MagnitudeSystem", kind, role=f"{role}.magnitudeSystem")
        inner += reference(f"{role}.photometryFilter", filter_name)
        shared[name] = instance(role, inner, dmid=name)
        role = "Phot:PhotometryFilter"
        inner = attribute(f"{role}.identifier", "ivoa:string", value=system.filter)
        inner += attribute(f"{role}.name", "ivoa:string", value=system.filter.rpartition("/")[2])
        if system.wavelength_m is not None:
            place = attribute("Phot:SpectralLocation.ucd", "Phot:UCD", value="em.wl.effective")
            place += attribute("Phot:SpectralLocation.unitexpression", "ivoa:Unit", value="m")
            place += attribute("Phot:SpectralLocation.value", "ivoa:real", value=repr(system.wavelength_m))
            inner += instance("Phot:SpectralLocation", place, role=f"{role}.spectralLocation")
        shared[filter_name] = instance(role, inner, dmid=filter_name)
    return name

"""Where a downloaded event list, image, exposure map or background map lies on disk."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

from skyvault.errors import NotFound
from skyvault.missions.declaration import Band, Declaration, ProductKind
from skyvault.missions.faults import (
    MissionTypeError,
    MissionValueError,
    PreProcessedNotAvailableError,
    PreProcessedNotSupportedError,
)

_WORDS = {"events": "event lists", "image": "images", "expmap": "exposure maps", "background": "background maps"}


def product_files(
    declaration: Declaration,
    kind: ProductKind,
    root: Path,
    obs_id: str,
    inst: str,
    lo_en: Any = None,
    hi_en: Any = None,
) -> list[Path]:
    """All files of a kind, of one observation and instrument, sorted by name; there may be several event lists.

    Raises PreProcessedNotSupportedError, PreProcessedNotAvailableError (no such energy band), MissionValueError
    (the band is not said and there are several), NotFound (the file is not on disk).
    """
    product = template_of(declaration, kind, inst)
    chosen = None if kind == "events" else band_of(declaration, inst, lo_en, hi_en)
    file_id = obs_id.lower() if declaration.is_file_id_lower else obs_id
    pattern = product.template.format(
        oi=file_id, inst=product.inst_names.get(inst, inst), band=chosen.name if chosen else ""
    )
    folder = root / obs_id
    where, _, wanted = pattern.rpartition("/")
    # of several pipeline versions the newest
    parents = sorted(folder.glob(where))[-1:] if "*" in where else [folder / where]
    files = sorted(
        path
        for parent in parents
        if parent.is_dir()
        for path in parent.iterdir()
        if fnmatch.fnmatchcase(path.name, wanted) and path.is_file()
    )
    if not files:
        raise NotFound(
            f"observation {obs_id} has no file {pattern}", where=str(folder), hint="Download its products again."
        )
    return files


def template_of(declaration: Declaration, kind: ProductKind, inst: str) -> Any:
    """The Product of a kind for an instrument. Raises PreProcessedNotSupportedError."""
    product = declaration.products.get(kind, {}).get(inst) or declaration.products.get(kind, {}).get("*")
    if product is None:
        who = f"{declaration.pretty_name} {inst}".strip()
        raise PreProcessedNotSupportedError(f"the archive offers no {_WORDS[kind]} of {who}")
    return product


def band_of(declaration: Declaration, inst: str, lo_en: Any, hi_en: Any) -> Band:
    """The declared energy band with these bounds (Quantity, or numbers in keV), compared with a tolerance of 1e-6."""
    bands = declaration.bands.get(inst) or declaration.bands.get("*") or ()
    known = ", ".join(f"{b.lo_kev:g}-{b.hi_kev:g}" for b in bands) or "none"
    if lo_en is None and hi_en is None:
        if len(bands) == 1:
            return bands[0]
        raise (
            MissionValueError(f"{inst} has the energy bands {known} keV", hint="Say which one by lo_en and hi_en.")
            if bands
            else PreProcessedNotAvailableError(f"{inst} has no energy bands")
        )
    if lo_en is None or hi_en is None:
        raise MissionValueError("an energy band needs both lo_en and hi_en", hint=f"Bands are {known} keV.")
    lo, hi = _kev(lo_en, "lo_en"), _kev(hi_en, "hi_en")
    for band in bands:
        if abs(lo - band.lo_kev) <= 1e-6 * max(1.0, lo) and abs(hi - band.hi_kev) <= 1e-6 * max(1.0, hi):
            return band
    raise PreProcessedNotAvailableError(f"{inst} has no energy band {lo:g}-{hi:g} keV", hint=f"Bands are {known} keV.")


def _kev(value: Any, argument: str) -> float:
    if hasattr(value, "to_value"):
        try:
            return float(value.to_value("keV"))
        except Exception:  # astropy's UnitConversionError, without importing astropy for it
            raise MissionValueError(f"{argument} is {value}, no energy", hint="Give a Quantity in keV or eV.") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MissionTypeError(f"{argument} is {value!r}, no energy", hint="Give a Quantity, or a number in keV.")
    return float(value)

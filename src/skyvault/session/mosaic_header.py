"""What a whole plate's FITS file tells: keywords, astrometric solutions at any binning, tables of exposures and people.

Keywords are those of DASCH's value-added mosaics. What the archive does not tell is left out; nothing is guessed.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import FormatError
from skyvault.session.archive_tables import instants
from skyvault.session.plate_ids import PlateId

if TYPE_CHECKING:
    from astropy.io import fits

_MOST_HEADER_BYTES: Final = 4 << 20
_WCS_COPIED: Final = re.compile(r"(PV[12]_\d{1,2}|CRVAL[12])")
_CITING: Final = "https://dasch.cfa.harvard.edu/citing/"


def mosaic_header(
    plate: PlateId, binning: int, told: Mapping[str, Any], curated: Mapping[str, Any], base: fits.Header
) -> fits.Header:
    """The keywords of the image, without those of its shape. Raises FormatError where the astrometry is damaged."""
    from astropy.io import fits

    from skyvault import __version__

    header = fits.Header()
    cards = _Cards(header)
    mosaic = told["mosaic"]
    first: tuple[tuple[str, str | int, str], ...] = (
        ("DASCHVAM", "DR7", "DASCH data release"),
        ("ORIGIN", f"skyvault {__version__}", "software that made this file"),
        ("DASCHCIT", _CITING, "how to cite"),
        ("D_PLATE", str(plate), "plate"),
        ("D_SERIES", plate.series, "plate series"),
        ("D_PLNUM", plate.number, "plate number in the series"),
    )
    for card in first:
        cards.put(*card)
    for remark in (mosaic.get("legacyComment"), curated.get("plate_comment")):
        if isinstance(remark, str) and remark.strip():
            header.add_comment(_ascii(remark))
    cards.flag("D_MARKED", curated.get("has_markings"), "plate has handwritten markings")
    cards.flag("D_ERASED", curated.get("markings_cleaned"), "markings were erased for scanning")
    cards.put("D_PCLASS", curated.get("class") or None, "plate class")
    location = _mapping(curated.get("location"))
    cards.put("SITE", location.get("name"), "observatory")
    cards.put("TELESCOP", curated.get("telescope") or None, "telescope")
    cards.number("LATITUDE", location.get("lat"), "[deg] latitude of the observatory")
    # the curators count longitudes to the west, as far as is known
    west = location.get("lon")
    if isinstance(west, int | float) and not isinstance(west, bool):
        cards.number("LONGITUD", -west, "[deg] longitude of the observatory")
    cards.number("HEIGHT", location.get("elevation"), "[m] height of the observatory")
    cards.put("D_SCNNUM", mosaic.get("scanNum"), "plate scan number")
    cards.put("D_MOSNUM", mosaic.get("mosNum"), "plate mosaic number")
    cards.put("S_OPER", base.get("OPERATOR") or base.get("S_OPER"), "scanner operator")
    cards.date("SCN", base.get("DATE-SCN") or base.get("SCANDATE"), "plate scanned", zone="America/New_York")
    cards.date("MOS", mosaic.get("creationDate"), "mosaic made", zone="America/New_York")
    cards.put("D_BINLEV", binning, "binning of the pixels")
    key = f"b{binning:02d}OrigFile"
    cards.put("D_ORGMD5", _hex(mosaic.get(f"{key}MD5")), "MD5 of the base file")
    cards.put("D_ORGSZ", mosaic.get(f"{key}Size"), "[byte] size of the base file")
    cards.put("D_MOSRID", _hex(mosaic.get("resultId")), "mosaic result")
    photometry = _mapping(told.get("photometry"))
    for short, name, about in (
        ("MCT", "medianColorterm", "median colour term"),
        ("NS", "nSolutions", "calibrated solutions"),
        ("NMD", "nMagdep", "magnitude-dependent corrections"),
        ("RID", "resultId", "calibration result"),
    ):
        for ending, refcat in (("AP", "Apass"), ("AT", "Atlas")):
            value = photometry.get(name + refcat)
            shown = _hex(value) if name == "resultId" else value
            cards.put(f"D_{short}{ending}", shown, f"{about}, {refcat.lower()}")
    cards.put("TIMEUNIT", "s", "unit of times")
    _astrometry(header, cards, _mapping(told.get("astrometry")), binning)
    _counts(cards, curated)
    return header


class _Cards:
    """Puts into a header what is known and fits there."""

    def __init__(self, header: fits.Header) -> None:
        self.header = header

    def put(self, keyword: str, value: Any, comment: str) -> None:
        if isinstance(value, str):
            value = _ascii(value)
        # keyword and value take 30 letters at least, " / " three: what does not fit is left out rather than cut
        taken = 13 + max(20, len(value.replace("'", "''")) + 2 if isinstance(value, str) else 0)
        comment = comment if taken + len(comment) <= 80 else ""
        if isinstance(value, bool | int | float | str) and not (isinstance(value, float) and not np.isfinite(value)):
            self.header[keyword] = (value, comment)

    def number(self, keyword: str, value: Any, comment: str) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.put(keyword, float(value), comment)

    def flag(self, keyword: str, value: Any, comment: str) -> None:
        if value in (0, 1):
            self.put(keyword, int(value), comment)

    def date(self, ending: str, text: Any, comment: str, *, zone: str | None = None) -> None:
        from astropy.time import Time

        if not isinstance(text, str):
            return
        moment = instants(np.array([text]), zone=zone)[0]
        if np.isnat(moment):
            return
        time = Time(str(moment), format="isot", scale="utc")
        self.put(f"DATE-{ending}", str(time.isot), f"{comment} (UTC)")
        self.put(f"MJD-{ending}", float(time.mjd), f"[d] {comment} (UTC)")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _ascii(text: str) -> str:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:2000]


def _hex(text: Any) -> str | None:
    """base64 of bytes as hexadecimal; None where there are none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text, validate=True).hex() or None
    except (binascii.Error, ValueError):
        return None


# --- astrometry ------------------------------------------------------------------------------------------------------


def solutions_of(text: Any) -> list[Mapping[str, Any]]:
    """The astrometric solutions in the archive's gzipped header, as keywords without tags; [] where there is none.

    Raises FormatError where the header is damaged.
    """
    from astropy.io import fits

    if not text:
        return []
    try:
        inflate = zlib.decompressobj(wbits=31)
        cards = inflate.decompress(base64.b64decode(text, validate=True), _MOST_HEADER_BYTES)
        if inflate.unconsumed_tail or not inflate.eof:
            raise ValueError("it is too long or cut short")
        header = fits.Header.fromfile(io.BytesIO(cards), sep="\n", endcard=False, padding=False)
        tags = [""]
        if "CTYPE1A" in header:
            tags = [letter for letter in ascii_uppercase if f"CTYPE1{letter}" in header]
            if tags != list(ascii_uppercase[: len(tags)]) or len(tags) < 2:
                raise ValueError("its solutions are not A, B, C ...")
        elif "CTYPE1" not in header:
            return []
        return [_solution(header, tag) for tag in tags]
    except (binascii.Error, zlib.error, ValueError, TypeError, KeyError, OSError, fits.VerifyError) as problem:
        told = str(problem).strip("'\" ")[:120]
        raise FormatError(f"The plate's astrometry cannot be read ({told})") from None


def _solution(header: Any, tag: str) -> Mapping[str, Any]:
    found = {name: float(header[name + tag]) for name in ("CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")}
    for keyword in header:
        bare = keyword[: len(keyword) - len(tag)] if tag else keyword
        if keyword == bare + tag and _WCS_COPIED.fullmatch(bare):
            found[bare] = float(header[keyword])
    return found


def _astrometry(header: Any, cards: _Cards, astrometry: Mapping[str, Any], binning: int) -> None:
    cards.put("D_ASRID", _hex(astrometry.get("resultId")), "astrometry result")
    solutions = solutions_of(astrometry.get("b01HeaderGz"))
    exposures = _exposures(astrometry)
    if len(solutions) > 27:
        raise FormatError(f"A plate cannot have {len(solutions)} astrometric solutions")
    for number, solution in enumerate(solutions):
        tag = "" if number == 0 else ascii_uppercase[number - 1]
        cards.put(f"WCSAXES{tag}", 2, "coordinate axes")
        cards.put(f"WCSNAME{tag}", f"DASCH astrometric solution #{number + 1}", "")
        cards.put(f"RADESYS{tag}", "ICRS", "")
        for axis, kind in ((1, "RA---TPV"), (2, "DEC--TPV")):
            cards.put(f"CTYPE{axis}{tag}", kind, "gnomonic with polynomial distortion")
            cards.put(f"CUNIT{axis}{tag}", "deg", "")
            cards.put(f"CRVAL{axis}{tag}", solution[f"CRVAL{axis}"], "[deg]")
            cards.put(f"CRPIX{axis}{tag}", (solution[f"CRPIX{axis}"] - 0.5) / binning + 0.5, "[pix]")
            for other in (1, 2):
                cards.put(f"CD{axis}_{other}{tag}", solution[f"CD{axis}_{other}"] * binning, "[deg/pix]")
        for keyword, value in solution.items():
            if keyword.startswith("PV"):
                cards.put(keyword + tag, value, "")
    known = [exposure for exposure in exposures if exposure is not None]
    header.add_comment(
        f"{len(known)} exposure(s) and {len(solutions)} astrometric solution(s) are known of this plate."
    )
    cards.put("D_NEXP", len(known), "known exposures")
    cards.put("D_NSOL", len(solutions), "astrometric solutions")
    cards.put("D_NENS", max(0, len(exposures) - len(solutions)), "exposures without solution")
    missing = sum(exposure is None for exposure in exposures[: len(solutions)])
    cards.put("D_NSNE", missing + max(0, len(solutions) - len(exposures)), "solutions without exposure")
    best = metadata_exposure(exposures, len(solutions))
    if best is None:
        return
    exposure = exposures[best]
    assert exposure is not None
    cards.put("D_MDEXP", exposure.get("number"), "exposure that the following describes")
    cards.put("D_MDSOL", best if best < len(solutions) else None, "its astrometric solution, from 0")
    cards.date("OBS", exposure.get("midpointDate"), "middle of the exposure")
    cards.number("D_OBSACC", exposure.get("dateAccDays"), "[d] uncertainty of the date")
    minutes = exposure.get("durMin")
    if isinstance(minutes, int | float) and not isinstance(minutes, bool):
        cards.number("XPOSURE", minutes * 60.0, "[s] exposure time")
    cards.put("D_OBSSRC", exposure.get("dateSource"), "source of the date")


def _exposures(astrometry: Mapping[str, Any]) -> list[Mapping[str, Any] | None]:
    listed = astrometry.get("exposures")
    if not isinstance(listed, list):
        return []
    return [entry if isinstance(entry, dict) else None for entry in listed[:1000]]


def metadata_exposure(exposures: list[Mapping[str, Any] | None], n_solutions: int) -> int | None:
    """Which exposure the image's own keywords describe: the best dated one that has a solution; the first of equals."""
    best, best_score = None, 0.0
    for number, exposure in enumerate(exposures):
        if exposure is None:
            continue
        accuracy = exposure.get("dateAccDays")
        score = 50.0 if exposure.get("midpointDate") else 0.0
        score += 30.0 - accuracy if isinstance(accuracy, int | float) else 0.0
        score += 20.0 if exposure.get("durMin") is not None else 0.0
        score += 10.0 if number < n_solutions else 0.0
        if score > best_score:
            best, best_score = number, score
    return best


# --- what the curators know ------------------------------------------------------------------------------------------


def _list(curated: Mapping[str, Any], name: str) -> list[Any]:
    value = curated.get(name)
    return value[:10_000] if isinstance(value, list) else []


def _counts(cards: _Cards, curated: Mapping[str, Any]) -> None:
    if not curated:
        return
    for keyword, name, comment in (
        ("D_NPPHOT", "plate_images", "photographs of the plate"),
        ("D_NJPHOT", "jacket_images", "photographs of its jacket"),
        ("D_NCNAMS", "comment_astronomers", "names in the curators' comment"),
        ("D_NMNTNS", "mentions", "mentions in notebooks"),
    ):
        cards.put(keyword, len(_list(curated, name)), comment)


def original_header(base: fits.Header) -> fits.Header:
    """The base image's own header, without what describes its shape."""
    kept = base.copy()
    kept.strip()
    return kept


def table_hdus(told: Mapping[str, Any], curated: Mapping[str, Any], original: fits.Header) -> Iterator[Any]:
    """EXPOSURS, PHOTOS and PEOPLE (tables) and ORIGHDR (the base image's header); what is empty has no rows."""
    from astropy.io import fits

    if told.get("astrometry"):
        yield _table_hdu("EXPOSURS", *_exposure_rows(_mapping(told["astrometry"])))
    if curated:
        photos = [("plate", entry) for entry in _list(curated, "plate_images")]
        photos += [("jacket", entry) for entry in _list(curated, "jacket_images")]
        yield _table_hdu(
            "PHOTOS",
            {"kind": "str", "portion": "str"},
            [(kind, str(_mapping(entry).get("portion") or "")) for kind, entry in photos],
        )
        people = [(str(name), "*curator", 1) for name in _list(curated, "comment_astronomers")]
        for mention in map(_mapping, _list(curated, "mentions")):
            page = mention.get("page_num")
            people.append(
                (
                    str(mention.get("author") or ""),
                    str(mention.get("notebook") or ""),
                    page if isinstance(page, int) else -1,
                )
            )
        yield _table_hdu("PEOPLE", {"name": "str", "notebook": "str", "page_num": "i4"}, people)
    yield fits.ImageHDU(None, header=original, name="ORIGHDR")


def _exposure_rows(astrometry: Mapping[str, Any]) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    columns = {
        "solnum": "i2", "expnum": "i2", "ctr_ra": "f8", "ctr_dec": "f8", "ctr_src": "str", "date": "str",
        "date_src": "str", "u_date": "f8", "duration": "f8",
    }  # fmt: skip
    n_solutions = len(solutions_of(astrometry.get("b01HeaderGz")))
    rows = []
    for number, exposure in enumerate(_exposures(astrometry)):
        told = _mapping(exposure)
        minutes = _float(told.get("durMin"))
        rows.append((
            number if number < n_solutions else None,
            told.get("number") if isinstance(told.get("number"), int) else None,
            _float(told.get("raDeg")), _float(told.get("decDeg")), str(told.get("centerSource") or ""),
            str(told.get("midpointDate") or ""), str(told.get("dateSource") or ""), _float(told.get("dateAccDays")),
            minutes * 60.0,
        ))  # fmt: skip
    return columns, rows


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


_UNITS: Final = {"ctr_ra": "deg", "ctr_dec": "deg", "u_date": "d", "duration": "s"}
_NO_NUMBER: Final = -32768


def _table_hdu(name: str, columns: Mapping[str, str], rows: list[tuple[Any, ...]]) -> Any:
    from astropy.io import fits

    made = []
    for place, (column, kind) in enumerate(columns.items()):
        cells = [row[place] for row in rows]
        if kind == "str":
            texts = np.array([_ascii(cell) for cell in cells] or [""], dtype=str)[: len(rows)]
            width = max(1, texts.dtype.itemsize // 4)
            made.append(fits.Column(column, format=f"{width}A", array=texts))
        elif kind == "f8":
            made.append(fits.Column(column, format="D", unit=_UNITS.get(column), array=np.array(cells, dtype="f8")))
        else:
            numbers = np.array([_NO_NUMBER if cell is None else cell for cell in cells], dtype=kind)
            made.append(fits.Column(column, format={"i2": "I", "i4": "J"}[kind], null=_NO_NUMBER, array=numbers))
    return fits.BinTableHDU.from_columns(made, name=name, nrows=len(rows))

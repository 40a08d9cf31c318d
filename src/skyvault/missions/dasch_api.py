"""Harvard's plate archive as its programming interface tells it: reference stars, exposures, light curves, images.

The interface of DASCH's data release 7 (https://dasch.cfa.harvard.edu/dr7/web-apis/): POST a JSON object, receive a
list of CSV lines without quotes, whose first names the columns. Columns are found by name; those nobody reads stay.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import os
import re
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.config import Secret
from skyvault.missions.faults import MissionValueError
from skyvault.missions.light_curve_files import LightCurveTable, TimeAxis, with_units
from skyvault.missions.search import Search
from skyvault.missions.service import ArchiveService, csv_of, json_of
from skyvault.net.auth import ApiKey
from skyvault.net.faults import FetchError, WrongContent, said
from skyvault.net.remote_file import Checksum, RemoteFile

Refcat = Literal["apass", "atlas"]
REFCATS: Final = ("apass", "atlas")
#: the archive looks in a box of this half-size at most
MOST_RADIUS_ARCSEC: Final = 3600.0
#: the side of a cutout: 835 pixels of 1.44 arcsec
CUTOUT_DEG: Final = 835 * 0.0004
#: an answer is at most 6 MB; unpacked, a cutout of 835 x 835 pixels of 16 bits with its header is 1.4 MB
_MOST_BYTES: Final = 32_000_000
_MOST_IMAGE_BYTES: Final = 16_000_000


def _words(text: str) -> list[str]:
    return text.split()


_F, _I, _T = pa.float64(), pa.int64(), pa.string()
REFCAT_TYPES: Final = {
    "ref_text": _T, "ref_number": pa.uint64(), "gsc_bin_index": _I, "ra_deg": _F, "dec_deg": _F, "pos_epoch": _F,
    "stdmag": _F, "color": _F, "pm_ra_masyr": _F, "u_pm_ra_masyr": _F, "pm_dec_masyr": _F, "u_pm_dec_masyr": _F,
    "class": _I, "v_flag": _I, "mag_flag": _I, "num_matches": _I, "dra_asec": _F, "ddec_asec": _F,
}  # fmt: skip
EXPOSURE_TYPES: Final = {
    "series": _T, "platenum": _I, "scannum": _I, "mosnum": _I, "expnum": _I, "solnum": _I, "class": _T, "ra": _F,
    "dec": _F, "exptime": _F, "expdate": _T, "epoch": _F, "wcssource": _T, "scandate": _T, "mosdate": _T,
    "centerdist": _F, "edgedist": _F, "limMagApass": _F, "limMagAtlas": _F, "medianColortermApass": _F,
    "medianColortermAtlas": _F, "nMagdepApass": _I, "nMagdepAtlas": _I, "nSolutionsApass": _I, "nSolutionsAtlas": _I,
    "resultIdApass": _T, "resultIdAtlas": _T,
}  # fmt: skip
_WHOLE: Final = _words(
    "plate_number mosaic_number solution_number gsc_bin_index sextractor_number version_id aflags "
    "a2flags bflags b2flags iso_area_0 iso_area_1 iso_area_2 iso_area_3 iso_area_4 iso_area_5 iso_area_6 iso_area_7 "
    "npoints_local reject_flag magdep_bin pass_bits local_bin_index mask_index exposure_number spatial_bin "
    "catalog_number"
)
_NUMBERS: Final = _words(
    "date_jd limiting_mag_local x_image y_image mag_iso ra_deg dec_deg flux_iso mag_aper mag_auto kron_radius "
    "background flux_max_adu theta_j2000 ellipticity iso_area_sqdeg fwhm_pix fwhm_deg plate_center_dist_deg "
    "blended_mag drad_rms2 ra_cat_corrected dec_cat_corrected magcal_iso magcal_iso_rms magcal_local "
    "magcal_local_rms magcal_local_error magcor_local extinction magcal_magdep magcal_magdep_rms pm_ra_masyr "
    "pm_dec_masyr time_accuracy_days"
)
PHOTOMETRY_TYPES: Final[Mapping[str, pa.DataType]] = {
    "series": _T,
    "ref_number": pa.uint64(),
    **dict.fromkeys(_WHOLE, _I),
    **dict.fromkeys(_NUMBERS, _F),
}
#: values that stand for "unknown" in a detection
_SENTINELS: Final = {
    "magcal_local_error": (99.0,), "magcal_local_rms": (99.0,), "magcal_iso_rms": (99.0,), "magcal_magdep_rms": (99.0,),
    "drad_rms2": (99.0,), "blended_mag": (0.0, 99.0), "magcor_local": (0.0,), "ra_cat_corrected": (999.0,),
    "dec_cat_corrected": (99.0,), "pm_ra_masyr": (999999.0,), "pm_dec_masyr": (999999.0,),
}  # fmt: skip
_UNITS: Final = {
    "date_jd": "d", "limiting_mag_local": "mag", "ra_deg": "deg", "dec_deg": "deg", "x_image": "pix", "y_image": "pix",
    "theta_j2000": "deg", "iso_area_sqdeg": "deg2", "fwhm_pix": "pix", "fwhm_deg": "deg", "drad_rms2": "arcsec",
    "plate_center_dist_deg": "deg", "blended_mag": "mag", "ra_cat_corrected": "deg", "dec_cat_corrected": "deg",
    "mag_iso": "mag", "mag_aper": "mag", "mag_auto": "mag", "magcal_iso": "mag", "magcal_iso_rms": "mag",
    "magcal_local": "mag", "magcal_local_rms": "mag", "magcal_local_error": "mag", "magcor_local": "mag",
    "extinction": "mag", "magcal_magdep": "mag", "magcal_magdep_rms": "mag", "pm_ra_masyr": "mas/yr",
    "pm_dec_masyr": "mas/yr", "time_accuracy_days": "d",
}  # fmt: skip


#: how gateways say that an answer is over their limit
_TOO_LARGE: Final = re.compile(r"answers 413\b|payload size|response (?:is )?too large|larger than", re.IGNORECASE)


class AnswerTooLarge(FetchError):
    """The archive's answer would be over the limit of its gateway."""

    http_status = 413


class DaschApi(ArchiveService):
    """DASCH's interface. A key (StarGlass shows it to its users) is allowed more questions; nothing here needs one.

    The key comes from the environment variable DASCHLAB_API_KEY, or from the credentials file as ``api_key`` of the
    archive's host. With one, the address ``.../full/`` is asked instead of ``.../public/``.
    """

    archive: ClassVar[str] = "dasch"
    addresses: ClassVar[Mapping[str, str]] = {"api": "https://api.starglass.cfa.harvard.edu/public/"}
    #: data release 7 does not change any more
    fresh_s: ClassVar[float] = 90 * 86400.0

    @property
    def key(self) -> ApiKey | None:
        """The user's key, if any."""
        given = os.environ.get("DASCHLAB_API_KEY", "").strip()
        if given:
            return ApiKey(Secret(given))
        known = self.client.credentials.of(self.address("api"))
        return known if isinstance(known, ApiKey) else None

    @property
    def base(self) -> str:
        """The address all paths are below, without a slash at the end."""
        address = self.address("api").rstrip("/")
        if self.key is not None and address.endswith("/public"):
            return address.removesuffix("public") + "full"
        return address

    def _url(self, endpoint: str) -> str:
        return f"{self.base}/dasch/dr7/{endpoint}"

    def _table(
        self, endpoint: str, question: Mapping[str, Any], types: Mapping[str, pa.DataType], *, refresh: bool
    ) -> pa.Table:
        url = self._url(endpoint)
        needed = tuple(types)
        try:
            return self.asked(
                url,
                lambda body: csv_lines(body, url, types, needed),
                document=dict(question),
                credential=self.key,
                refresh=refresh,
                limit_bytes=_MOST_BYTES,
            )
        except FetchError as problem:
            if not _TOO_LARGE.search(problem.what):
                raise
            raise AnswerTooLarge(
                "the archive's answer is larger than it may send at once (6 MB)",
                where=problem.where,
                hint="Ask for less: a smaller radius, or limits of time.",
            ) from None

    def reference_stars(
        self, ra_deg: float, dec_deg: float, radius_arcsec: float, refcat: str = "apass", *, refresh: bool = False
    ) -> pa.Table:
        """The catalogue's stars in a box of half-size ``radius_arcsec`` (the archive draws no circle), unsorted.

        ``num_matches`` is the number of detections; magnitudes of 99 and more are null.
        """
        if not 0.0 < radius_arcsec < MOST_RADIUS_ARCSEC:
            raise MissionValueError(f"a radius of {radius_arcsec:g} arcsec is not possible: 0 to 3600 are")
        question = {
            "refcat": checked_refcat(refcat),
            "ra_deg": float(ra_deg),
            "dec_deg": float(dec_deg),
            "radius_arcsec": float(radius_arcsec),
        }
        table = self._table("querycat", question, REFCAT_TYPES, refresh=refresh)
        for name in ("stdmag", "color"):
            column = table[name]
            known = pc.fill_null(pc.less(column, 99.0), False)
            table = _replaced(table, name, pc.if_else(known, column, pa.scalar(None, _F)))
        return with_units(_replaced(table, "num_matches", pc.fill_null(table["num_matches"], 0)), {
            "ra_deg": "deg", "dec_deg": "deg", "stdmag": "mag", "color": "mag", "pm_ra_masyr": "mas/yr",
            "pm_dec_masyr": "mas/yr", "u_pm_ra_masyr": "mas/yr", "u_pm_dec_masyr": "mas/yr", "dra_asec": "arcsec",
            "ddec_asec": "arcsec", "pos_epoch": "yr",
        })  # fmt: skip

    def observations(self, search: Search, *, refresh: bool = False) -> tuple[pa.Table, str]:
        """The exposures of all plates on which a place lies, in the archive's columns."""
        return self.exposures(search.ra_deg, search.dec_deg, refresh=refresh), self._url("queryexps")

    def exposures(
        self, ra_deg: float, dec_deg: float, earliest_jd: float | None = None, latest_jd: float | None = None, *,
        refresh: bool = False,
    ) -> pa.Table:  # fmt: skip
        """Exposures of a place; with limits those whose logged midpoint (JD UTC) lies between them, or a second beside.

        Raises AnswerTooLarge where that is more than the archive may send at once: then limits help.
        """
        question: dict[str, Any] = {"ra_deg": float(ra_deg), "dec_deg": float(dec_deg)}
        for name, jd, second in (("midpoint_min", earliest_jd, -1.0), ("midpoint_max", latest_jd, 1.0)):
            if jd is not None:
                # dates are written to a millisecond: a second more, and rows are looked at again
                question[name] = _iso_utc(jd + second / 86_400.0)
        return self._table("queryexps", question, EXPOSURE_TYPES, refresh=refresh)

    def light_curve(
        self, ref_number: int, gsc_bin_index: int, refcat: str = "apass", *, source_id: str = "", place: Any = None,
        refresh: bool = False,
    ) -> LightCurveTable:  # fmt: skip
        """All measurements and upper limits of a catalogue star, by the two numbers that name it."""
        question = {
            "refcat": checked_refcat(refcat),
            "gsc_bin_index": _whole(gsc_bin_index, "gsc_bin_index"),
            "ref_number": _whole(ref_number, "ref_number"),
        }
        table = self._table("lightcurve", question, PHOTOMETRY_TYPES, refresh=refresh)
        return photometry(table, source_id or str(ref_number), place, self._url("lightcurve"))

    def plate_photometry(
        self, plate_id: str, solution_number: int, ra_deg: float, dec_deg: float, refcat: str = "apass", *,
        refresh: bool = False,
    ) -> pa.Table:  # fmt: skip
        """What one plate's solution shows within 10 arcminutes of a place, catalogued or not (null ``ref_number``)."""
        question = {
            "refcat": checked_refcat(refcat),
            "plate_id": checked_plate(plate_id),
            "solution_number": _whole(solution_number, "solution_number"),
            "center_ra_deg": float(ra_deg),
            "center_dec_deg": float(dec_deg),
        }
        return with_units(cleaned(self._table("platephot", question, PHOTOMETRY_TYPES, refresh=refresh)), _UNITS)

    def cutout(
        self, plate_id: str, solution_number: int, ra_deg: float, dec_deg: float, target: Path, *, refresh: bool = False
    ) -> Path:
        """Write the 20 arcmin image around a place (FITS, north up, 1.44 arcsec pixels) to ``target``."""
        if target.is_file() and not refresh:
            return target
        url = self._url("cutout")
        question = {
            "plate_id": checked_plate(plate_id),
            "solution_number": _whole(solution_number, "solution_number"),
            "center_ra_deg": float(ra_deg),
            "center_dec_deg": float(dec_deg),
        }
        image = self.asked(
            url,
            lambda body: cutout_image(body, url),
            document=question,
            credential=self.key,
            refresh=refresh,
            limit_bytes=_MOST_BYTES,
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(image)
            Path(beside).chmod(0o644)
            os.replace(beside, target)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
        return target

    def mosaic_package(self, plate_id: str, binning: int = 16) -> dict[str, Any]:
        """What the archive tells of a plate's mosaic: ``baseFitsUrl`` (a link for minutes), size, ``metadata``."""
        if binning not in (1, 16) or isinstance(binning, bool):
            raise MissionValueError(f"mosaics are binned by 1 or 16, not {binning!r}")
        url = self._url("mosaic_package")
        question = {"plate_id": checked_plate(plate_id), "binning": int(binning)}
        # the link within expires: such an answer is never kept
        answer = self.client.request(
            "POST", url, json=question, may_repeat=True, credential=self.key, limit_bytes=_MOST_BYTES
        )
        document = json_of(answer.body, url)
        refuse_error(document, url)
        if (
            not isinstance(document, dict)
            or not isinstance(document.get("baseFitsUrl"), str)
            or not isinstance(document.get("metadata"), dict)
        ):
            raise WrongContent(f"the archive tells of no mosaic of plate {plate_id}", where=url)
        return document

    def plate(self, plate_id: str) -> dict[str, Any]:
        """What the observatory's own catalogue tells of a plate: photographs, markings, astronomers, telescope."""
        url = f"{self.base}/plates/p/{checked_plate(plate_id)}"
        told = self.asked(url, lambda body: json_of(body, url), credential=self.key, limit_bytes=4_000_000)
        return told if isinstance(told, dict) else {}

    def calibration_link(self, result_id: str) -> str:
        """A link, good for some minutes, to the photometric calibration of a plate (ASDF, megabytes).

        ``result_id`` are the 32 hexadecimal digits of the table of exposures. Raises MissionValueError for others.
        """
        if not re.fullmatch(r"[0-9a-f]{32}", str(result_id)):
            raise MissionValueError(f"{str(result_id)[:40]!r} names no calibration: it has 32 hexadecimal digits")
        url = f"{self._url('asset')}/photcal_asdf/{result_id}"
        # the link within expires: such an answer is never kept
        answer = self.client.request("GET", url, credential=self.key, limit_bytes=_MOST_BYTES)
        document = json_of(answer.body, url)
        refuse_error(document, url)
        link = document.get("location") if isinstance(document, dict) else None
        if not isinstance(link, str) or not link.startswith(("https://", "http://")):
            raise WrongContent("the archive gives no link to this calibration", where=url)
        return link

    def mosaic(self, plate_id: str, binning: int = 16) -> RemoteFile:
        """A plate's whole image (tile-compressed FITS) as a file to fetch; its link is signed anew when it expires."""
        package = self.mosaic_package(plate_id, binning)
        size = package.get("baseFitsSize")
        return RemoteFile(
            url=package["baseFitsUrl"],
            label=f"plate {plate_id}, mosaic binned by {binning}",
            size_bytes=size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None,
            checksum=_checksum(package, binning),
            content="fits",
            sign=lambda: str(self.mosaic_package(plate_id, binning)["baseFitsUrl"]),
        )

    def image_of(self, row: Mapping[str, Any]) -> RemoteFile:
        """The mosaic, binned by 16, of the plate of an exposure."""
        if not row.get("is_scanned", True):
            raise MissionValueError(f"plate {row['plate_id']} was never scanned")
        return self.mosaic(str(row["plate_id"]), 16)


# --- wire formats --------------------------------------------------------------------------------------------------


def refuse_error(document: Any, where: str) -> None:
    """Raise FetchError for an object that tells of an error."""
    if isinstance(document, dict) and ("error" in document or "status_code" in document):
        told = said(str(document.get("error") or document.get("message") or "no reason given").encode())
        raise FetchError(f"the archive refuses the question: {told}", where=where)


def csv_lines(body: bytes, where: str, types: Mapping[str, pa.DataType], needed: tuple[str, ...]) -> pa.Table:
    """The table in a JSON list of CSV lines. Raises FetchError for an error, WrongContent for anything else."""
    lines = json_of(body, where)
    refuse_error(lines, where)
    if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
        raise WrongContent("the archive's answer is no list of CSV lines", where=where)
    text = "\n".join(lines)
    if text.count("\n") != len(lines) - 1 or "\r" in text or "\0" in text:
        raise WrongContent("a line of the archive's table has a line break in it", where=where)
    return csv_of(
        text.encode("utf-8", "replace"), where, needed=needed, types=types, is_quoted=False, has_last_newline=False
    )


def _iso_utc(jd: float) -> str:
    """A Julian date (UTC) as the archive wants dates. Raises MissionValueError for what is no date."""
    try:
        date = datetime(1858, 11, 17) + timedelta(days=float(jd) - 2_400_000.5)
    except (OverflowError, ValueError):
        raise MissionValueError(f"{jd!r} is no Julian date of a plate") from None
    return date.isoformat(timespec="milliseconds") + "Z"


def cleaned(table: pa.Table) -> pa.Table:
    """Photometry with its codes for "unknown" made null."""
    for name, codes in _SENTINELS.items():
        column = table[name]
        known = pc.invert(pc.fill_null(pc.is_in(column, pa.array(codes, _F)), False))
        table = _replaced(table, name, pc.if_else(known, column, pa.scalar(None, _F)))
    number = table["ref_number"]
    return _replaced(
        table,
        "ref_number",
        pc.if_else(pc.equal(number, pa.scalar(0, pa.uint64())), pa.scalar(None, pa.uint64()), number),
    )


def photometry(table: pa.Table, source_id: str, place: Any, where: str) -> LightCurveTable:
    """A light curve of the archive's columns. Rows without bin and number of a detection are upper limits.

    Times of detections are heliocentric, those of upper limits are not (DASCH's description of the columns).
    """
    empty = pa.scalar(0, _I)
    is_limit = pc.and_(
        pc.equal(pc.fill_null(table["gsc_bin_index"], empty), empty),
        pc.equal(pc.fill_null(table["sextractor_number"], empty), empty),
    )
    rows = cleaned(table)
    limits = np.asarray(is_limit.to_numpy(), np.bool_) if rows.num_rows else np.zeros(0, np.bool_)
    if place is None:
        seen = rows.filter(pa.array(~limits))
        ra, dec = (np.asarray(seen[name].drop_null().to_numpy(), np.float64) for name in ("ra_deg", "dec_deg"))
        place = (float(np.median(ra)), float(np.median(dec))) if len(ra) and len(dec) else (float("nan"),) * 2
    axis = TimeAxis("date_jd", 0.0, "utc", "HELIOCENTER", limits_reference="GEOCENTER", stamp="middle")
    return LightCurveTable("DASCH", source_id, with_units(rows, _UNITS), axis, place[0], place[1], limits, {}, where)


def cutout_image(body: bytes, where: str) -> bytes:
    """The FITS file in a JSON text of base64 of gzip. Raises FetchError, WrongContent."""
    text = json_of(body, where)
    refuse_error(text, where)
    if not isinstance(text, str):
        raise WrongContent("the archive's answer is no image in base64", where=where)
    try:
        packed = base64.b64decode(text, validate=True)
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            image = file.read(_MOST_IMAGE_BYTES + 1)
    except (binascii.Error, ValueError, OSError, EOFError) as error:
        raise WrongContent(f"the archive's image cannot be unpacked: {str(error)[:100]}", where=where) from None
    if len(image) > _MOST_IMAGE_BYTES:
        raise WrongContent(f"the archive's image is larger than {_MOST_IMAGE_BYTES:,} bytes", where=where)
    if not image.startswith(b"SIMPLE  =") or len(image) % 2880:
        raise WrongContent("the archive's image is no FITS file, or was cut short", where=where)
    return image


def checked_refcat(refcat: str) -> str:
    """A reference catalogue's name. Raises MissionValueError."""
    word = str(refcat).strip().lower()
    if word not in REFCATS:
        raise MissionValueError(f"{word[:40]!r} is no reference catalogue of DASCH", hint="There are apass and atlas.")
    return word


def checked_plate(plate_id: str) -> str:
    """A plate's ID as DASCH writes it: series and five digits. Raises MissionValueError."""
    match = re.fullmatch(r"\s*([a-z]+)0*(\d{1,5})\s*", str(plate_id).lower())
    if match is None:
        raise MissionValueError(f"{str(plate_id)[:40]!r} is no plate", hint="Write the series and its number: a01267.")
    return f"{match[1]}{int(match[2]):05d}"


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise MissionValueError(f"{what} is {value!r}, no whole number")
    return int(value)


def _checksum(package: Mapping[str, Any], binning: int) -> Checksum | None:
    """The MD5 the archive gives of the file it links to, where size and form leave no doubt that it is of that file."""
    mosaic = package["metadata"].get("mosaic")
    if not isinstance(mosaic, dict):
        return None
    prefix = f"b{binning:02d}OrigFile"
    digest, size = mosaic.get(f"{prefix}MD5"), mosaic.get(f"{prefix}Size")
    if not isinstance(digest, str) or size != package.get("baseFitsSize"):
        return None
    try:
        raw = base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Checksum("md5", raw.hex()) if len(raw) == 16 else None


def _replaced(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)

"""Any archive of the Virtual Observatory as an observatory: images by SIA or ObsTAP, DataLink, SODA; spectra by SSA."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from skyvault.net.addresses import shown_address
from skyvault.net.faults import WrongContent
from skyvault.pipeline.data_links import asked, links_of
from skyvault.pipeline.faults import DataMissing, ParameterValueError
from skyvault.pipeline.observatory import Observatory, ParsObservatory
from skyvault.pipeline.observatory_credentials import credential_of
from skyvault.pipeline.spectrum_files import read_spectrum
from skyvault.science.time_scales import Site

if TYPE_CHECKING:
    from skyvault.config import Settings

_COLUMNS: Final = (
    "obs_id", "obs_publisher_did", "access_url", "access_format", "t_min", "t_max", "t_exptime", "s_ra", "s_dec",
    "em_min", "em_max",
)  # fmt: skip
_MOST_CUTOUT_BYTES: Final = 256_000_000
_MOST_SPECTRUM_BYTES: Final = 500_000_000


class ParsService(ParsObservatory):
    """Where the services are, and what is asked of them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_types = ["cutouts"]
        self.num_threads_download = 4
        self.add_par("sia_url", None, (None, str), "address of a service of images (SIA 2)")
        self.add_par("tap_url", None, (None, str), "address of a TAP service with ObsCore, for images")
        self.add_par("tap_table", "ivoa.ObsCore", str, "table of the TAP service")
        self.add_par("tap_where", "", str, "more conditions on the table, in ADQL: calib_level = 2")
        self.add_par("ssa_url", None, (None, str), "address of a service of spectra (SSA)")
        self.add_par("search_radius", 2.0, float, "spectra within so many arcsec are of the source")
        self.add_par("cutout_radius", 30.0, float, "radius of cutouts, arcsec")
        self.add_par("max_datasets", 200, int, "images or spectra of a source; more is an error, never a silent cut")
        self.add_par("telescope", None, (None, list), "east longitude and latitude (degrees), height (m) of the site")
        self.download_pars_list = [
            "sia_url", "tap_url", "tap_table", "tap_where", "ssa_url", "search_radius", "cutout_radius"
        ]  # fmt: skip


class VirtualVO(Observatory):
    """Images, cutouts and spectra from services that follow the standards; ``name`` is yours to choose::

    VirtualVO(name="RUBIN", tap_url="https://...", data_types="cutouts", credentials={"filename": "tokens.yaml"})
    """

    pars_class = ParsService
    pars: Any
    obs_name: ClassVar[str] = "VO"

    def __init__(self, *, settings: Settings | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self._known: set[tuple[int, str]] = set()
        self._making = threading.Lock()
        given = self.pars.telescope
        if given is not None:
            if len(given) not in (2, 3):
                raise ParameterValueError(
                    "telescope is longitude, latitude and height", hint="Give [-70.7, -30.2, 2700]."
                )
            self.site = Site(*(float(one) for one in given))  # type: ignore[misc]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": set(), "_making": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._making = threading.Lock()

    def kinds(self) -> list[str]:
        found = [one for one in super().kinds() if one != "photometry"]
        if not found:
            raise ParameterValueError(f"{self.name} has images, cutouts and spectra", hint="Say so in data_types.")
        return found

    def times_of(self, kind: str) -> dict[str, Any]:
        # ObsCore 1.1, section 4.4: MJD; UTC and the telescope are what nearly all mean
        return {"format": "mjd", "offset": 0.0, "scale": "utc", "position": "topocenter"}

    # --- asking ------------------------------------------------------------------------------------------------

    def _client(self, url: str) -> Any:
        from skyvault.config import Settings
        from skyvault.missions.connections import default_archives

        client = default_archives(self.settings or Settings()).client
        with self._making:
            if (os.getpid(), url) not in self._known:
                credential = credential_of(self.pars.credentials, self.name)
                if credential is not None:
                    client.credentials.add(url, credential)
                self._known.add((os.getpid(), url))
        return client

    def _images(self, ra: float, dec: float) -> list[dict[str, Any]]:
        """Rows of ObsCore of the images that show a place, by time."""
        pars = self.pars
        if pars.sia_url:
            client = self._client(pars.sia_url)
            question = [("POS", f"CIRCLE {ra:.9f} {dec:.9f} {1.0 / 3600.0:.9f}"), ("DPTYPE", "image"),
                        ("MAXREC", str(pars.max_datasets + 1))]  # fmt: skip
            rows = asked(client, pars.sia_url, question)
        elif pars.tap_url:
            client = self._client(pars.tap_url)
            more = f" AND ({pars.tap_where})" if pars.tap_where else ""
            query = (
                f"SELECT TOP {pars.max_datasets + 1} * FROM {pars.tap_table} WHERE dataproduct_type = 'image' "
                f"AND CONTAINS(POINT('ICRS', {ra:.9f}, {dec:.9f}), s_region) = 1{more}"
            )
            form = [("REQUEST", "doQuery"), ("LANG", "ADQL"), ("QUERY", query)]
            rows = asked(client, pars.tap_url.rstrip("/") + "/sync", form, is_post=True)
        else:
            raise ParameterValueError(f"{self.name} has no service of images", hint="Give sia_url or tap_url.")
        self._refuse_many(rows)
        return sorted(rows, key=lambda row: (row.get("t_min") is None, row.get("t_min") or 0.0))

    def _refuse_many(self, rows: list[dict[str, Any]]) -> None:
        if len(rows) > self.pars.max_datasets:
            raise ParameterValueError(
                f"{self.name} has more than {self.pars.max_datasets} datasets of one source",
                hint="Raise max_datasets, or ask for less with tap_where.",
            )

    # --- images ------------------------------------------------------------------------------------------------

    def download_images(self, cat_row: Mapping[str, Any], folder: Path, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The whole images that show a source; DataLink is followed to the file itself."""
        return self._downloaded(cat_row, folder, is_cut=False)

    def download_cutouts(self, cat_row: Mapping[str, Any], folder: Path, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The parts within ``cutout_radius`` of the images that show a source, cut by the archive (SODA); of images
        without such a service the whole file."""
        return self._downloaded(cat_row, folder, is_cut=True)

    def _downloaded(self, cat_row: Mapping[str, Any], folder: Path, *, is_cut: bool) -> tuple[Any, dict[str, Any]]:
        from skyvault.net.batch import fetch_files
        from skyvault.net.remote_file import Order, RemoteFile

        ra, dec = float(cat_row["ra"]) % 360.0, float(cat_row["dec"])
        listed = self._images(ra, dec)
        folder.mkdir(parents=True, exist_ok=True)
        orders, kept, cuts, empty = [], [], 0, 0
        for row in listed:
            url, is_part = self._address(row, ra, dec, is_cut=is_cut)
            name = hashlib.sha256(RemoteFile(url=url).identity.encode()).hexdigest()[:20] + ".fits"
            if not is_part:
                orders.append(Order(RemoteFile(url=url, content="fits"), folder / name))
            elif not self._cut(url, folder / name):
                empty += 1
                continue
            cuts += is_part
            kept.append({**row, "file": name})
        if orders:
            report = fetch_files(orders, self._client(orders[0].remote.url), parallel=4)
            if report.problems:
                raise report.problems[0].error
        about = {"service": self.pars.sia_url or self.pars.tap_url, "cut_by_archive": cuts, "without_overlap": empty}
        return _table(kept), about

    def _cut(self, url: str, path: Path) -> bool:
        """Fetch a cutout unless it is here; False where the image does not reach the place (SODA 1.0, section 4.2)."""
        if path.is_file():
            return True
        answer = self._client(url).get(url, limit_bytes=_MOST_CUTOUT_BYTES)
        if answer.status == 204 or not answer.body:
            return False
        if not answer.body.startswith(b"SIMPLE  ="):
            raise WrongContent("the archive's cutout is no FITS file", where=answer.url)
        beside = path.with_suffix(".part")
        beside.write_bytes(answer.body)
        beside.replace(path)
        return True

    def _address(self, row: Mapping[str, Any], ra: float, dec: float, *, is_cut: bool) -> tuple[str, bool]:
        """Where a row's file is, or the part of it around a place; and whether it is a part."""
        url = str(row.get("access_url") or "")
        if not url.startswith(("http://", "https://")):
            raise DataMissing(f"{row.get('obs_id')} has no address", where=url[:100])
        if "content=datalink" not in str(row.get("access_format") or "").replace(" ", "").lower():
            return url, False
        links = links_of(self._client(url), url)
        service = links.cutout() if is_cut else None
        if service is not None:
            self._client(service.address)
            return service.url(links.identifier, ra, dec, self.pars.cutout_radius / 3600.0), True
        file = links.file()
        if file is None:
            raise DataMissing(f"the links of {row.get('obs_id')} lead to no file", where=url[:100])
        return file, False

    # --- spectra -----------------------------------------------------------------------------------------------

    def download_spectra(self, cat_row: Mapping[str, Any], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """All spectra within ``search_radius`` of a source, as the SSA service lists them."""
        pars = self.pars
        if not pars.ssa_url:
            raise ParameterValueError(f"{self.name} has no service of spectra", hint="Give ssa_url.")
        ra, dec = float(cat_row["ra"]) % 360.0, float(cat_row["dec"])
        question = [("REQUEST", "queryData"), ("POS", f"{ra:.7f},{dec:.7f}"),
                    ("SIZE", f"{2.0 * pars.search_radius / 3600.0:.7f}"),
                    ("MAXREC", str(pars.max_datasets + 1))]  # fmt: skip
        rows = asked(self._client(pars.ssa_url), pars.ssa_url, question)
        self._refuse_many(rows)
        parts, spectra = [], []
        for number, row in enumerate(rows):
            url = str(row.get("ssa_reference") or row.get("accref") or row.get("access_url") or "")
            if not url.startswith(("http://", "https://")):
                raise DataMissing(f"spectrum {number} of {cat_row['name']} has no address")
            body = self._client(url).get(url, limit_bytes=_MOST_SPECTRUM_BYTES).body
            columns, about = read_spectrum(body, url)
            begin, end = row.get("ssa_timestart"), row.get("ssa_timestop")
            if about["mjd"] is None and begin is not None:
                about["mjd"] = float(begin)
            if about["exptime"] is None and begin is not None and end is not None:
                about["exptime"] = (float(end) - float(begin)) * 86400.0
            spectra.append(
                {**about, "url": shown_address(url), "title": row.get("ssa_title") or row.get("ssa_creatordid")}
            )
            parts.append({"spectrum": np.full(len(columns["flux"]), number), **columns})
        return stacked(parts), {"service": pars.ssa_url, "spectra": spectra}


def stacked(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Spectra one below the other; what one of them lacks is NaN (of flags: 0)."""
    if not parts:
        return {}
    names = list(dict.fromkeys(name for part in parts for name in part))
    made = {}
    for name in names:
        empty = 0 if name == "flag" else np.nan
        made[name] = np.concatenate([part.get(name, np.full(len(part["flux"]), empty)) for part in parts])
    return made


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What is kept of ObsCore's rows, as columns of a data set of images."""
    if not rows:
        return {}

    def numbers(name: str) -> Any:
        return np.array([np.nan if row.get(name) is None else float(row[name]) for row in rows], np.float64)

    texts = {name: [str(row.get(name) or "") for row in rows] for name in ("obs_id", "obs_publisher_did")}
    # addresses are kept without the signatures and tokens some archives write into them
    texts["access_url"] = [shown_address(str(row.get("access_url") or "")) for row in rows]
    bands = [str(row.get("filter") or row.get("lsst_band") or row.get("filter_name") or "") for row in rows]
    length = numbers("t_exptime")
    # ObsCore gives begin and end; of one exposure the begin is what light curves are of
    return {
        "file": [row["file"] for row in rows], "mjd": numbers("t_min"), "exptime": length, "filter": bands,
        "zero_point": np.full(len(rows), np.nan), "s_ra": numbers("s_ra"), "s_dec": numbers("s_dec"), **texts,
    }  # fmt: skip

"""The target list of a project: names, places, magnitudes and motions of its sources, from any table."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.pipeline.catalog_index import CatalogIndex
from skyvault.pipeline.catalog_parameters import FRAMES, USED, ParsCatalog, julian_year
from skyvault.pipeline.catalog_presets import address_of
from skyvault.pipeline.data_files import Rows, rows_of
from skyvault.pipeline.dataset import data_root
from skyvault.pipeline.faults import CatalogError, ParameterValueError
from skyvault.pipeline.part import Part
from skyvault.pipeline.sexagesimal import degrees_of, sexagesimal
from skyvault.pipeline.source_names import SourceNames
from skyvault.science.samples import Floats, Indices
from skyvault.science.star_motion import places_at

#: epochs whose places are kept ready to be searched
_MOST_INDICES: Final = 4


class Catalog(Part):
    """A target list: rows by number, name or place. ``data`` is a structured array of shape (n,).

    ``Catalog(filename="stars.fits")`` reads a file when it is first needed; ``Catalog(query="SELECT ...",
    service="gaia")`` asks a TAP service once and keeps the answer; ``Catalog(default="wd")`` is a list that is known;
    ``Catalog(data=table)`` takes a table from memory. ``tap_service`` is an object as get_tap_service gives it, for
    services that want a login. Raises CatalogError for a list without coordinates or with two sources of one name.
    """

    pars_class = ParsCatalog
    pars: ParsCatalog

    def __init__(self, *, data: Any = None, tap_service: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._service = tap_service
        self._data: Rows | None = None
        self._indices: dict[float | None, CatalogIndex] = {}
        self._names: SourceNames | None = None
        self._cat_hash = ""
        if data is not None:
            self._take(rows_of(data))

    # --- reading -----------------------------------------------------------------------------------------------

    def load(self, force_reload: bool = False, force_redownload: bool = False) -> None:
        """Read the file, unless it was; fetch it first where it is not here."""
        if self._data is not None and not (force_reload or force_redownload):
            return
        if self.pars.default == "test" and self.pars.filename is None:
            self._take(make_test_catalog())
            return
        path = self._path(force_redownload)
        from skyvault.pipeline.catalog_files import read_catalog

        if not self.pars.catalog_name:
            self.pars.catalog_name = path.name.partition(".")[0]
        self._take(read_catalog(path, self.pars.columns, self._used_columns()), str(path))

    def _used_columns(self) -> list[str]:
        pars = self.pars
        maps = (pars.mag_to_column_map, pars.mag_to_error_column_map)
        named = [getattr(pars, one) for one in (*USED, "name_column", "alias_column")]
        return [column for column in named if column] + [column for one in maps if one for column in one.values()]

    def _path(self, force_redownload: bool) -> Path:
        pars = self.pars
        source = self._service or pars.service
        address = address_of(source) if isinstance(source, str) else str(getattr(source, "baseurl", ""))
        filename = pars.filename
        if not filename and pars.query:
            from skyvault.pipeline.catalog_query import query_file

            filename = query_file(pars.catalog_name, address, pars.query)
        if not filename and pars.url:
            filename = address_of(pars.url).rpartition("/")[2].removesuffix(".gz")
        if not filename:
            raise CatalogError(
                "no target list is given", hint="Give catalog_kwargs={'filename': ...}, a query, or a default."
            )
        path = Path(filename).expanduser()
        kept = data_root() / "catalogs" / path.name
        tried = [path] if path.is_absolute() else [path, Path("catalogs") / path, kept]
        found = next((one for one in tried if one.is_file()), None)
        if found is not None and not (force_redownload and (pars.query or pars.url)):
            return found
        if pars.query:
            if source is None:
                raise CatalogError("a query needs a service", hint="Give service='gaia', an address or tap_service.")
            from skyvault.pipeline.catalog_query import fetch_query

            return fetch_query(self._service or address, pars.query, kept)
        if not pars.url:
            raise CatalogError(f"there is no file {filename}", hint="It is looked for here, and in folders catalogs.")
        from skyvault.pipeline.catalog_fetch import fetch_catalog

        return fetch_catalog(address_of(pars.url), kept)

    def _take(self, rows: Rows, where: str = "target list") -> None:
        names = rows.dtype.names or ()
        pars = self.pars
        for column in (pars.ra_column, pars.dec_column, pars.name_column):
            if column not in names:
                raise CatalogError(
                    f"there is no column {column!r}", where=where,
                    hint=f"Columns are {', '.join(names)[:200]}; say which one in catalog_kwargs.",
                )  # fmt: skip
        rows = _in_degrees(rows, pars.ra_column, pars.dec_column, where)
        for column, low, high in ((pars.ra_column, -180.0, 360.0), (pars.dec_column, -90.0, 90.0)):
            values = np.asarray(rows[column], np.float64)
            wrong = np.flatnonzero(~((values >= low) & (values <= high)))
            if len(wrong):
                raise CatalogError(
                    f"{len(wrong)} rows have no place on the sky, the first is row {wrong[0]} with {column} ="
                    f" {values[wrong[0]]:g}", where=where,
                )  # fmt: skip
        if pars.coord_frame != "icrs":
            rows = self._in_icrs(rows, where)
        for column in self._used_columns():
            if column in names and column not in (pars.name_column, pars.alias_column) and _is_text(rows, column):
                raise CatalogError(f"the column {column!r} must hold numbers", where=where)
        self._names = SourceNames(rows[pars.name_column], where)
        self._data, self._indices, self._cat_hash = rows, {}, ""

    def _in_icrs(self, rows: Rows, where: str) -> Rows:
        """A copy of the rows whose places are ICRS."""
        from astropy import units as u
        from astropy.coordinates import SkyCoord

        pars = self.pars
        if pars.coord_frame != "fk5" and (pars.pm_ra_column or pars.pm_dec_column):
            raise CatalogError(
                f"proper motions of the frame {pars.coord_frame} cannot be used", where=where,
                hint="Give a list in ICRS or FK5 (J2000), or leave pm_ra_column and pm_dec_column out.",
            )  # fmt: skip
        there = SkyCoord(rows[pars.ra_column], rows[pars.dec_column], unit=u.deg, frame=FRAMES[pars.coord_frame]).icrs
        made = rows.copy()
        made[pars.ra_column], made[pars.dec_column] = there.ra.deg, there.dec.deg
        return made

    @property
    def data(self) -> Rows:
        self.load()
        assert self._data is not None
        return self._data

    @property
    def names(self) -> SourceNames:
        """Names in the order of the list; ``names.rows(...)`` finds many at once."""
        self.load()
        assert self._names is not None
        return self._names

    @property
    def cat_hash(self) -> str:
        """Checksum of names, places, motions and magnitudes; the same whatever file format they came in."""
        if not self._cat_hash:
            digest = hashlib.sha256()
            for block in self.names.blocks():
                digest.update(block)
            for parameter in USED:
                column = self.pars[parameter]
                if column in self.get_columns():
                    values = np.asarray(self.data[column], "<f8")
                    values = np.where(np.isnan(values), np.nan, values + 0.0)
                    digest.update(b"\n" + parameter.encode() + b"\n" + values.tobytes())
            self._cat_hash = digest.hexdigest()
        return self._cat_hash

    def __len__(self) -> int:
        return len(self.data)

    def get_columns(self) -> tuple[str, ...]:
        return self.data.dtype.names or ()

    # --- rows --------------------------------------------------------------------------------------------------

    def get_index_from_name(self, name: Any) -> int:
        """The row's number. Raises CatalogError."""
        number = int(self.names.rows([name])[0])
        if number < 0:
            from skyvault.pipeline.source_names import name_text

            raise CatalogError(f"no source has the name {name_text(name)[:60]!r}", where=self._told())
        return number

    def get_data_slice(self, idx: Any) -> Rows:
        """Some rows as they are: a slice, numbers or truth values."""
        rows: Rows = self.data[idx]
        return rows

    def convert_coords(self, loc: Any, obstime: Any = None) -> Any:
        """The place of a row (by number) as astropy's SkyCoord, ICRS, at ``obstime``."""
        from astropy import units as u
        from astropy.coordinates import SkyCoord

        ra, dec = self.places(obstime, np.array([int(loc) % len(self)]))
        return SkyCoord(ra[0], dec[0], unit=u.deg)

    def get_name_from_index(self, index: int) -> str:
        return self.names[index]

    def get_row(
        self, loc: Any, index_type: str = "number", output: str = "raw", obstime: Any = None,
        preferred_mag: str | None = None,
    ) -> Any:  # fmt: skip
        """A row by number (negative: from the end) or name, as it is, or as a dict; see :meth:`dict_from_row`."""
        if index_type not in ("number", "name") or output not in ("raw", "dict"):
            raise ParameterValueError(
                f"index_type is number or name, output raw or dict: not {index_type!r}, {output!r}"
            )
        number = self.get_index_from_name(loc) if index_type == "name" else int(loc)
        if not -len(self) <= number < len(self):
            raise CatalogError(f"there is no row {number}, only {len(self)}", where=self._told())
        if output == "raw":
            return self.data[number]
        return self.dict_from_row(number % len(self), obstime, preferred_mag)

    def dict_from_row(self, number: int, obstime: Any = None, preferred_mag: str | None = None) -> dict[str, Any]:
        """cat_index, name, ra and dec (degrees, at ``obstime`` where given), mag, mag_err, mag_filter, alias, pmra and
        pmdec (mas/yr), parallax (mas), epoch (Julian year of place and motion); what the list does not have is None."""
        row = self.data[number]
        pars = self.pars
        mag_column, error_column, band = pars.mag_column, pars.mag_error_column, pars.mag_filter_name
        if preferred_mag and pars.mag_to_column_map:
            key = preferred_mag.lower()
            known = {name.lower(): column for name, column in pars.mag_to_column_map.items()}
            if key in known:
                errors = {name.lower(): column for name, column in (pars.mag_to_error_column_map or {}).items()}
                mag_column, error_column, band = known[key], errors.get(key, ""), preferred_mag
        ra, dec = float(row[pars.ra_column]) % 360.0, float(row[pars.dec_column])
        if obstime is not None:
            moved_ra, moved_dec = self.places(obstime, np.array([number]))
            ra, dec = float(moved_ra[0]), float(moved_dec[0])
        return {
            "cat_index": number,
            "name": self.names[number],
            "ra": ra,
            "dec": dec,
            "mag": self._value(row, mag_column),
            "mag_err": self._value(row, error_column),
            "mag_filter": band,
            "alias": self._value(row, pars.alias_column),
            "pmra": self._value(row, pars.pm_ra_column),
            "pmdec": self._value(row, pars.pm_dec_column),
            "parallax": self._value(row, pars.parallax_column),
            "epoch": julian_year(pars.catalog_observation_year if obstime is None else obstime)
            if self.has_motions else None,
        }  # fmt: skip

    @staticmethod
    def _value(row: Any, column: str | None) -> Any:
        if not column or column not in row.dtype.names:
            return None
        value = row[column].item()
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return None if value != value else value

    @property
    def has_motions(self) -> bool:
        """Whether places change with the epoch: by proper motions, parallaxes, or both."""
        names, pars = self.get_columns(), self.pars
        return (pars.pm_ra_column in names and pars.pm_dec_column in names) or pars.parallax_column in names

    def places(self, obstime: Any = None, rows: Indices | None = None) -> tuple[Floats, Floats]:
        """ICRS degrees of all sources (or of ``rows``), shape (n,), as seen from the Earth at ``obstime``: a Julian
        year, an ISO date or an astropy Time; None is as they are in the list. What has no motion stays."""
        chosen = self.data if rows is None else self.data[rows]
        ra = np.asarray(chosen[self.pars.ra_column], np.float64)
        dec = np.asarray(chosen[self.pars.dec_column], np.float64)
        if obstime is None or not self.has_motions:
            return ra % 360.0, dec

        def column(name: str | None) -> Any:
            return chosen[name] if name in self.get_columns() else np.zeros(len(chosen))

        pars = self.pars
        moving = pars.pm_ra_column in self.get_columns() and pars.pm_dec_column in self.get_columns()
        return places_at(
            ra, dec, column(pars.pm_ra_column if moving else None), column(pars.pm_dec_column if moving else None),
            column(pars.parallax_column), julian_year(pars.catalog_observation_year), julian_year(obstime),
        )  # fmt: skip

    def nearest(self, ra: Any, dec: Any, radius: float | None = 2.0, obstime: Any = None) -> tuple[Indices, Floats]:
        """Row numbers and separations (arcsec) of the sources nearest to many places, shape (n,); -1 beyond ``radius``
        arcsec. With ``obstime`` the sources stand where they stood then."""
        epoch = None if obstime is None or not self.has_motions else julian_year(obstime)
        if epoch not in self._indices:
            while len(self._indices) >= _MOST_INDICES:
                self._indices.pop(next(iter(self._indices)))
            self._indices[epoch] = CatalogIndex(*self.places(epoch))
        return self._indices[epoch].nearest(ra, dec, radius)

    def get_nearest_row(
        self, ra: float, dec: float, radius: float | None = 2.0, output: str = "raw", obstime: Any = None
    ) -> Any:
        """The row of the source nearest to a place (degrees), or None beyond ``radius`` arcsec (None: no limit)."""
        rows, _ = self.nearest(ra, dec, radius, obstime)
        return None if rows[0] < 0 else self.get_row(int(rows[0]), output=output, obstime=obstime)

    def make_smaller_catalog(self, indices: Any) -> Catalog:
        """A list of some of the rows, by numbers or truth values."""
        made = Catalog(data=self.data[np.asarray(indices)], **{**self.pars.to_dict(), "cfg_file": False})
        made.pars.catalog_name = f"{self.pars.catalog_name or 'catalog'}_small"
        return made

    def _told(self) -> str:
        return f"target list {self.pars.catalog_name or self.pars.filename or ''}".strip()


def _is_text(rows: Rows, column: str) -> bool:
    return rows.dtype[column].kind not in "iuf"


def _in_degrees(rows: Rows, ra_column: str, dec_column: str, where: str) -> Rows:
    """The rows with right ascensions and declinations as numbers, where they are written in hours and degrees."""
    found = {name: rows[name] for name in (ra_column, dec_column) if _is_text(rows, name)}
    if not found:
        return rows
    kinds = [(name, "<f8" if name in found else rows.dtype[name]) for name in rows.dtype.names or ()]
    made = np.empty(len(rows), kinds)
    for name in rows.dtype.names or ():
        if name not in found:
            made[name] = rows[name]
            continue
        if rows.dtype[name].kind == "S":
            made[name] = degrees_of(rows[name], is_hours=name == ra_column)
        if rows.dtype[name].kind != "S" or (len(rows) and np.isnan(made[name]).all()):
            raise CatalogError(f"the column {name!r} must hold degrees, or texts such as 12:34:56.7", where=where)
    return made


def make_test_catalog(number: int = 10, seed: int = 1) -> Rows:
    """Sources at random all over the sky, as a demo needs them; the same ones for the same ``seed``."""
    rng = np.random.default_rng(seed)
    ra = rng.uniform(0.0, 360.0, number)
    dec = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, number)))
    return rows_of(
        {
            "object_id": [f"J{sexagesimal(a / 15.0)}{sexagesimal(d, sign=True)}" for a, d in zip(ra, dec, strict=True)],
            "ra": ra,
            "dec": dec,
            "mag": rng.uniform(15.0, 20.0, number),
            "magerr": rng.uniform(0.1, 0.5, number),
            "filter": rng.choice(["R", "I", "V"], number),
        }
    )

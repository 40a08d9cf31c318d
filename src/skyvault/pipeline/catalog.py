"""The target list of a project: names, places, magnitudes and motions of its sources, from any table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from skyvault.pipeline.catalog_index import CatalogIndex
from skyvault.pipeline.data_files import Rows, rows_of
from skyvault.pipeline.dataset import data_root
from skyvault.pipeline.faults import CatalogError, ParameterValueError
from skyvault.pipeline.parameters import Parameters
from skyvault.pipeline.part import Part
from skyvault.science.samples import Floats, Indices

#: preset -> other names of it, and its parameters
PRESETS: Final[dict[str, tuple[tuple[str, ...], dict[str, Any]]]] = {
    "test": (
        (),
        {"catalog_name": "test", "name_column": "object_id", "mag_filter_name": "R"},
    ),
    "wd": (
        ("wds", "white dwarf", "white dwarfs"),
        {
            "catalog_name": "WD", "filename": "GaiaEDR3_WD_main.fits", "name_column": "source_id",
            "mag_column": "phot_g_mean_mag", "mag_error_column": "phot_g_mean_mag_error", "mag_filter_name": "Gaia_G",
            "pm_ra_column": "pmra", "pm_dec_column": "pmdec", "parallax_column": "parallax",
            "catalog_observation_year": 2016.0,
            "mag_to_column_map": {
                "gaia_g": "phot_g_mean_mag", "gaia_bp": "phot_bp_mean_mag", "gaia_rp": "phot_rp_mean_mag",
            },
            "url": "https://warwick.ac.uk/fac/sci/physics/research/astro/research/catalogues/"
                   "gaiaedr3_wd_main.fits.gz",
            "reference": "https://ui.adsabs.harvard.edu/abs/2021MNRAS.508.3877G/abstract",
        },
    ),
}  # fmt: skip
_J2000: Final = 2000.0


class ParsCatalog(Parameters):
    """Where a target list is, and which column is which."""

    default_cfg_key: ClassVar[str | None] = "catalog"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        text, year = (None, str), (None, str, int, float)
        self.add_par("catalog_name", None, text, "name of the list; by default that of its file")
        self.add_alias("name", "catalog_name")
        self.add_alias("cat_name", "catalog_name")
        self.add_par("filename", None, (None, str, Path), "file: FITS, CSV, Parquet, HDF5, VOTable, ECSV", False)
        self.add_par("name_column", "name", str, "column with a name that is unique")
        self.add_par("ra_column", "ra", str, "column with right ascensions, degrees")
        self.add_par("dec_column", "dec", str, "column with declinations, degrees")
        self.add_par("pm_ra_column", None, text, "column with proper motions in right ascension x cos(dec), mas/yr")
        self.add_par("pm_dec_column", None, text, "column with proper motions in declination, mas/yr")
        self.add_par("parallax_column", None, text, "column with parallaxes, mas")
        self.add_par("mag_column", "mag", str, "column with magnitudes")
        self.add_par("mag_error_column", "magerr", str, "column with errors of the magnitudes")
        self.add_par("mag_filter_name", "R", str, "filter of these magnitudes")
        self.add_par("catalog_observation_year", _J2000, year, "epoch of the places, Julian year")
        self.add_par("alias_column", None, text, "column with another name")
        self.add_par("default", None, text, f"a list that is known: {', '.join(PRESETS)}")
        self.add_par("mag_to_column_map", None, (None, dict), "filter -> column, for other magnitudes")
        self.add_par("mag_to_error_column_map", None, (None, dict), "filter -> column of errors")
        self.add_par("url", None, text, "where the file can be fetched from", critical=False)
        self.add_par("reference", None, text, "who made the list", critical=False)

    def setup_from_defaults(self, given: Mapping[str, Any]) -> None:
        wanted = given.get("default") or self.load_preset(given)
        if wanted is None:
            return
        word = str(wanted).lower().replace("_", " ").replace("-", " ").strip()
        for name, (others, values) in PRESETS.items():
            if word == name or word in others:
                self._take({**values, "default": name})
                return
        raise ParameterValueError(f"no target list {wanted!r} is known", hint=f"Known are {', '.join(PRESETS)}.")

    def load_preset(self, given: Mapping[str, Any]) -> str | None:
        """The preset a configuration file names."""
        from skyvault.pipeline.parameter_files import read_parameters

        if given.get("cfg_file") is False:
            return None
        found = read_parameters(given.get("cfg_file"), given.get("project"), self._cfg_key).get("default")
        return None if found is None else str(found)

    def checked(self, name: str, value: Any) -> Any:
        if name == "default" and isinstance(value, str):
            word = value.lower().replace("_", " ").replace("-", " ").strip()
            return next((preset for preset, (others, _) in PRESETS.items() if word == preset or word in others), value)
        return super().checked(name, value)


class Catalog(Part):
    """A target list: rows by number, name or place. ``data`` is a structured array of shape (n,).

    ``Catalog(data=table)`` takes a table from memory; otherwise the file is read when it is first needed, and fetched
    before where the preset says from where. Raises CatalogError for a list without coordinates or with two sources of
    one name.
    """

    pars_class = ParsCatalog
    pars: ParsCatalog

    def __init__(self, *, data: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._data: Rows | None = None
        self._index: CatalogIndex | None = None
        self._numbers: dict[str, int] | None = None
        self._names: list[str] = []
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
        self._take(_read_table(path), str(path))

    def _path(self, force_redownload: bool) -> Path:
        filename = self.pars.filename
        if not filename:
            raise CatalogError("no target list is given", hint="Give catalog_kwargs={'filename': ...} or a default.")
        path = Path(filename).expanduser()
        tried = [path] if path.is_absolute() else [path, Path("catalogs") / path, data_root() / "catalogs" / path]
        found = next((one for one in tried if one.is_file()), None)
        if found is not None and not force_redownload:
            return found
        if not self.pars.url:
            raise CatalogError(f"there is no file {filename}", hint="It is looked for here, and in folders catalogs.")
        from skyvault.pipeline.catalog_fetch import fetch_catalog

        return fetch_catalog(self.pars.url, tried[-1])

    def _take(self, rows: Rows, where: str = "target list") -> None:
        names = rows.dtype.names or ()
        for column in (self.pars.ra_column, self.pars.dec_column, self.pars.name_column):
            if column not in names:
                raise CatalogError(
                    f"there is no column {column!r}", where=where,
                    hint=f"Columns are {', '.join(names)[:200]}; say which one in catalog_kwargs.",
                )  # fmt: skip
        for column, low, high in ((self.pars.ra_column, -180.0, 360.0), (self.pars.dec_column, -90.0, 90.0)):
            if rows.dtype[column].kind not in "iuf":
                raise CatalogError(f"the column {column!r} must hold degrees", where=where)
            values = np.asarray(rows[column], np.float64)
            wrong = np.flatnonzero(~((values >= low) & (values <= high)))
            if len(wrong):
                raise CatalogError(
                    f"{len(wrong)} rows have no place on the sky, the first is row {wrong[0]} with {column} ="
                    f" {values[wrong[0]]:g}", where=where,
                )  # fmt: skip
        self._data, self._index = rows, None
        self._names = [_name_text(value) for value in rows[self.pars.name_column].tolist()]
        self._numbers = {name: number for number, name in enumerate(self._names)}
        if len(self._numbers) != len(self._names):
            seen: set[str] = set()
            twice = next(name for name in self._names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise CatalogError(
                f"{len(self._names) - len(self._numbers)} names are not unique, {twice!r} for one", where=where,
                hint="Choose another name_column.",
            )  # fmt: skip
        self._cat_hash = hashlib.sha256("\n".join(self._names).encode()).hexdigest()

    @property
    def data(self) -> Rows:
        self.load()
        assert self._data is not None
        return self._data

    @property
    def names(self) -> list[str]:
        """Names in the order of the list."""
        self.load()
        return self._names

    @property
    def cat_hash(self) -> str:
        """Checksum of the names."""
        self.load()
        return self._cat_hash

    def __len__(self) -> int:
        return len(self.data)

    def get_columns(self) -> tuple[str, ...]:
        return self.data.dtype.names or ()

    # --- rows --------------------------------------------------------------------------------------------------

    def get_index_from_name(self, name: Any) -> int:
        """The row's number. Raises CatalogError."""
        self.load()
        assert self._numbers is not None
        number = self._numbers.get(_name_text(name))
        if number is None:
            raise CatalogError(f"no source has the name {_name_text(name)[:60]!r}", where=self._told())
        return number

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
        pmdec (mas/yr); what the list does not have is None."""
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
        if obstime is not None and self.has_motions:
            moved_ra, moved_dec = self.places(obstime, np.array([number]))
            ra, dec = float(moved_ra[0]), float(moved_dec[0])
        alias = self._value(row, pars.alias_column)
        return {
            "cat_index": number,
            "name": self._names[number],
            "ra": ra,
            "dec": dec,
            "mag": self._value(row, mag_column),
            "mag_err": self._value(row, error_column),
            "mag_filter": band,
            "alias": alias,
            "pmra": self._value(row, pars.pm_ra_column),
            "pmdec": self._value(row, pars.pm_dec_column),
        }

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
        names = self.get_columns()
        return self.pars.pm_ra_column in names and self.pars.pm_dec_column in names

    def places(self, obstime: Any = None, rows: Indices | None = None) -> tuple[Floats, Floats]:
        """ICRS degrees of all sources (or of ``rows``) at a Julian year, with their proper motions: exact, along great
        circles; what has no motion stays. Parallax is left out: it moves a source by less than 1 arcsec."""
        chosen = self.data if rows is None else self.data[rows]
        ra = np.asarray(chosen[self.pars.ra_column], np.float64)
        dec = np.asarray(chosen[self.pars.dec_column], np.float64)
        if obstime is None or not self.has_motions:
            return ra % 360.0, dec
        years = julian_year(obstime) - julian_year(self.pars.catalog_observation_year)
        mas = np.radians(1.0 / 3.6e6)
        east = np.nan_to_num(np.asarray(chosen[self.pars.pm_ra_column], np.float64)) * mas * years
        north = np.nan_to_num(np.asarray(chosen[self.pars.pm_dec_column], np.float64)) * mas * years
        a, d = np.radians(ra), np.radians(dec)
        x = np.cos(d) * np.cos(a) - np.sin(a) * east - np.sin(d) * np.cos(a) * north
        y = np.cos(d) * np.sin(a) + np.cos(a) * east - np.sin(d) * np.sin(a) * north
        z = np.sin(d) + np.cos(d) * north
        return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))

    def nearest(self, ra: Any, dec: Any, radius: float | None = 2.0) -> tuple[Indices, Floats]:
        """Row numbers and separations (arcsec) of the sources nearest to many places; -1 beyond ``radius`` arcsec."""
        if self._index is None:
            self._index = CatalogIndex(*self.places())
        return self._index.nearest(ra, dec, radius)

    def get_nearest_row(
        self, ra: float, dec: float, radius: float | None = 2.0, output: str = "raw", obstime: Any = None
    ) -> Any:
        """The row of the source nearest to a place (degrees), or None beyond ``radius`` arcsec (None: no limit)."""
        rows, _ = self.nearest(ra, dec, radius)
        return None if rows[0] < 0 else self.get_row(int(rows[0]), output=output, obstime=obstime)

    def make_smaller_catalog(self, indices: Any) -> Catalog:
        """A list of some of the rows, by numbers or truth values."""
        made = Catalog(data=self.data[np.asarray(indices)], **self.pars.to_dict())
        made.pars.catalog_name = f"{self.pars.catalog_name or 'catalog'}_small"
        return made

    def _told(self) -> str:
        return f"target list {self.pars.catalog_name or self.pars.filename or ''}".strip()


def julian_year(when: Any) -> float:
    """A Julian year of a number, a text that is one, an astropy Time, or an ISO date. Raises ParameterValueError."""
    if hasattr(when, "jyear"):
        return float(when.jyear)
    try:
        return float(when)
    except (TypeError, ValueError):
        pass
    from astropy.time import Time

    try:
        return float(Time(when).jyear)
    except (TypeError, ValueError):
        raise ParameterValueError(f"{str(when)[:40]!r} is no time", hint="Give a Julian year or an ISO date.") from None


def _name_text(value: Any) -> str:
    if isinstance(value, bytes | np.bytes_):
        return bytes(value).decode("utf-8", "replace").strip()
    return str(value).strip()


def _read_table(path: Path) -> Rows:
    if path.suffix.lower() in (".h5", ".hdf5"):
        from skyvault.pipeline.data_files import read_dataset

        return read_dataset(path)[0]
    from skyvault.formats.registry import open_table

    stream = open_table(path)
    import pyarrow as pa

    batches = list(stream.batches)
    return rows_of(pa.Table.from_batches(batches)) if batches else rows_of({})


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


def sexagesimal(value: float, *, sign: bool = False) -> str:
    """Hours or degrees as ``HHMMSS.sss``, with a sign for declinations, also between 0 and -1."""
    thousandths = round(abs(value) * 3_600_000.0)
    whole, rest = divmod(thousandths, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    mark = ("-" if value < 0.0 else "+") if sign else ""
    return f"{mark}{whole:02d}{minutes:02d}{rest / 1000.0:06.3f}"

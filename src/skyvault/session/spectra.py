"""Spectra of the session's target: found by SSA and fetched, or arrays of a TAP table; one picture of all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import FormatError, NotFound, ParameterError, SkyvaultError
from skyvault.quiet import quiet
from skyvault.science.cutouts import unpacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skyvault.session.live_view import LiveView
    from skyvault.session.session import Session

Floats = np.ndarray[Any, np.dtype[np.float64]]

#: names of columns and parts of UCDs, lower case, most telling first
_WAVES: Final = ("wavelength", "wave", "lambda", "loglam", "spectral_value", "spectral", "spec_flux_wl")
_FLUXES: Final = ("flux", "spectralflux", "flux_value", "flam", "counts")
_ERRORS: Final = ("flux_error", "flux_err", "e_flux", "fluxerr", "error", "sigma", "ivar")
_NM: Final = {
    "m": 1e9,
    "cm": 1e7,
    "mm": 1e6,
    "um": 1e3,
    "micron": 1e3,
    "nm": 1.0,
    "angstrom": 0.1,
    "0.1nm": 0.1,
    "a": 0.1,
}
_MOST_BYTES: Final = 200_000_000


@dataclass(frozen=True)
class Spectrum:
    """Wavelengths in nm (vacuum or air as the archive has them), flux in ``unit``, its errors (NaN unknown).

    All have shape (n,), sorted by wavelength. ``mjd`` NaN: unknown.
    """

    name: str
    wavelength: Floats = field(repr=False)
    flux: Floats = field(repr=False)
    error: Floats = field(repr=False)
    unit: str = ""
    mjd: float = float("nan")

    def __len__(self) -> int:
        return len(self.wavelength)

    @classmethod
    def of(
        cls, name: str, wavelength: Any, flux: Any, error: Any = None, *, nm: float = 1.0, unit: str = "",
        mjd: float = float("nan"),
    ) -> Spectrum:  # fmt: skip
        """From arrays; ``nm`` nanometres are one of the wavelengths. Raises FormatError when they do not fit."""
        waves, fluxes = (
            np.ma.filled(np.ma.asarray(one, dtype=np.float64), np.nan).reshape(-1) for one in (wavelength, flux)
        )
        errors = np.full(waves.shape, np.nan)
        if error is not None:
            errors = np.ma.filled(np.ma.asarray(error, dtype=np.float64), np.nan).reshape(-1)
        if not len(waves) == len(fluxes) == len(errors):
            raise FormatError(f"The spectrum has {len(waves)} wavelengths and {len(fluxes)} fluxes", where=name)
        good = np.isfinite(waves) & (waves > 0.0)
        order = np.argsort(waves[good], kind="stable")
        if not len(order):
            raise FormatError("The spectrum is empty", where=name)
        return cls(name, waves[good][order] * nm, fluxes[good][order], errors[good][order], unit, mjd)


@dataclass(frozen=True)
class Spectra:
    """Spectra of one place, by time where known; ``problems``: which could not be had, and why."""

    spectra: tuple[Spectrum, ...]
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.spectra)

    def __getitem__(self, index: int) -> Spectrum:
        return self.spectra[index]

    def plot(self, active: int | None = 0, **how: Any) -> Figure:
        """All of them in one picture: faint, and the ``active`` one bright, with its error bars."""
        from skyvault.session.spectra_plot import plot_overlaid

        return plot_overlaid(self.spectra, active, **how)

    def plot_linked(
        self,
        x: Any,
        y: Any,
        active: int = 0,
        *,
        kind: str = "colour-magnitude",
        labels: tuple[str, str] | None = None,
        chosen: Sequence[int] = (),
        normalised: bool = False,
    ) -> Figure:
        """A diagram of the stars beside their spectra (matplotlib): the ``active`` one bright in both.

        ``x`` and ``y``, shape (n,), are colour and magnitude, or for ``kind`` "sky" ICRS degrees; ``labels`` name them.
        Up to 40 ``chosen`` spectra are drawn in blue, all others faint.
        """
        from skyvault.session.spectra_linked import StarDiagram, plot_linked

        diagram = StarDiagram.of(kind, x, y, labels, len(self))
        return plot_linked(self.spectra, diagram, active, chosen, normalised)

    def live(
        self,
        x: Any,
        y: Any,
        active: int = 0,
        *,
        kind: str = "colour-magnitude",
        labels: tuple[str, str] | None = None,
        normalised: bool = False,
    ) -> LiveView:
        """As :meth:`plot_linked`, moving: choose stars by box, lasso or click; a click on a spectrum finds its star.

        Raises ConfigError where bokeh is not installed.
        """
        from skyvault.session.spectra_linked import StarDiagram, live_linked

        return live_linked(self.spectra, StarDiagram.of(kind, x, y, labels, len(self)), active, normalised)

    def plot_apart(self, numbers: Sequence[int] | None = None) -> Figure:
        """Each in a panel of its own, side by side on the same axis of wavelength; the first eight if not said."""
        from skyvault.session.spectra_plot import plot_apart

        chosen = range(min(8, len(self))) if numbers is None else numbers
        return plot_apart([self.spectra[number] for number in chosen])


def spectra_by_ssa(session: Session, service: str, radius: Any, most: int) -> Spectra:
    """Asks an SSA service around the target and fetches what it lists; files stay in the folder ``spectra``."""
    from skyvault.config import Settings
    from skyvault.find.by_service import observations_at
    from skyvault.find.place import Place
    from skyvault.find.registry import VOService

    query, settings = session.query(), session._settings or Settings()
    place = Place.of((query.ra_deg, query.dec_deg), radius, settings=settings)
    listed = VOService("", "SSA service", "ssa", service)
    rows, is_cut, _ = observations_at(listed, place, settings)
    if not rows.num_rows:
        raise NotFound("The service has no spectrum of the target", where=service, hint="Try a larger radius.")
    if is_cut or rows.num_rows > most:
        session._tell.warn(f"only {min(most, rows.num_rows)} of {rows.num_rows} spectra or more are taken")
    found: list[Spectrum] = []
    problems = []
    for row in rows.slice(0, most).to_pylist():
        name = str(row["obs_id"] or row["obs_publisher_did"] or "spectrum")
        try:
            path = _fetched(session, settings, str(row["access_url"] or ""))
            found.append(read_spectrum(path, name=name, mjd=_middle(row)))
        except SkyvaultError as problem:
            problems.append(f"{name}: {problem}")
    for text in problems:
        session._tell.warn(f"a spectrum is left out: {text}")
    if not found:
        raise NotFound(f"None of {rows.num_rows} spectra could be read", hint=problems[0] if problems else None)
    return Spectra(tuple(sorted(found, key=lambda one: (not np.isfinite(one.mjd), one.mjd))), tuple(problems))


def spectra_of_table(
    table: Any, *, wavelength: Any, flux: str, error: str | None, name: str | None, nm: float
) -> Spectra:
    """Rows that hold whole spectra in array cells; ``wavelength`` is a column, or one grid (array) for all rows."""
    columns = getattr(table, "colnames", None) or list(getattr(table, "column_names", ()))
    for one in (flux, error, name, wavelength if isinstance(wavelength, str) else None):
        if one is not None and one not in columns:
            raise ParameterError(f"the table has no column {one!r}", hint=f"There are: {', '.join(columns)}.")
    found, problems = [], []
    for row in range(len(table)):
        label = str(table[name][row]) if name else str(row)
        waves = table[wavelength][row] if isinstance(wavelength, str) else wavelength
        cells = [waves, table[flux][row], table[error][row] if error else None]
        arrays = [one.as_py() if hasattr(one, "as_py") else one for one in cells]
        try:
            if arrays[0] is None or arrays[1] is None:
                raise FormatError("The spectrum is empty", where=label)
            found.append(Spectrum.of(label, *arrays, nm=nm, unit=str(getattr(table[flux], "unit", None) or "")))
        except (FormatError, TypeError, ValueError) as problem:
            problems.append(f"{label}: {problem}")
    return Spectra(tuple(found), tuple(problems))


def _middle(row: dict[str, Any]) -> float:
    ends = [value for value in (row.get("t_min"), row.get("t_max")) if value is not None]
    return float(np.mean(ends)) if ends else float("nan")


def _fetched(session: Session, settings: Any, url: str) -> Path:
    from skyvault.missions.connections import default_archives
    from skyvault.net.download import Downloader
    from skyvault.net.remote_file import Order, RemoteFile

    if not url.startswith(("http://", "https://")):
        raise FormatError(f"{url[:80]!r} is no address of a spectrum")
    remote = RemoteFile(url=url)
    key = hashlib.sha256(remote.identity.encode()).hexdigest()[:24]
    path = session.path("spectra", key)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        Downloader(default_archives(settings).client).fetch(Order(remote, path))
    return path


def read_spectrum(path: Path, *, name: str = "", mjd: float = float("nan")) -> Spectrum:
    """A spectrum in a VOTable or a FITS table: columns are known by name or UCD. Raises FormatError."""
    if path.stat().st_size > _MOST_BYTES:
        raise FormatError("The file is too large for a spectrum", where=name or path.name)
    name = name or path.stem
    raw = unpacked(path.read_bytes(), name, _MOST_BYTES)
    if raw.startswith(b"SIMPLE"):
        return _from_fits(raw, name, mjd)
    if not raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise FormatError("The spectrum is neither FITS nor VOTable", where=name)
    return _from_votable(raw, name, mjd)


def _from_votable(raw: bytes, name: str, mjd: float) -> Spectrum:
    from skyvault.find.results import read_document

    skeleton, rows = read_document(io.BytesIO(raw), f"file:///{name}")
    fields = [field for table in skeleton.iter_tables() for field in table.fields][: rows.num_columns]
    described = [(str(one.name), str(one.ucd or ""), str(one.unit or "")) for one in fields]
    columns = {column: rows[number] for number, (column, _, _) in enumerate(described)}

    def values(column: str) -> Any:
        taken = columns[column].to_pylist()
        return np.array([np.nan if value is None else value for value in taken], np.float64)

    return _spectrum(described, values, name, mjd)


def _from_fits(raw: bytes, name: str, mjd: float) -> Spectrum:
    from astropy.io import fits

    try:
        with quiet(), fits.open(io.BytesIO(raw), memmap=False) as file:
            for hdu in file:
                if not isinstance(hdu, fits.BinTableHDU) or hdu.data is None or not len(hdu.columns):
                    continue
                described = [(column.name, "", str(column.unit or "")) for column in hdu.columns]
                if _pick(described, _WAVES, "em.wl") and _pick(described, _FLUXES, "phot.flux"):
                    return _spectrum(described, partial(_fits_column, hdu.data), name, mjd)
    except SkyvaultError:
        raise
    except Exception as problem:
        # damaged files fail in many ways
        raise FormatError(f"This cannot be read as FITS ({type(problem).__name__})", where=name) from None
    raise FormatError("The file has no table with wavelengths and fluxes", where=name)


def _fits_column(data: Any, column: str) -> Any:
    return np.array(data[column], np.float64)


def _pick(described: Sequence[tuple[str, str, str]], names: Sequence[str], ucd: str) -> tuple[str, str] | None:
    lower = {column.lower(): (column, unit) for column, _, unit in described}
    for one in names:
        if one in lower:
            return lower[one]
    return next(((column, unit) for column, kind, unit in described if ucd and ucd in kind.lower()), None)


def _spectrum(described: Sequence[tuple[str, str, str]], values: Any, name: str, mjd: float) -> Spectrum:
    wave, flux = _pick(described, _WAVES, "em.wl"), _pick(described, _FLUXES, "phot.flux")
    if wave is None or flux is None:
        listed = ", ".join(column for column, _, _ in described[:12])
        raise FormatError("The table has no wavelengths and fluxes", where=name, hint=f"Its columns: {listed}.")
    error = _pick(described, _ERRORS, "stat.error;phot.flux")
    try:
        waves = values(wave[0])
        errors = None if error is None else values(error[0])
        if wave[0].lower() == "loglam":
            # SDSS writes the decimal logarithm of Angstrom
            waves, wave = 10.0**waves, (wave[0], "Angstrom")
        if error is not None and errors is not None and error[0].lower() == "ivar":
            with np.errstate(divide="ignore", invalid="ignore"):
                errors = np.where(errors > 0.0, 1.0 / np.sqrt(errors), np.nan)
        nm = _NM.get(wave[1].strip().lower())
        if nm is None:
            # without a unit: optical wavelengths are thousands in Angstrom, hundreds in nm
            nm = 0.1 if np.nanmedian(waves) > 2000.0 else 1.0 if np.nanmedian(waves) > 50.0 else 1e3
        return Spectrum.of(name, waves, values(flux[0]), errors, nm=nm, unit=flux[1], mjd=mjd)
    except (TypeError, ValueError) as problem:
        raise FormatError(f"The spectrum's columns hold no numbers ({str(problem)[:80]})", where=name) from None

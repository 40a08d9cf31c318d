"""Spectra of the session's target: found by SSA and fetched, or arrays of a TAP table; one picture of all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import FormatError, NotFound, ParameterError, SkyvaultError
from skyvault.science.spectrum_files import spectra_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skyvault.session.live_view import LiveView
    from skyvault.session.session import Session

Floats = np.ndarray[Any, np.dtype[np.float64]]

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
    """The first spectrum of a file in whatever form: FITS, VOTable or a text table. Raises FormatError."""
    if path.stat().st_size > _MOST_BYTES:
        raise FormatError("The file is too large for a spectrum", where=name or path.name)
    name = name or path.stem
    found = spectra_in(path.read_bytes(), name)[0]
    return Spectrum.of(name, found.wavelengths("nm"), found.flux, found.error, unit=found.flux_unit or "", mjd=mjd)

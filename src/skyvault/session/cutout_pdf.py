"""A PDF with a page for each exposure of the target: its image, the catalogue's stars moved to its epoch, its data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import NotFound, ParameterError, SkyvaultError, UsageError
from skyvault.science.cutouts import read_cutout
from skyvault.session.cells import values_and_mask
from skyvault.session.files import written_beside
from skyvault.session.plate_times import old_utc_is_fine

if TYPE_CHECKING:
    from skyvault.session.exposures import ExposureRow, Exposures
    from skyvault.session.session import Session

#: US letter, inches
_PAGE: Final = (8.5, 11.0)
#: cutout pixels that become one
_BLOCK: Final = 4
#: darkest and brightest percent of the pixels that are clipped
_CLIP: Final = (2.0, 99.0)
_CIRCLE_ARCSEC: Final = 60.0
_PLATE_PAGE: Final = "https://starglass.cfa.harvard.edu/plate/"


def write_cutouts(
    exposures: Exposures, path: str | Path, *, refcat_stdmag_limit: float | None = None, no_download: bool = False
) -> Path:
    """See :meth:`skyvault.session.exposures.Exposures.export_cutouts_to_pdf`."""
    from matplotlib.backends.backend_pdf import PdfPages

    target = Path(path)
    if target.suffix.lower() != ".pdf":
        raise ParameterError(f"pages are a PDF file, and {target.name} does not end in .pdf")
    session = exposures._session()
    rows = np.flatnonzero(exposures.match.has_imaging() & ~exposures.is_rejected())
    if not rows.size:
        raise UsageError("No accepted exposure has an image", hint="See sess.exposures().count.has_imaging().")
    stars = _Stars(session, refcat_stdmag_limit)
    pages = 0
    with written_beside(target) as beside:
        # the date a file was made is no science: the same data make the same bytes
        with PdfPages(beside, metadata={"CreationDate": None, "Producer": None}) as document:
            for index in rows.tolist():
                row = exposures[index]
                shown = session.cutout(row, no_download)
                if shown is None:
                    continue
                try:
                    figure = _page(session, row, session.path(shown), stars)
                except SkyvaultError as problem:
                    session._tell.warn(f"a page is left out: {problem}")
                    continue
                document.savefig(figure)
                pages += 1
        if not pages:
            raise NotFound("None of these exposures has a cutout that can be had and read")
    session._tell.say(f"- Wrote {pages} pages, {target.stat().st_size / 2**20:.1f} MiB, to {target}")
    return target


class _Stars:
    """The session's catalogue: places at J2000, proper motions (degrees a year), standard magnitudes."""

    def __init__(self, session: Session, limit: float | None) -> None:
        table = session.refcat() if session.refcat_name() else None
        empty = np.zeros(0)
        self.ra = self.dec = self.pm_ra = self.pm_dec = empty
        if table is None or not len(table):
            return
        magnitude, unknown = values_and_mask(table["stdmag"])
        kept = np.ones(len(table), np.bool_) if limit is None else ~unknown & (magnitude <= float(limit))
        place = table["pos"][kept]
        self.ra, self.dec = (np.asarray(one.deg, np.float64) for one in (place.ra, place.dec))
        moves = [np.zeros(len(self.ra))] * 2
        if "s" in place.data.differentials:
            moves = [
                np.nan_to_num(np.asarray(one.to_value("deg/yr"), np.float64))
                for one in (place.pm_ra_cosdec, place.pm_dec)
            ]
        self.pm_ra, self.pm_dec = moves

    def at(self, year: float) -> tuple[Any, Any]:
        """Places at an epoch (Julian year), ICRS degrees."""
        years = year - 2000.0 if np.isfinite(year) else 0.0
        return self.ra + self.pm_ra * years / np.cos(np.radians(self.dec)), self.dec + self.pm_dec * years


def _page(session: Session, row: ExposureRow, path: Path, stars: _Stars) -> Any:
    from matplotlib.figure import Figure

    cutout = read_cutout(path)
    pixels = np.asarray(cutout.pixels, np.float64)
    height, width = (size // _BLOCK * _BLOCK for size in pixels.shape)
    blocks = pixels[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    grey = blocks.mean(axis=(1, 3))
    known = np.isfinite(grey)
    low, high = np.percentile(grey[known], _CLIP) if known.any() else (0.0, 1.0)
    shade = (1.0 - np.clip((grey - low) / max(high - low, 1e-9), 0.0, 1.0)) ** (1.0 / 2.2)

    figure = Figure(_PAGE)
    axes = figure.add_axes((0.06, 0.29, 0.88, 0.68))
    axes.imshow(
        np.where(known, shade, 1.0), cmap="gray", vmin=0.0, vmax=1.0, origin="lower",
        extent=(-0.5, width - 0.5, -0.5, height - 0.5), interpolation="nearest",
    )  # fmt: skip
    axes.set_axis_off()
    year = float(row.table.years()[row.index])
    ra, dec = stars.at(year)
    if len(ra):
        x, y = cutout.wcs.all_world2pix(ra, dec, 0)
        inside = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
        axes.plot(x[inside], y[inside], "+", color="#1a8f3c", markersize=7, markeredgewidth=0.7)
    query = session.query()
    x0, y0 = (float(one) for one in cutout.wcs.all_world2pix(query.ra_deg, query.dec_deg, 0))
    angle = np.linspace(0.0, 2 * np.pi, 90)
    radius = _CIRCLE_ARCSEC / 3600.0 / np.sqrt(abs(np.linalg.det(cutout.wcs.pixel_scale_matrix)))
    axes.plot(x0 + radius * np.cos(angle), y0 + radius * np.sin(angle), color="#1f5fbf", linewidth=0.9)
    for number, (line, weight) in enumerate(_lines(row, year, query)):
        figure.text(0.06, 0.25 - 0.024 * number, line, fontsize=9, fontweight=weight, family="DejaVu Sans")
    return figure


def _lines(row: ExposureRow, year: float, query: Any) -> list[tuple[str, str]]:
    def number(name: str, form: str) -> str:
        values, mask = values_and_mask(row.table[name])
        return "unknown" if mask[row.index] or not np.isfinite(values[row.index]) else format(values[row.index], form)

    date = row["obs_date"]
    with old_utc_is_fine():
        when = "unknown" if bool(np.any(date.mask)) else f"{date.utc.isot} UTC (JD {float(date.utc.jd):.5f})"
    classes, unclassed = values_and_mask(row.table["class"])
    kind = "unknown" if unclassed[row.index] else str(classes[row.index]) or "unknown"
    epoch = f"{year:.3f}" if np.isfinite(year) else "unknown"
    return [
        (f"Plate {row.plate_id()}, exposure {int(row['local_id'])} of the session, epoch {epoch}", "bold"),
        (f"{row.exp_id()}, class {kind}, {number('exptime', '.1f')} min", "normal"),
        (f"Middle of the image: {query.sexagesimal()} ICRS; north is up, east left; circle of 1 arcmin", "normal"),
        (f"Middle of the exposure: {when}", "normal"),
        (
            f"Target to the plate's centre {number('center_distance', '.1f')} cm, "
            f"to its edge {number('edge_distance', '.1f')} cm",
            "normal",
        ),
        (f"{_PLATE_PAGE}{row.plate_id()}", "normal"),
    ]

"""Pictures of a session's target on many plates: contact sheets and blink animations from its cutouts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import NotFound, ParameterError, SkyvaultError, UsageError
from skyvault.science.cutouts import Cutout, read_cutout, spread_in_time
from skyvault.session.files import written_beside

if TYPE_CHECKING:
    from skyvault.science.epoch_frames import EpochFrames
    from skyvault.session.session import Session

#: cutouts are 20 arcmin wide
_MOST_RADIUS_ARCMIN: Final = 10.0


def chosen_exposures(session: Session, exposures: Any, count: int) -> list[int]:
    """Local IDs of the exposures to show, by time.

    None: of those that have images and are not rejected, ``count`` spread over the whole time; a table: of its rows;
    a list of rows or local IDs: all of them.
    """
    if exposures is not None and not hasattr(exposures, "julian_dates"):
        if isinstance(exposures, str | bytes) or not isinstance(exposures, Iterable):
            raise ParameterError("exposures are a table of them, or a list of its rows or local IDs")
        return [int(session._exposure(one)["local_id"]) for one in exposures]
    table = session.exposures() if exposures is None else exposures
    usable = table.match.has_imaging() & ~table.is_rejected()
    rows = np.flatnonzero(usable)
    if not rows.size:
        raise UsageError("No accepted exposure has an image", hint="See sess.exposures().count.has_imaging().")
    chosen = rows[spread_in_time(table.julian_dates()[rows], count)]
    return [int(value) for value in np.asarray(table["local_id"])[chosen]]


def cutouts_of(session: Session, local_ids: Iterable[int], radius_arcmin: float) -> list[Cutout]:
    """The cutouts, fetched unless they are here; those that cannot be had are told on standard error and left out.

    Raises NotFound when there is none at all.
    """
    if not 0.0 < radius_arcmin <= _MOST_RADIUS_ARCMIN:
        raise ParameterError(
            f"a radius of {radius_arcmin:g} arcmin is not possible: cutouts reach {_MOST_RADIUS_ARCMIN:g} arcmin"
        )
    query = session.query()
    dates = session.exposures().julian_dates()
    found = []
    for local_id in local_ids:
        shown = session.cutout(local_id)
        if shown is None:
            continue
        path = session.path(shown)
        try:
            cutout = read_cutout(
                path,
                target=(query.ra_deg, query.dec_deg),
                radius_arcmin=radius_arcmin,
                name=path.stem.partition("_")[2],
                mjd=float(dates[local_id]) - 2_400_000.5,
            )
        except SkyvaultError as problem:
            session._tell.warn(f"a cutout is left out: {problem}")
            continue
        found.append(cutout)
    if not found:
        raise NotFound("None of these exposures has a cutout that can be shown")
    return found


def frames_of(
    session: Session,
    exposures: Any,
    *,
    count: int,
    radius_arcmin: float,
    stretch: Any,
    pixel_arcsec: float | None,
) -> EpochFrames:
    """Frames for a sheet or an animation, by time."""
    from skyvault.science.epoch_frames import epoch_frames

    query = session.query()
    cutouts = cutouts_of(session, chosen_exposures(session, exposures, count), radius_arcmin)
    return epoch_frames(
        cutouts,
        (query.ra_deg, query.dec_deg),
        radius_arcmin=radius_arcmin,
        stretch=stretch,
        pixel_arcsec=pixel_arcsec,
    )


def write_pages(frames: EpochFrames, path: str | Path, *, per_page: int, title: str) -> Path:
    """Puts a PDF of all frames at ``path``, whole or not at all."""
    from skyvault.science import contact_sheet

    target = Path(path)
    if target.suffix.lower() != ".pdf":
        raise ParameterError(f"pages are a PDF file, and {target.name} does not end in .pdf")
    with written_beside(target, is_precious=False) as beside:
        contact_sheet.write_pages(frames, beside, per_page=per_page, title=title)
    return target


def write_animation(film: bytes, path: str | Path) -> Path:
    """Puts an animation at ``path``, whole or not at all."""
    target = Path(path)
    if target.suffix.lower() != ".gif":
        raise ParameterError(f"an animation is a GIF file, and {target.name} does not end in .gif")
    with written_beside(target, is_precious=False) as beside:
        beside.write_bytes(film)
    return target

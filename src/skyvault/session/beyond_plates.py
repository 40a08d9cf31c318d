"""What a session does beyond tables of plates: pictures, other missions, images, spectra, moving targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skyvault.session.other_missions import SideBySide
    from skyvault.session.session import Session


class BeyondPlates:
    """Methods of :class:`~skyvault.session.session.Session`."""

    def contact_sheet(
        self,
        exposures: Any = None,
        *,
        count: int = 25,
        radius_arcmin: float = 2.0,
        columns: int | None = None,
        title: str = "",
        stretch: Any = None,
        pixel_arcsec: float | None = None,
    ) -> Figure:
        """The target on many plates side by side, oldest first: marked, dated, all in equal grey (matplotlib).

        ``exposures``: a table of them, or a list of rows or local IDs; None: ``count`` accepted ones that have images,
        spread over the whole time. Cutouts are fetched unless they are here; those that cannot be had are told and left
        out. ``stretch`` is a :class:`~skyvault.science.stretch.Stretch`.
        """
        from skyvault.science.contact_sheet import contact_sheet
        from skyvault.session.pictures import frames_of

        session = cast("Session", self)
        frames = frames_of(
            session, exposures, count=count, radius_arcmin=radius_arcmin, stretch=stretch, pixel_arcsec=pixel_arcsec
        )
        query = session.query()
        return cast("Figure", contact_sheet(frames, columns=columns, title=title or query.name or query.sexagesimal()))

    def blink(
        self,
        path: str | Path,
        exposures: Any = None,
        *,
        count: int = 25,
        radius_arcmin: float = 2.0,
        milliseconds: int = 400,
        stretch: Any = None,
        pixel_arcsec: float | None = None,
    ) -> Path:
        """Writes an animation (GIF) of the target's plates, one after the other; returns its path.

        Exposures are chosen as for :meth:`contact_sheet`; plates that end before the target are left out.
        """
        from skyvault.science.blink import blink
        from skyvault.session.pictures import frames_of, write_animation

        frames = frames_of(
            cast("Session", self),
            exposures,
            count=count,
            radius_arcmin=radius_arcmin,
            stretch=stretch,
            pixel_arcsec=pixel_arcsec,
        )
        return write_animation(blink(frames, milliseconds=milliseconds), path)

    def missions(self, *names: str, refresh: bool = False) -> SideBySide:
        """The target's light curves by other missions ("dasch", "ztf", "tess"; all three if none is named).

        Times are TDB at the barycentre (the middle of exposures) where scale and place are known, and said to be
        unknown where not; each mission keeps its own flags and zero points. What came stays in the folder. A mission
        that has nothing, or does not answer, is in ``problems`` and told on standard error.
        """
        from skyvault.session.other_missions import side_by_side

        return side_by_side(cast("Session", self), names, refresh=refresh)

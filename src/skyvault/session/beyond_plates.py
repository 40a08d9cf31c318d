"""What a session does beyond tables of plates: pictures, other missions, images, spectra, moving targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

    from skyvault.session.found_images import FoundImages
    from skyvault.session.live_view import LiveView
    from skyvault.session.mission_curve import MissionCurve
    from skyvault.session.other_missions import SideBySide
    from skyvault.session.session import Session
    from skyvault.session.spectra import Spectra


class BeyondPlates:
    """Methods of :class:`~skyvault.session.session.Session`."""

    #: the chart of stars that was made last
    _chart: LiveView | None = None

    def listen_to(self, chart: LiveView) -> None:
        """From now on the star clicked in this chart is the one that "click" means."""
        self._chart = chart

    def clicked_source(self) -> int:
        """The local ID of the star clicked last: in a chart, or else in the WorldWide Telescope.

        Raises UsageError where none was.
        """
        if self._chart is not None and self._chart.clicked_row is not None:
            return self._chart.clicked_row
        session = cast("Session", self)
        if session._wwt is None and self._chart is not None:
            self._chart.clicked()
        return session.wwt_layers().clicked_source()

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

    def cutout_pages(
        self,
        path: str | Path,
        exposures: Any = None,
        *,
        count: int = 100,
        per_page: int = 20,
        radius_arcmin: float = 2.0,
        title: str = "",
        stretch: Any = None,
        pixel_arcsec: float | None = None,
    ) -> Path:
        """Writes a PDF of the target on many plates, ``per_page`` on each page, as :meth:`contact_sheet` draws them.

        Exposures are chosen as there; returns the path.
        """
        from skyvault.session.pictures import frames_of, write_pages

        session = cast("Session", self)
        frames = frames_of(
            session, exposures, count=count, radius_arcmin=radius_arcmin, stretch=stretch, pixel_arcsec=pixel_arcsec
        )
        query = session.query()
        return write_pages(frames, path, per_page=per_page, title=title or query.name or query.sexagesimal())

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

    def aladin(self, *, survey: str = "CDS/P/DSS2/color", fov_deg: float = 0.5, exposures: Iterable[Any] = ()) -> Any:
        """Aladin in a notebook, at the target: the catalogue's sources and the cutouts of ``exposures`` over a survey.

        Returns ipyaladin's widget; end a cell with it to see it. Raises UsageError where ipyaladin is not installed.
        """
        from skyvault.session.aladin import aladin_of

        return aladin_of(cast("Session", self), survey, fov_deg, exposures)

    def send(self, what: Any, *, to: str | None = None, name: str | None = None, hub: Any = None) -> tuple[str, ...]:
        """Shows something in the programs that run beside, or in the one named ``to`` (SAMP); their names.

        ``what``: a table (light curve, exposures, catalogue: accepted rows, times as Julian dates), an exposure (its
        cutout), or the path of an image in the session's folder. Raises NoViewer where nobody listens.
        """
        from skyvault.session.samp_send import send

        return send(cast("Session", self), what, to, name, hub)

    def missions(self, *names: str, refresh: bool = False) -> SideBySide:
        """The target's light curves by other missions ("dasch", "ztf", "tess"; all three if none is named).

        Times are TDB at the barycentre (the middle of exposures) where scale and place are known, and said to be
        unknown where not; each mission keeps its own flags and zero points. What came stays in the folder. A mission
        that has nothing, or does not answer, is in ``problems`` and told on standard error.
        """
        from skyvault.session.other_missions import side_by_side
        from skyvault.session.steps import steps_of

        session = cast("Session", self)
        found = side_by_side(session, names, refresh=refresh)
        steps_of(session).remember("missions", names=list(names))
        return found

    def curve_of(self, source: Any, **columns: Any) -> MissionCurve:
        """A light curve of your own beside the missions': ``sess.missions("ztf").plus(sess.curve_of("kepler.fits"))``.

        ``source`` is a file of TESS, Kepler or K2; Rubin's forced photometry as its TAP gives it (psfFlux, psfFluxErr,
        band, midpointMjdTai); or any other table with ``columns`` as for
        :func:`skyvault.session.curve_sources.curve_of_table` (mission, time, value, scale, reference ...).
        Raises FormatError, ParameterError.
        """
        from skyvault.session.curve_sources import curve_of_file, curve_of_table, rubin_curve

        if isinstance(source, str | Path):
            return curve_of_file(source, **columns)
        query = cast("Session", self).query()
        if not {"time", "value"} & columns.keys():
            return rubin_curve(source, query.ra_deg, query.dec_deg, **columns)
        return curve_of_table(source, **({"ra_deg": query.ra_deg, "dec_deg": query.dec_deg} | columns))

    def images(
        self,
        service: Any = "tap",
        *,
        collections: str | Sequence[str] = (),
        where: str | None = None,
        token: Any = None,
        most: int = 1000,
    ) -> FoundImages:
        """Images of the target that an ObsTAP service lists: its name or address ("tap": Rubin's), or a TAP service.

        ``collections`` narrows by obs_collection, ``where`` by a condition in ADQL ("lsst_band = 'i'"). The rows keep
        all columns; ``really_show`` asks the images' own headers, ``fetch`` and ``show`` bring them. Raises what a TAP
        query raises.
        """
        from skyvault.session.found_images import found_images
        from skyvault.session.steps import address_of, steps_of

        names = (collections,) if isinstance(collections, str) else tuple(collections)
        session = cast("Session", self)
        found = found_images(session, service, collections=names, where=where, token=token, most=most)
        asked = {
            "service": address_of(service),
            "collections": list(names),
            "where": where,
            "most": most,
            "with_token": token is not None,
        }
        steps_of(session).remember("images", **asked)
        found.asked.update(asked)
        return found

    def spectra(self, service: str, radius: Any = None, *, most: int = 500) -> Spectra:
        """Spectra of the target by an SSA service (its address), fetched into the folder ``spectra``.

        ``radius`` is degrees or a Quantity around the target. Those that cannot be read are told and left out.
        Raises NotFound where there is none.
        """
        from skyvault.session.spectra import spectra_by_ssa
        from skyvault.session.steps import address_of, steps_of

        session = cast("Session", self)
        found = spectra_by_ssa(session, service, radius, most)
        degrees = radius.to_value("deg") if hasattr(radius, "to_value") else radius
        steps_of(session).remember("spectra", service=address_of(service), radius=degrees, most=most)
        return found

    def spectra_of(
        self,
        table: Any,
        *,
        flux: str = "flux",
        wavelength: Any = "wavelength",
        error: str | None = None,
        name: str | None = None,
        nm: float = 1.0,
    ) -> Spectra:
        """Spectra in the array cells of a table, as TAP gives them: a row each.

        ``wavelength`` is a column of arrays, or one array for all rows; one of its units is ``nm`` nanometres.
        """
        from skyvault.session.spectra import spectra_of_table

        return spectra_of_table(table, wavelength=wavelength, flux=flux, error=error, name=name, nm=nm)

    def match_ephemeris(
        self,
        ephemeris: Any,
        service: Any = None,
        *,
        table: str = "ivoa.ObsCore",
        collection: str | None = None,
        exposures: Any = None,
        begin: Any = None,
        days: int = 90,
        step_days: float = 1.0,
        observer: str = "500",
    ) -> Table:
        """Exposures that should show a moving object, best first: deep enough, then the smallest field.

        ``ephemeris``: a table (times, positions as degrees or sexagesimal text, magnitudes), an Ephemeris, or a
        designation ("p/encke"), which is asked of Miriade from ``begin`` on. It is matched with a TAP ``service``
        (name, address or service) by uploading it to ``table``, with a table of ``exposures`` (t_min, t_max, s_region),
        or else with this session's plates: by their true outlines where they are solved (asked of the archive once,
        column ``outline`` "plate"), else by circles around them. Columns object_mjd, object_ra, object_dec, object_mag,
        depth_margin (mag), motion (arcsec), from_centre, area (deg2) are added.
        """
        from skyvault.session.moving import match_moving
        from skyvault.session.steps import address_of, steps_of

        session = cast("Session", self)
        found = match_moving(
            session,
            ephemeris,
            service,
            table=table,
            collection=collection,
            exposures=exposures,
            settings_of_ephemeris={"begin": begin, "days": days, "step_days": step_days, "observer": observer},
        )
        steps_of(session).remember(
            "match_ephemeris",
            ephemeris=ephemeris if isinstance(ephemeris, str) else None,
            service=None if service is None else address_of(service),
            table=table,
            collection=collection,
            has_exposures=exposures is not None,
            begin=begin.utc.isot if hasattr(begin, "utc") else begin,
            days=days,
            step_days=step_days,
            observer=observer,
        )
        return found

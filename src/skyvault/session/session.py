"""A session: one target, and everything a plate archive holds about it, kept in a folder and fetched once.

Steps build on each other: the target, the reference catalogue around it, the exposures that show it, then light curves,
cutouts, plate extracts and whole plates. Each is on disk when it is done, and read from there the next time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from skyvault.errors import Conflict, ParameterError, SkyvaultError, StoreError, UsageError
from skyvault.session import archive_tables
from skyvault.session.archive import DatedArchive
from skyvault.session.beyond_plates import BeyondPlates
from skyvault.session.columns import REFCAT_RADIUS_ARCSEC, REFCATS
from skyvault.session.cutout import find_cutout, write_cutout
from skyvault.session.exposures import ExposureRow, Exposures
from skyvault.session.extract import Extract
from skyvault.session.lightcurve import Lightcurve
from skyvault.session.merging import merge
from skyvault.session.notebook import show_figures_inline
from skyvault.session.open_sessions import OPEN, SESSION_KEY, remember
from skyvault.session.plate_times import accept_old_utc
from skyvault.session.query import SAME_PLACE_ARCSEC, NameResolver, SessionQuery, folder_name
from skyvault.session.refcat import RefcatSourceRow, RefcatSources
from skyvault.session.rejections import RejectionFile
from skyvault.session.source_file import file_stem
from skyvault.session.table_files import read_table, write_table
from skyvault.session.telling import Stopwatch, Teller, show_errors_plainly

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.time import Time

    from skyvault.config import Settings
    from skyvault.session.archive import PlateArchive
    from skyvault.session.wwt import WwtLayers

SourceRef = RefcatSourceRow | int | Literal["click"]
ExposureRef = ExposureRow | int

_REFCAT_KEY: Final = "skyvault_refcat"
_LIMITS_KEY: Final = "skyvault_midpoint_jd"
#: what a session puts into its folder; nothing else in there is ever deleted
_OWN_FILES: Final = ("query.json", "refcat.ecsv", "exposures.ecsv")
_OWN_FOLDERS: Final = (
    "lightcurves", "cutouts", "extracts", "base_mosaics", "mosaics", "missions", "images", "spectra", ".skyvault",
)  # fmt: skip


def open_session(
    root: str | Path = ".",
    source: str = "",
    interactive: bool = True,
    *,
    archive: PlateArchive | None = None,
    resolver: NameResolver | None = None,
    settings: Settings | None = None,
) -> Session:
    """Opens the session in a folder, or begins one there; existing daschlab folders open as they are.

    ``source``: a name that makes the folder's, ``daschlab_<name>`` in the current one, instead of ``root``.
    ``interactive``: say what happens, and show errors in notebooks as one line. ``archive`` is asked for what is not
    on disk (DASCH if None), ``resolver`` for places of names (Sesame if None). The same folder opened twice in a
    process gives the same session. Raises StoreError where the folder cannot be used.
    """
    folder = Path(f"daschlab_{folder_name(source)}") if source else Path(root)
    known = OPEN.get(str(folder.expanduser().absolute().resolve()))
    if known is not None and known.is_as(archive, resolver, settings):
        return known
    accept_old_utc()
    show_figures_inline()
    if interactive:
        show_errors_plainly()
    return Session(str(folder), interactive, archive=archive, resolver=resolver, settings=settings)


class Session(BeyondPlates):
    """Everything about one target. Made by :func:`open_session`.

    ``root`` is its folder. Methods that need an earlier step say which one; all raise SkyvaultError with a sentence.
    """

    def __init__(
        self,
        root: str,
        interactive: bool = True,
        *,
        archive: PlateArchive | None = None,
        resolver: NameResolver | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.root = Path(root).expanduser().absolute().resolve()
        self._tell = Teller(may_speak=interactive)
        self._settings = settings
        self._given = (archive, resolver)
        self._archive = archive
        self._resolver = resolver
        self._refcat: RefcatSources | None = None
        self._exposures: Exposures | None = None
        self._lightcurves: dict[str, Lightcurve] = {}
        self._extracts: dict[str, Extract] = {}
        self._wwt: WwtLayers | None = None
        existed = self.root.is_dir()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise StoreError(
                f"The session's folder cannot be made ({problem.strerror})", where=str(self.root)
            ) from None
        self._query = SessionQuery.load(self.path("query.json"))
        remember(self)
        self._greet("Opened" if existed else "Created")

    def __repr__(self) -> str:
        about = "no target yet" if self._query is None else self._query.name or self._query.sexagesimal()
        return f"<Session {str(self.root)!r}: {about}>"

    def is_as(self, archive: Any, resolver: Any, settings: Any) -> bool:
        """Whether this session was made with these; None stands for any."""
        mine = (*self._given, self._settings)
        return all(
            asked is None or asked is made for asked, made in zip((archive, resolver, settings), mine, strict=True)
        )

    def _greet(self, how: str) -> None:
        self._tell.say(f"- {how} session at {self.root}")
        if self._query is None:
            self._tell.say('- No target: call `sess.select_target("NAME")`')
            return
        self._tell.say(f"- Target: {self._query.name or self._query.sexagesimal()}")
        if not self.path("refcat.ecsv").exists():
            self._tell.say('- No reference catalogue: call `sess.select_refcat("apass")`')
        if self.path("exposures.ecsv").exists():
            self._tell.say("- Exposures are here")

    # --- the folder ---

    def path(self, *pieces: str) -> Path:
        """A path in the session's folder."""
        return self.root.joinpath(*pieces)

    def delete_data(self) -> None:
        """Deletes what the session has put into its folder, on disk and in memory; other files there stay.

        Raises StoreError where something cannot be deleted.
        """
        self._tell.say(f"- Deleting the session's data in {self.root}")
        try:
            for name in _OWN_FILES:
                self.path(name).unlink(missing_ok=True)
            for name in _OWN_FOLDERS:
                if self.path(name).is_dir():
                    shutil.rmtree(self.path(name))
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise StoreError(f"The data cannot be deleted ({problem.strerror})", where=str(problem.filename)) from None
        finally:
            self._query = self._refcat = self._exposures = None
            self._lightcurves, self._extracts = {}, {}
            if self._wwt is not None:
                self._wwt.forget()
        if left := sorted(path.name for path in self.root.iterdir()):
            self._tell.say(f"- Left as they are: {', '.join(left[:5])}{' ...' if len(left) > 5 else ''}")

    def _copies(self, *pieces: str) -> Path:
        return self.path(".skyvault", "tables", *pieces)

    def _rejection_file(self, *pieces: str) -> RejectionFile:
        return RejectionFile(self.path(".skyvault", "rejections", *pieces))

    @property
    def archive(self) -> PlateArchive:
        """Whom the session asks for what is not on disk."""
        if self._archive is None:
            from skyvault.session.dasch_archive import DaschArchive

            self._archive = DaschArchive(self._settings)
        return self._archive

    # --- the target ---

    def select_target(
        self,
        name: str | None = None,
        ra_deg: float | None = None,
        dec_deg: float | None = None,
        coords: SkyCoord | None = None,
    ) -> Session:
        """Sets the target, once: by a name, by ICRS degrees, or by a position in any frame. Returns the session.

        A session that has a target is only checked: Conflict where it is another one (more than 0.1 arcsec away).
        Raises ParameterError unless exactly one way is used.
        """
        ways = [name is not None, ra_deg is not None or dec_deg is not None, coords is not None]
        if sum(ways) != 1 or (ways[1] and (ra_deg is None or dec_deg is None)):
            raise ParameterError(
                "The target is given by a name, by ra_deg and dec_deg, or by coords, in exactly one of these ways"
            )
        if name is not None:
            return self._select_name(name)
        if coords is not None:
            wanted = SessionQuery.new_from_coords(coords)
        else:
            assert ra_deg is not None and dec_deg is not None
            wanted = SessionQuery.new_from_radec(ra_deg, dec_deg)
        if self._query is None:
            self._set_target(wanted)
        elif wanted.separation_arcsec(self._query) > SAME_PLACE_ARCSEC:
            raise self._other_target(f"RA {wanted.ra_deg:.6f}, Dec {wanted.dec_deg:.6f}")
        return self

    def _select_name(self, name: str) -> Session:
        if self._query is not None and self._query.is_named(name):
            return self
        if self._query is not None and self._query.name:
            raise self._other_target(repr(name))
        resolver = self._resolver
        if resolver is None:
            from skyvault.missions.sesame import Sesame

            resolver = Sesame(self._settings)
        self._tell.say("- Querying the name resolver ...")
        wanted = SessionQuery.new_from_name(name, resolver)
        if self._query is None:
            self._set_target(wanted)
        elif wanted.separation_arcsec(self._query) > SAME_PLACE_ARCSEC:
            raise self._other_target(repr(name))
        return self

    def _set_target(self, query: SessionQuery) -> None:
        query.save(self.path("query.json"))
        self._query = query
        self._tell.say(f"- Saved the target: {query.sexagesimal()}")

    def _other_target(self, wanted: str) -> Conflict:
        assert self._query is not None
        mine = repr(self._query.name) if self._query.name else ""
        place = f"RA {self._query.ra_deg:.6f}, Dec {self._query.dec_deg:.6f}"
        return Conflict(
            f"This session's target is {f'{mine} ({place})' if mine else place}, not {wanted}",
            where=str(self.root),
            hint="Open another folder for it, or call sess.delete_data() to begin anew.",
        )

    def query(self) -> SessionQuery:
        """The target. Raises UsageError before :meth:`select_target`."""
        if self._query is None:
            raise UsageError(
                "The session has no target yet", hint='Call sess.select_target("NAME"), or give ra_deg and dec_deg.'
            )
        return self._query

    # --- the reference catalogue ---

    def refcat_name(self) -> str | None:
        """The reference catalogue in use; None before one is selected."""
        if self._refcat is None and not self.path("refcat.ecsv").exists():
            return None
        table = self.refcat()
        if len(table):
            return str(table["refcat"][0])
        told = table.meta.get(_REFCAT_KEY)
        return str(told) if told in REFCATS else None

    def select_refcat(self, name: str, *, refresh: bool = False) -> Session:
        """Sets the reference catalogue, "apass" (better) or "atlas", once. Returns the session.

        Fetches its sources in a box of 850 arcsec half-size. Raises Conflict where the session uses the other one, with
        ``refresh`` too: magnitudes of both must not be mixed.
        """
        if name not in REFCATS:
            raise ParameterError(f"There is no reference catalogue {name!r}", hint="Take apass (recommended) or atlas.")
        query = self.query()
        if self.path("refcat.ecsv").exists():
            mine = self.refcat_name()
            if mine is not None and mine != name:
                raise Conflict(
                    f"This session uses the reference catalogue {mine}, not {name}",
                    where=str(self.root),
                    hint="Open another folder for it: light curves of both must not be mixed.",
                )
            if not refresh:
                return self
        watch = Stopwatch()
        rows = self.archive.catalogue(name, query.ra_deg, query.dec_deg, REFCAT_RADIUS_ARCSEC, refresh=refresh)
        table = archive_tables.refcat_sources(rows, name)
        table.meta[SESSION_KEY] = str(self.root)
        write_table(table, self.path("refcat.ecsv"))
        self._refcat = None
        self._tell.say(f"- Retrieved {len(table)} sources of {name} in {watch} and saved as refcat.ecsv")
        if not len(table):
            self._tell.warn(f"the catalogue {name} has no source within {REFCAT_RADIUS_ARCSEC:g} arcsec of the target")
        return self

    def refcat(self) -> RefcatSources:
        """The catalogue sources around the target, nearest first. Raises UsageError before :meth:`select_refcat`."""
        if self._refcat is None:
            self.query()
            path = self.path("refcat.ecsv")
            if not path.exists():
                raise UsageError(
                    "The session has no reference catalogue yet", hint='Call sess.select_refcat("apass") first.'
                )
            self._refcat = read_table(path, RefcatSources, copies=self._copies())
            self._refcat.meta[SESSION_KEY] = str(self.root)
        return self._refcat

    # --- exposures ---

    def exposures(
        self, midpoint_min: Time | None = None, midpoint_max: Time | None = None, *, refresh: bool = False
    ) -> Exposures:
        """The exposures that show the target, by time.

        The limits (closed) keep only exposures whose logged midpoint lies between them; they hold for what is then on
        disk. Raises Conflict where that was fetched with other limits, unless ``refresh``.
        """
        limits = [None if limit is None else _julian_date(limit) for limit in (midpoint_min, midpoint_max)]
        path = self.path("exposures.ecsv")
        if not refresh and (self._exposures is not None or path.exists()):
            table = self._exposures if self._exposures is not None else self._read_exposures(path)
            if limits != [None, None] and limits != table.meta.get(_LIMITS_KEY):
                raise Conflict(
                    "The exposures on disk were fetched with other limits of time",
                    where=str(path),
                    hint="Use sess.exposures().keep_only.jyear_range(...), or pass refresh=True.",
                )
            return table
        query = self.query()
        watch = Stopwatch()
        if limits != [None, None] and isinstance(self.archive, DatedArchive):
            rows = self.archive.exposures_between(query.ra_deg, query.dec_deg, limits[0], limits[1], refresh=refresh)
        else:
            rows = self.archive.exposures(query.ra_deg, query.dec_deg, refresh=refresh)
        made = archive_tables.exposures(rows, earliest_jd=limits[0], latest_jd=limits[1])
        made.meta[SESSION_KEY] = str(self.root)
        if limits != [None, None]:
            made.meta[_LIMITS_KEY] = limits
        write_table(made, path)
        # links of light curves in memory may name other rows now; those on disk are checked when they are read
        self._lightcurves = {}
        self._tell.say(f"- Retrieved {len(made)} exposures in {watch} and saved as exposures.ecsv")
        if not len(made):
            self._tell.warn("the target lies on no plate" + ("" if limits == [None, None] else " within these times"))
        return self._read_exposures(path)

    def _read_exposures(self, path: Path) -> Exposures:
        table = read_table(path, Exposures, copies=self._copies())
        table.meta[SESSION_KEY] = str(self.root)
        table.rejection_file = self._rejection_file("exposures.parquet")
        table.rejection_file.restore(table)
        self._exposures = table
        return table

    def _exposure(self, exp_ref: ExposureRef) -> ExposureRow:
        """The row of the session's own table that is meant."""
        table = self.exposures()
        if isinstance(exp_ref, ExposureRow):
            exp_ref = int(exp_ref["local_id"])
        if isinstance(exp_ref, bool | np.bool_) or not isinstance(exp_ref, int | np.integer):
            raise ParameterError(f"{exp_ref!r} is no exposure", hint="Give a row of sess.exposures() or its local ID.")
        if not 0 <= exp_ref < len(table):
            raise ParameterError(f"There is no exposure {exp_ref}", hint=f"Local IDs run from 0 to {len(table) - 1}.")
        row: ExposureRow = table[int(exp_ref)]
        return row

    # --- light curves ---

    def lightcurve(self, src_ref: SourceRef, *, refresh: bool = False) -> Lightcurve:
        """The light curve of a catalogue source: its row, its local ID (0: nearest to the target), or "click".

        Rejections of the table that this returns are kept on disk. "click" is the source last clicked in a chart of
        ``sess.refcat().live()``, or else in the WorldWide Telescope. Raises ParameterError where there is no such
        source.
        """
        row = self._source(src_ref)
        name = str(row["ref_text"])
        if not refresh and name in self._lightcurves:
            return self._lightcurves[name]
        exposures = self.exposures()
        stem = file_stem(name)
        path = self.path("lightcurves", f"{stem}.ecsv")
        if refresh or not path.exists():
            watch = Stopwatch()
            refcat = self.refcat_name() or "apass"
            rows = self.archive.light_curve(refcat, int(row["gsc_bin_index"]), int(row["ref_number"]), refresh=refresh)
            fetched = archive_tables.lightcurve(rows)
            fetched["exp_local_id"] = archive_tables.linked_exposures(fetched, exposures)
            fetched.meta[SESSION_KEY] = str(self.root)
            write_table(fetched, path)
            shown = f"lightcurves/{stem}.ecsv"
            self._tell.say(f"- Fetched {len(fetched)} rows of {name} in {watch} and saved as {shown}")
            if not fetched.is_detected().any():
                self._tell.warn(f"{name} was never detected: its light curve holds upper limits only")
        table = read_table(path, Lightcurve, copies=self._copies("lightcurves"))
        if not archive_tables.are_links_right(table, exposures):
            table["exp_local_id"] = archive_tables.linked_exposures(table, exposures)
        table.meta[SESSION_KEY] = str(self.root)
        table.rejection_file = self._rejection_file("lightcurves", f"{stem}.parquet")
        table.rejection_file.restore(table)
        self._lightcurves[name] = table
        return table

    def _source(self, src_ref: SourceRef) -> RefcatSourceRow:
        table = self.refcat()
        if isinstance(src_ref, RefcatSourceRow):
            found = np.flatnonzero(np.asarray(table["ref_text"]) == src_ref["ref_text"])
            if not found.size:
                raise ParameterError(f"The source {src_ref['ref_text']} is not in this session's catalogue")
            src_ref = int(found[0])
        if isinstance(src_ref, str):
            if src_ref != "click":
                raise ParameterError(f'{src_ref!r} is no source: give a row, a local ID or "click"')
            src_ref = self.clicked_source()
        if isinstance(src_ref, bool | np.bool_) or not isinstance(src_ref, int | np.integer):
            raise ParameterError(f'{src_ref!r} is no source: give a row, a local ID or "click"')
        if not 0 <= src_ref < len(table):
            known = f"Local IDs run from 0 to {len(table) - 1}." if len(table) else "The catalogue is empty here."
            raise ParameterError(f"There is no source {src_ref} in the reference catalogue", hint=known)
        row: RefcatSourceRow = table[int(src_ref)]
        return row

    def merge_lightcurves(self, src_refs: Iterable[SourceRef]) -> Lightcurve:
        """One light curve of catalogue sources that are one star; see :func:`skyvault.session.merging.merge`."""
        from skyvault.session.steps import steps_of

        rows = [int(self._source(src_ref)["local_id"]) for src_ref in src_refs]
        merged = merge([self.lightcurve(row) for row in rows])
        steps_of(self).remember("merge_lightcurves", sources=rows)
        return merged

    # --- images and extracts ---

    def cutout(self, exp_ref: ExposureRef, no_download: bool = False, *, refresh: bool = False) -> str | None:
        """The image of the target on an exposure (20 arcmin, FITS): its path relative to :attr:`root`.

        None, with a sentence on standard error, where there is none: never scanned, not solved, or the archive fails.
        """
        row = self._exposure(exp_ref)
        name = str(row.exp_id())
        if not row.has_imaging():
            self._tell.warn(f"there is no cutout of {name}: {_why_no_image(row)}")
            return None
        path = self.path("cutouts", f"{int(row['local_id']):05d}_{name}.fits")
        if not refresh and find_cutout(path, name):
            return str(path.relative_to(self.root))
        if no_download:
            return None
        watch, query = Stopwatch(), self.query()
        try:
            size = write_cutout(self.archive, row, query, path, refresh=refresh)
        except StoreError:
            raise
        except SkyvaultError as problem:
            self._tell.warn(f"there is no cutout of {name}: {problem}")
            return None
        shown = path.relative_to(self.root)
        self._tell.say(f"- Fetched {size} bytes in {watch} and saved as {shown}")
        return str(shown)

    def extract(self, exp_ref: ExposureRef, *, refresh: bool = False) -> Extract | None:
        """Everything measured on an exposure around the target (20 arcmin).

        None, with a sentence on standard error, where the exposure is not calibrated with the session's catalogue.
        """
        row = self._exposure(exp_ref)
        name = str(row.exp_id())
        if not refresh and name in self._extracts:
            return self._extracts[name]
        refcat = self.refcat_name() or "apass"
        path = self.path("extracts", f"{name}.ecsv")
        if refresh or not path.exists():
            if not row.has_imaging() or ("lim_mag_" + refcat in row.colnames and not row.has_phot()):
                why = f"it is not calibrated with {refcat}" if row.has_imaging() else _why_no_image(row)
                self._tell.warn(f"there is no photometry of {name}: {why}")
                return None
            watch, query = Stopwatch(), self.query()
            rows = self.archive.plate_photometry(
                refcat, row.plate_id(), int(row["solnum"]), query.ra_deg, query.dec_deg, refresh=refresh
            )
            fetched = archive_tables.extract(rows)
            fetched["exp_local_id"] = np.full(len(fetched), name)
            fetched.meta |= {SESSION_KEY: str(self.root), "daschlab_exposure_id": name}
            write_table(fetched, path)
            self._tell.say(f"- Fetched {len(fetched)} measurements in {watch} and saved as extracts/{name}.ecsv")
        table = read_table(path, Extract, copies=self._copies("extracts"))
        table.meta[SESSION_KEY] = str(self.root)
        table.rejection_file = self._rejection_file("extracts", f"{name}.parquet")
        table.rejection_file.restore(table)
        self._extracts[name] = table
        return table

    def mosaic(self, plate_id: str, binning: int) -> str:
        """The whole plate as FITS with everything known in its headers: its path relative to :attr:`root`.

        ``binning`` 1 (up to 2 GB) or 16. The base image stays in ``base_mosaics`` and may be deleted.
        Raises ParameterError for other values, UsageError where the archive has no whole plates.
        """
        from skyvault.session.mosaic import make_mosaic

        watch = Stopwatch()
        shown, was_there = make_mosaic(self.archive, plate_id, binning, self.root)
        if not was_there:
            self._tell.say(f"- Made the mosaic in {watch} and saved it as {shown}")
        return shown

    # --- display, and the session as a program ---

    async def connect_to_wwt(self) -> None:
        """Connects to the WorldWide Telescope in JupyterLab. Raises UsageError where pywwt is not installed."""
        from skyvault.session.wwt import WwtLayers

        if self._wwt is None:
            self._wwt = await WwtLayers.connected(self)

    def wwt(self) -> Any:
        """The WorldWide Telescope's widget. Raises UsageError before :meth:`connect_to_wwt`."""
        return self.wwt_layers().widget

    def wwt_layers(self) -> WwtLayers:
        """What the session shows in the WorldWide Telescope. Raises UsageError before :meth:`connect_to_wwt`."""
        if self._wwt is None:
            raise UsageError(
                "The session is not connected to the WorldWide Telescope",
                hint="Open its JupyterLab application, then run: await sess.connect_to_wwt()",
            )
        return self._wwt

    def export_script(self, path: str | Path) -> Path:
        """Writes a Python script (or a notebook, for ``.ipynb``) that repeats the session from an empty folder.

        It holds the target, the catalogue, limits of time, light curves, merges, rejections, cutouts, extracts and
        mosaics that are here now, what other missions and services were asked for, and the versions of programs. Tokens
        are not in it; what was matched with tables of your own is told in a comment.
        """
        from skyvault.session.script_export import export_script

        return export_script(self, Path(path))


def _julian_date(limit: Any) -> float:
    jd = getattr(limit, "utc", None)
    if jd is None:
        raise ParameterError(f"{limit!r} is no time", hint='Give astropy times: Time("1923-05-01").')
    return float(jd.jd)


def _why_no_image(row: ExposureRow) -> str:
    from skyvault.session.cells import values_and_mask

    is_unscanned = bool(values_and_mask(row.table["scannum"])[1][row.index])
    return "the plate was never scanned" if is_unscanned else "its astrometry is not solved"

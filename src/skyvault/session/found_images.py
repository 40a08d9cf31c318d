"""Images of the session's target by any ObsTAP service: found, tested by their own pixels, fetched and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import NotFound, ParameterError
from skyvault.session.steps import steps_of

if TYPE_CHECKING:
    from skyvault.session.live_view import LiveView
    from skyvault.session.session import Session

_MOST_ROWS: Final = 10_000


@dataclass(frozen=True)
class FoundImages:
    """Rows of a service (all of its columns, as pyvo's results) whose listed outline covers the target."""

    results: Any
    _session: Session = field(repr=False)
    #: how the service was asked
    asked: dict[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, row: int) -> Any:
        return self.results[row]

    def to_table(self) -> Any:
        """All columns as an astropy table: tract and patch, visit and detector, band where the service has them."""
        return self.results.to_table()

    def really_show(self, rows: Any = None) -> Any:
        """Whether each image's own pixels hold the target, by the WCS in its header: masked where it cannot be told.

        Listed outlines are often larger. Only headers are read. ``rows``: row numbers, all if None.
        """
        from skyvault.find import really_contains

        query = self._session.query()
        chosen = [self.results[int(row)] for row in (range(len(self)) if rows is None else rows)]
        if not chosen:
            return np.ma.zeros(0, bool)
        return really_contains(chosen, (query.ra_deg, query.dec_deg), session=self.results._session)

    def fetch(self, row: int) -> Path:
        """The path of an image, fetched into the session's folder ``images`` unless it is here.

        Raises what fetching raises.
        """
        import hashlib

        from skyvault.find import fetch

        record = self.results[int(row)]
        known = _names(record)
        key = hashlib.sha256("|".join([*known, "" if any(known) else str(record["access_url"])]).encode()).hexdigest()
        stem = "".join(c if c.isalnum() or c in "._+-" else "_" for c in known[1] or "image")[:60].lstrip(".")
        path = self._session.path("images", f"{stem or 'image'}_{key[:12]}.fits")
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            report = fetch(record, path, session=self.results._session)
            if report.problems:
                raise report.problems[0].error
        steps_of(self._session).remember("fetch", **self.asked, image=known)
        return path

    def row_of(self, image: Sequence[str]) -> int:
        """The row of an image by what names it: obs_publisher_did, obs_id, lsst_ccdvisitid ("" where there is none).

        Raises NotFound where the service lists it no more.
        """
        for row, record in enumerate(self.results):
            if _names(record) == list(image):
                return row
        raise NotFound(f"The service lists the image {next(filter(None, image), '?')[:80]!r} no more")

    def planes(self, row: int) -> dict[str, Any]:
        """What an image's file holds by name: pixels as float32 (rows, columns) of IMAGE and VARIANCE, and the MASK.

        The mask is a :class:`~skyvault.find.mask.Mask` with named planes. What the file lacks is left out.
        """
        from astropy.io import fits

        from skyvault.find import read_mask

        found: dict[str, Any] = {}
        with fits.open(self.fetch(row), memmap=False) as file:
            for hdu in file:
                if not hdu.is_image or hdu.header.get("NAXIS", 0) < 2 or hdu.data is None:
                    continue
                # a file without names holds its picture first
                name = hdu.name if hdu.name in ("IMAGE", "MASK", "VARIANCE") else "IMAGE"
                if name not in found:
                    found[name] = read_mask(file) if name == "MASK" else np.array(hdu.data, np.float32)
        return found

    def live(self, row: int, *, is_static_beside: bool = False, **how: Any) -> LiveView:
        """An image that moves in a browser or a notebook, the target marked; with the static one beside if wanted.

        ``how`` as :func:`skyvault.find.live_figure`: ``mask=True``, ``mask_transparency``, ``hdu``.
        """
        from skyvault.find.live import live_figure
        from skyvault.session.live_view import LiveView

        query = self._session.query()
        given: dict[str, Any] = {"target": (query.ra_deg, query.dec_deg)} | how
        path = self.fetch(row)

        def build() -> tuple[Any, Any]:
            from bokeh.layouts import row as side_by_side
            from bokeh.models import ColumnDataSource

            shown = live_figure(path, **given)
            if is_static_beside:
                static = {key: value for key, value in how.items() if key != "title"}
                shown = side_by_side(_picture(self.show(row, has_colour_bar=True, **static)), shown)
            return shown, ColumnDataSource()

        return LiveView(build, str(how.get("title", "") or path.stem))

    def show(self, row: int, **how: Any) -> Any:
        """A matplotlib Figure of an image with the target marked; ``how`` as :func:`skyvault.find.show_image`."""
        from skyvault.find import show_image

        query = self._session.query()
        record = self.results[int(row)]
        region = record.get("s_region", None)
        given: dict[str, Any] = {"target": (query.ra_deg, query.dec_deg)}
        if region is not None and str(region).strip():
            given["region"] = str(region)
        return show_image(self.fetch(row), **(given | how))


def _names(record: Any) -> list[str]:
    return [str(record.get(name, "") or "") for name in ("obs_publisher_did", "obs_id", "lsst_ccdvisitid")]


def _picture(figure: Any) -> Any:
    """A static figure as part of a page."""
    import base64
    import io

    from bokeh.models import Div

    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100)
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return Div(text=f'<img alt="the image, static" src="data:image/png;base64,{data}">')


def found_images(
    session: Session,
    service: Any,
    *,
    collections: tuple[str, ...],
    where: str | None,
    token: Any,
    most: int,
) -> FoundImages:
    """See :meth:`skyvault.session.beyond_plates.BeyondPlates.images`."""
    from skyvault.find.tap import get_tap_service

    if not 1 <= most <= _MOST_ROWS:
        raise ParameterError(f"from 1 to {_MOST_ROWS:,} rows can be asked for, not {most}")
    query = session.query()
    conditions = [
        f"CONTAINS(POINT('ICRS', {query.ra_deg!r}, {query.dec_deg!r}), s_region) = 1",
        "dataproduct_type = 'image'",
    ]
    if collections:
        names = ", ".join("'" + one.replace("'", "''") + "'" for one in collections)
        conditions.append(f"obs_collection IN ({names})")
    if where:
        conditions.append(f"({where})")
    tap = get_tap_service(service, token=token, settings=session._settings) if isinstance(service, str) else service
    results = tap.search(f"SELECT TOP {most} * FROM ivoa.ObsCore WHERE {' AND '.join(conditions)}")
    session._tell.say(f"- Found {len(results)} images whose listed outline covers the target")
    return FoundImages(results, session)

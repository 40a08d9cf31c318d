"""The reference catalogue around a session's target: stars to which plate photometry is linked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astropy.table import Row, Table

from skyvault.session.columns import meaning_of

if TYPE_CHECKING:
    from skyvault.session.lightcurve import Lightcurve
    from skyvault.session.live_view import LiveView


class RefcatSourceRow(Row):  # type: ignore[misc]
    """One source of the reference catalogue."""

    def lightcurve(self) -> Lightcurve:
        """Its light curve; see :meth:`skyvault.session.session.Session.lightcurve`."""
        from skyvault.session.open_sessions import session_of

        return session_of(self.table).lightcurve(self)


class RefcatSources(Table):  # type: ignore[misc]
    """Catalogue sources in order of their distance from the target (``local_id``).

    Columns: :func:`skyvault.session.columns.refcat_columns`.
    """

    Row = RefcatSourceRow

    def meaning(self, column: str) -> str:
        """What a column holds, in words; "" for a column of one's own."""
        return meaning_of("refcat", column)

    def show(self, **how: Any) -> Any:
        """Shows the sources in the WorldWide Telescope. Raises UsageError where it is not connected."""
        from skyvault.session.open_sessions import session_of

        return session_of(self).wwt_layers().show_refcat(self, **how)

    def live(self) -> LiveView:
        """The sources as a chart that moves; after a click in it ``sess.lightcurve("click")`` is that star's.

        Raises ConfigError where bokeh is not installed.
        """
        from skyvault.session.live_curve import live_sources
        from skyvault.session.open_sessions import session_of

        return live_sources(self, session_of(self).listen_to)

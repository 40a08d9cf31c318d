"""Aladin as a session's display in a notebook: the target with its catalogue and cutouts over a survey (ipyaladin)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import UsageError
from skyvault.session.cells import values_and_mask

if TYPE_CHECKING:
    from skyvault.session.session import Session

SURVEY: Final = "CDS/P/DSS2/color"


def aladin_of(session: Session, survey: str, fov_deg: float, exposures: Iterable[Any]) -> Any:
    """See :meth:`skyvault.session.beyond_plates.BeyondPlates.aladin`."""
    try:
        from ipyaladin import Aladin
    except ImportError:
        raise UsageError(
            "Aladin in a notebook needs the package ipyaladin, which is not installed",
            hint="Install it with: pip install 'skyvault[live]', or use sess.contact_sheet() and sess.refcat().live().",
        ) from None
    place = session.query().pos_as_skycoord()
    paths = [session.cutout(one) for one in exposures]
    widget = Aladin(target=place, fov=fov_deg, survey=survey)
    if session.path("refcat.ecsv").exists() and len(session.refcat()):
        widget.add_table(_sources(session), name=f"{session.refcat_name()} sources")
    for path in paths:
        if path is not None:
            widget.add_fits(session.path(path), name=path.rpartition("/")[2])
    return widget


def _sources(session: Session) -> Any:
    from astropy.table import Table

    table = session.refcat()
    magnitude, mask = values_and_mask(table["stdmag"])
    return Table(
        {
            "local_id": np.asarray(table["local_id"]),
            "ra": np.asarray(table["pos"].icrs.ra.deg),
            "dec": np.asarray(table["pos"].icrs.dec.deg),
            "mag": np.where(mask, np.nan, np.asarray(magnitude, np.float64)),
        },
        units={"ra": "deg", "dec": "deg", "mag": "mag"},
    )

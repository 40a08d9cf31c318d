"""Tables and images of a session sent to TOPCAT, Aladin and other programs that run beside (SAMP)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Row, Table

from skyvault.errors import NotFound, ParameterError
from skyvault.session.export import flattened
from skyvault.session.exposures import ExposureRow

if TYPE_CHECKING:
    from skyvault.session.session import Session


def send(session: Session, what: Any, to: str | None, name: str | None, hub: Any) -> tuple[str, ...]:
    """See :meth:`skyvault.session.beyond_plates.BeyondPlates.send`."""
    from skyvault.find import send_image, send_table

    settings = session._settings
    if isinstance(what, ExposureRow):
        path = session.cutout(what)
        if path is None:
            raise NotFound(f"There is no image of {what.exp_id()} to send")
        return send_image(session.path(path), to=to, name=name, settings=settings, hub=hub)
    if isinstance(what, str | Path):
        image = session.path(str(what))
        if not image.is_file():
            raise NotFound("There is no such file in the session's folder", where=str(what))
        return send_image(image, to=to, name=name, settings=settings, hub=hub)
    if isinstance(what, Row) or not isinstance(what, Table):
        raise ParameterError(
            f"{type(what).__name__} cannot be sent", hint="Give a table, a row of the exposures, or an image's path."
        )
    title = name or f"{type(what).__name__} of {session.query().name or session.query().sexagesimal()}"
    return send_table(plain_table(what), to=to, name=title, settings=settings, hub=hub)


def plain_table(table: Any) -> Table:
    """The accepted rows with one plain column each: times as Julian dates, positions as ICRS degrees, with units."""
    if not hasattr(table, "meaning"):
        return table
    rows = table[~table.is_rejected()] if hasattr(table, "is_rejected") else table
    made = Table()
    for name, (cells, described) in flattened(rows).items():
        mask = np.asarray(cells.is_null())
        empty: Any = "" if cells.type in ("string", "large_string") else 0
        values = cells.fill_null(empty).to_numpy(zero_copy_only=False)
        if values.dtype.kind == "O":
            values = values.astype(str)
        elif values.dtype.kind == "u":
            # VOTable has no unsigned integers
            values = values.astype(np.int64)
        made[name] = np.ma.MaskedArray(values, mask) if mask.any() else values
        if described.unit:
            made[name].unit = described.unit
        made[name].description = described.description
    return made

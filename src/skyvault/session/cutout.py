"""Cutouts: the target's neighbourhood on one exposure, with what the exposure table knows in the header."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import FormatError
from skyvault.quiet import quiet
from skyvault.session.cells import values_and_mask
from skyvault.session.files import is_whole_fits, written_beside
from skyvault.session.plate_times import old_utc_is_fine

if TYPE_CHECKING:
    from skyvault.session.archive import PlateArchive
    from skyvault.session.exposures import ExposureRow
    from skyvault.session.query import SessionQuery

#: the exposure table's columns and the header's dates
_DATES: Final = {"OBS": "obs_date", "SCN": "scan_date", "MOS": "mos_date"}


def find_cutout(path: Path, exposure: str) -> bool:
    """Whether a whole cutout is at ``path``; one named by another numbering of the exposures is moved there."""
    if not path.exists():
        for other in path.parent.glob(f"[0-9]*_{exposure}.fits"):
            other.replace(path)
            break
    return path.is_file() and is_whole_fits(path)


def write_cutout(
    archive: PlateArchive, row: ExposureRow, query: SessionQuery, path: Path, *, refresh: bool = False
) -> int:
    """Fetches a cutout, checks and describes it, and puts it at ``path``; the bytes fetched.

    Raises FormatError where what came is no image, and what the archive raises.
    """
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyUserWarning

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch.", dir=path.parent) as folder:
        fetched = Path(folder) / "cutout.fits"
        archive.cutout(row.plate_id(), int(row["solnum"]), query.ra_deg, query.dec_deg, fetched, refresh=refresh)
        size = fetched.stat().st_size
        try:
            # scaled, an image with BLANK would become floating point
            how: dict[str, Any] = {"memmap": False, "do_not_scale_image_data": True}
            with quiet(AstropyUserWarning), fits.open(fetched, **how) as file:
                image = file[0]
                if image.data is None or image.data.ndim != 2:
                    raise FormatError("What the archive sent is no image", where=row.plate_id())
                for keyword, value, comment in header_cards(row):
                    image.header[keyword] = (value, comment)
                with written_beside(path) as beside:
                    image.writeto(beside, overwrite=True, output_verify="silentfix")
        except (OSError, ValueError, TypeError, fits.VerifyError) as problem:
            raise FormatError(
                f"What the archive sent cannot be read as FITS ({str(problem)[:160].rstrip('.')})", where=row.plate_id()
            ) from None
    return size


def header_cards(row: ExposureRow) -> list[tuple[str, Any, str]]:
    """What the exposure table knows of a cutout: keyword, value, comment. Nothing is written for what is unknown."""
    cards: list[tuple[str, Any, str]] = []
    for keyword, name, comment in (
        ("D_SCNNUM", "scannum", "plate scan number"),
        ("D_EXPNUM", "expnum", "exposure number in the logbook"),
        ("D_SOLNUM", "solnum", "astrometric solution, from 0"),
        ("D_PCLASS", "class", "plate class of the logbook"),
        ("EXPTIME", "exptime", "[s] exposure time"),
    ):
        values, mask = values_and_mask(row.table[name])
        if mask[row.index]:
            continue
        value = values[row.index].item()
        if name == "exptime":
            if not value > 0:
                continue
            value *= 60.0  # the table counts minutes
        if value != "":
            cards.append((keyword, value, comment))
    for ending, name in _DATES.items():
        date = row[name]
        if not bool(date.mask):
            meaning = {"OBS": "middle of the exposure", "SCN": "plate scanned", "MOS": "mosaic made"}[ending]
            with old_utc_is_fine():
                cards.append((f"DATE-{ending}", str(date.utc.isot), f"{meaning} (UTC)"))
                cards.append((f"MJD-{ending}", float(date.utc.mjd), f"[d] {meaning} (UTC)"))
    return cards

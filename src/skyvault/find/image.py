"""Images opened by address, link or row of results; remote ones are fetched once and kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from skyvault.errors import FormatError, NotFound

if TYPE_CHECKING:
    from skyvault.config import Settings


def open_image(
    where: Any,
    *,
    session: requests.Session | None = None,
    settings: Settings | None = None,
    cache: str | Path | None = None,
) -> Any:
    """An astropy HDUList of a file, an address, a link, or a row of results (its #this). Remote files are fetched once.

    ``cache`` is the folder they are kept in (by default below the data directory). Raises what fetching raises, and
    FormatError for what is no FITS file.
    """
    from astropy.io import fits

    path = where if isinstance(where, (str, os.PathLike)) and "://" not in str(where) else None
    if path is None:
        path = _fetched(where, session, settings, cache)
    try:
        return fits.open(Path(path))
    except FileNotFoundError:
        raise NotFound("there is no such file", where=str(path)) from None
    except OSError as error:
        raise FormatError(f"this is no FITS file ({error})", where=str(path)) from None


def _fetched(where: Any, session: Any, settings: Settings | None, cache: str | Path | None) -> Path:
    import hashlib

    from skyvault.find.datalink import Link, links
    from skyvault.find.fetching import SessionCredentials, fetch
    from skyvault.net.client import HttpClient
    from skyvault.net.download import Downloader
    from skyvault.net.remote_file import Order, RemoteFile

    if cache is None:
        from skyvault.config import Settings as Configuration

        cache = (settings or Configuration()).home / "cache" / "images"
    folder = Path(cache)
    if isinstance(where, (str, Link)):
        url = where if isinstance(where, str) else where.access_url or ""
        remote = RemoteFile(url=url, content="fits")
        name = hashlib.sha256(remote.identity.encode()).hexdigest()[:24] + ".fits"
        folder.mkdir(parents=True, exist_ok=True)
        with HttpClient(credentials=SessionCredentials(session)) as client:
            Downloader(client).fetch(Order(remote, folder / name))
        return folder / name
    found = links(where, session=session).bysemantics("#this", include_narrower=False)
    report = fetch(found, folder, session=session)
    if report.problems:
        raise report.problems[0].error
    return report.rows[0].order.target

"""Images and tables sent to the viewers that run beside: Aladin, TOPCAT, DS9 and Firefly listen by SAMP.

Simple Application Messaging Protocol 1.3: programs on one machine meet at a hub, which TOPCAT and Aladin bring along.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import FormatError, NotFound, SkyvaultError
from skyvault.quiet import quiet

if TYPE_CHECKING:
    from skyvault.config import Settings

_NO_HUB: Final = "Start TOPCAT, Aladin or another program with a hub, then send again."
_IMAGE: Final = "image.load.fits"
_TABLE: Final = "table.load.votable"


class NoViewer(SkyvaultError):
    """Nobody listens: no hub runs on this machine, or no program at it takes what is sent."""


def send_image(
    image: Any,
    *,
    to: str | None = None,
    name: str | None = None,
    session: Any = None,
    settings: Settings | None = None,
    cache: str | Path | None = None,
    hub: Any = None,
) -> tuple[str, ...]:
    """Show an image in every viewer that takes images, or in the one named ``to``; the names of those it was sent to.

    ``image`` is a file, an address, a link or a row of results; remote ones are fetched first, since viewers have no
    token (``cache``: the folder they are kept in). ``hub`` is a hub of pyvo's or its lock-file parameters (default:
    the one that runs).
    Raises NoViewer, and what fetching raises.
    """
    from skyvault.find.image import open_image

    with _client(hub) as client:
        takers = _takers(client, _IMAGE, to)
        with open_image(image, session=session, settings=settings, cache=cache) as opened:
            path = Path(opened.filename()).absolute()
        return _sent(client, takers, _IMAGE, path, name or path.stem)


def send_table(
    table: Any,
    *,
    to: str | None = None,
    name: str = "skyvault",
    settings: Settings | None = None,
    hub: Any = None,
) -> tuple[str, ...]:
    """Show a table in every program that takes tables: results of a query or a search, an astropy Table, a VOTable.

    It is kept as a VOTable below the data directory, where the program reads it. Raises NoViewer, FormatError.
    """
    with _client(hub) as client:
        takers = _takers(client, _TABLE, to)
        return _sent(client, takers, _TABLE, _written(table, settings), name)


@contextmanager
def _client(hub: Any) -> Iterator[Any]:
    try:
        from pyvo import samp
    except ImportError:
        # before pyvo 1.9 it was astropy's
        from astropy import samp

    client = samp.SAMPIntegratedClient(
        name="skyvault", description="Skyvault, a toolkit for archive data", callable=False, addr="127.0.0.1"
    )
    try:
        with quiet(samp.SAMPWarning):
            # what a dead hub leaves behind is told below
            client.connect(**({} if hub is None else {"hub_params": hub} if isinstance(hub, dict) else {"hub": hub}))
    except (samp.SAMPHubError, samp.SAMPProxyError, OSError, KeyError):
        raise NoViewer("no SAMP hub runs on this machine", hint=_NO_HUB) from None
    try:
        yield client
    except (samp.SAMPHubError, samp.SAMPProxyError, samp.SAMPClientError, OSError) as error:
        if isinstance(error, SkyvaultError):
            raise
        raise NoViewer(f"the SAMP hub does not answer as it should ({type(error).__name__})", hint=_NO_HUB) from None
    finally:
        try:
            client.disconnect()
        except Exception:
            # the hub may be gone, and nothing is lost
            client._is_running = False


def _takers(client: Any, kind: str, to: str | None) -> dict[str, str]:
    """Identifier and name of the programs that take messages of this kind."""
    names = {}
    for one in client.get_subscribed_clients(kind):
        told = client.get_metadata(one).get("samp.name")
        names[one] = " ".join(str(told or one).split())[:80]
    wanted = {one: name for one, name in names.items() if to is None or name.lower() == to.strip().lower()}
    if wanted:
        return wanted
    what = "images" if kind == _IMAGE else "tables"
    if not names:
        raise NoViewer(f"a SAMP hub runs, but no program at it takes {what}", hint=_NO_HUB)
    raise NotFound(f"no program named {str(to)[:60]!r} takes {what}", hint=f"There are {', '.join(names.values())}.")


def _sent(client: Any, takers: dict[str, str], kind: str, path: Path, name: str) -> tuple[str, ...]:
    address = path.as_uri()
    parameters = {"url": address, "name": name}
    parameters["image-id" if kind == _IMAGE else "table-id"] = address
    for one in takers:
        client.notify(one, {"samp.mtype": kind, "samp.params": parameters})
    return tuple(takers.values())


def _written(table: Any, settings: Settings | None) -> Path:
    """The table as a VOTable file, named by its content."""
    if isinstance(table, (str, os.PathLike)):
        path = Path(table).absolute()
        if not path.is_file():
            raise NotFound("there is no such file", where=str(path))
        return path
    from skyvault.config import Settings as Configuration

    folder = (settings or Configuration()).home / "cache" / "samp"
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{os.getpid()}.part.vot"
    if hasattr(table, "to_table"):
        table = table.to_table()
    try:
        from astropy.io.votable import from_table, writeto

        with quiet():
            writeto(from_table(table), str(beside), tabledata_format="binary2")
    except (TypeError, ValueError, AttributeError) as error:
        beside.unlink(missing_ok=True)
        raise FormatError(f"this cannot be sent as a table ({type(error).__name__})") from None
    digest = hashlib.sha256(beside.read_bytes()).hexdigest()[:24]
    target = folder / f"{digest}.vot"
    os.replace(beside, target)
    return target

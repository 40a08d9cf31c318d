"""A query to a TAP service somewhere: sent by pyvo, read by our own streaming readers."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import TransientError, UsageError

if TYPE_CHECKING:
    from skyvault.formats.stream import TableStream

#: how long a service may keep silent
SILENCE_S: Final = 120.0
JOB_S: Final = 86_400.0
ERROR_BYTES: Final = 1_000_000


@contextlib.contextmanager
def ask(url: str, adql: str, *, uploads: dict[str, Path], maxrec: int | None, as_job: bool) -> Iterator[TableStream]:
    """The rows a service answers with; they may be read while the context is open.

    Raises :class:`~skyvault.errors.UsageError` with the service's own words when it refuses the query, and
    :class:`~skyvault.errors.TransientError` when it cannot be reached or breaks off.
    """
    import pyvo
    import requests

    with tempfile.TemporaryDirectory(prefix="skyvault-") as scratch:
        place = Path(scratch)
        tables = {name: str(_as_votable(path, place / f"{name}.vot")) for name, path in uploads.items()}
        service = pyvo.dal.TAPService(url, session=_session())
        try:
            get = _run_job if as_job else _run_sync
            get(service, adql, tables, maxrec, place / "result.vot")
        except pyvo.dal.DALQueryError as error:
            raise UsageError(f"the service refuses: {_words(error)}", where=url) from None
        except (pyvo.dal.DALServiceError, requests.RequestException) as error:
            raise TransientError(f"the service cannot be asked: {_words(error)}", where=url) from None
        yield _read(place / "result.vot", url)


def _session() -> Any:
    """A session whose requests do not wait for ever."""
    import requests

    class Session(requests.Session):  # type: ignore[misc]
        def request(self, method: str, url: str, **options: Any) -> Any:
            options.setdefault("timeout", SILENCE_S)
            return super().request(method, url, **options)

    from skyvault import __version__

    session = Session()
    session.auth = _stored_credentials()
    session.headers["User-Agent"] = f"skyvault/{__version__} (IVOA-use)"
    return session


def _stored_credentials() -> Any:
    """What ``skyvault login`` has stored, sent to the very host it is for and to no other."""
    from requests import PreparedRequest

    from skyvault.cli.login import credentials_path
    from skyvault.net.auth import Credentials

    path = credentials_path()
    known = Credentials.from_file(path) if path.exists() else Credentials()

    def authorise(request: PreparedRequest) -> PreparedRequest:
        header = known.header_for(request.url or "")
        if header is not None:
            request.headers["Authorization"] = header
        return request

    return authorise


def _run_sync(service: Any, adql: str, tables: dict[str, str], maxrec: int | None, result: Path) -> None:
    query = service.create_query(adql, maxrec=maxrec, uploads=tables or None)
    if maxrec is not None:
        query["MAXREC"] = maxrec  # pyvo leaves out 0, which asks for the columns only
    _save(query.submit(), result)


def _run_job(service: Any, adql: str, tables: dict[str, str], maxrec: int | None, result: Path) -> None:
    job = service.submit_job(adql, maxrec=maxrec, uploads=tables or None)
    try:
        job.run().wait(phases=["COMPLETED", "ERROR", "ABORTED"], timeout=JOB_S)
        job.raise_if_error()
        _save(service._session.get(job.result_uri, stream=True), result)
    finally:
        with contextlib.suppress(Exception):  # the job's life ends by itself where deleting fails
            job.delete()


def _save(response: Any, result: Path) -> None:
    from pyvo.dal import DALQueryError, DALServiceError

    with response:
        if response.status_code >= 400:
            body = response.raw.read(ERROR_BYTES, decode_content=True)
            message = _message_of(body)
            if message:
                raise DALQueryError(message)
            raise DALServiceError(f"HTTP {response.status_code} {response.reason}")
        with result.open("wb") as file:
            response.raw.decode_content = True
            shutil.copyfileobj(response.raw, file, 1 << 20)


def _message_of(body: bytes) -> str | None:
    """What a DALI error document says (DALI 1.1, section 4.2), or a short plain text."""
    from astropy.io.votable import parse
    from pyvo.dal import DALQueryError, DALResults

    try:
        DALResults(parse(io.BytesIO(body)))
    except DALQueryError as error:
        return _words(error)
    except Exception:  # whatever a stranger sends that is no VOTable
        text = body.decode("utf-8", "replace").strip()
        return text if 0 < len(text) < 2000 and not text.startswith("<") else None
    return None


def _read(result: Path, url: str) -> TableStream:
    from skyvault.formats.registry import open_table

    stream = open_table(result)
    if stream.error:
        raise UsageError(f"the service refuses: {stream.error}", where=url)
    return stream


def _as_votable(path: Path, target: Path) -> Path:
    """A table file of any format as the VOTable that every service accepts."""
    from skyvault.formats.registry import negotiate, open_table

    with target.open("wb") as file:
        file.writelines(negotiate("votable/td").writer(open_table(path)))
    return target


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

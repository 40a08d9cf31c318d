"""A server of a data directory on a free port of this machine, for as long as its addresses are tested."""

from __future__ import annotations

import dataclasses
import http.client
import socket
import threading
import urllib.error
import urllib.request
from types import TracebackType
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urljoin, urlsplit

from skyvault.errors import SkyvaultError, UsageError

if TYPE_CHECKING:
    import uvicorn

    from skyvault.config import Settings
    from skyvault.publish.resource_tests import Fetched

_PATIENCE_S: Final = 100.0
_MOST_BYTES: Final = 200_000_000


class CheckedServer:
    """Started when the first address is asked for; runs no actions. A context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None

    def __enter__(self) -> CheckedServer:
        return self

    def fetch(self, address: str) -> Fetched:
        """What an address below the service's root gives. Raises UsageError for one that leads elsewhere."""
        from skyvault.publish.resource_tests import Fetched

        base = self._base()
        # people write blanks
        url = urljoin(f"{base}/", quote(address.lstrip("/"), safe="%/:=&?~#+!$,;'@()*[]"))
        if urlsplit(url).netloc != urlsplit(base).netloc:
            raise UsageError(f"{address!r} leads to another service", hint="Give an address such as /tap/tables.")
        # straight to it, whatever proxies there are
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=_PATIENCE_S) as answer:
                return Fetched(answer.status, answer.headers.get("content-type", ""), answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as problem:
            return Fetched(problem.code, problem.headers.get("content-type", ""), problem.read(_MOST_BYTES))
        except (OSError, ValueError, http.client.HTTPException) as problem:
            raise SkyvaultError(f"{address!r} cannot be fetched ({problem})") from None

    def _base(self) -> str:
        if self._listener is None:
            self._start()
        assert self._listener is not None
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _start(self) -> None:
        import uvicorn

        from skyvault.serve.app import create_app

        self._listener = socket.create_server(("127.0.0.1", 0))
        settings = dataclasses.replace(
            self._settings,
            host="127.0.0.1",
            port=self._listener.getsockname()[1],
            base_url=None,
            actions=False,
            workers=1,
        )
        config = uvicorn.Config(create_app(settings), log_config=None, access_log=False, lifespan="on")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(30.0)
        if self._listener is not None:
            self._listener.close()

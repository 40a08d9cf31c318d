"""Run the server: one listening socket, one or more processes, a clean stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from skyvault.errors import ConfigError, SkyvaultError

if TYPE_CHECKING:
    from skyvault.config import Settings

BACKLOG = 1024


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Raises ConfigError when the address cannot be had, or a setting is wrong."""
    import dataclasses

    _check(settings)
    listener = _listen(settings)
    port = listener.getsockname()[1]
    settings = dataclasses.replace(settings, port=port) if port != settings.port else settings
    _import_all()
    print(f"Serving {settings.home} at {settings.public_url}/ (TAP: {settings.public_url}/tap)", flush=True)
    if settings.workers == 1 or not hasattr(os, "fork"):
        _worker(settings, listener)
    else:
        _supervise(settings, listener)


def _check(settings: Settings) -> None:
    """What each process would find wrong, told once and before there are any. Raises ConfigError."""
    from skyvault.serve.login_service import LoginService
    from skyvault.serve.secret import Keys

    Keys(settings)
    if settings.oidc_issuer is not None or settings.oidc_client_id is not None:
        LoginService(settings).close()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as problem:
        listener.close()
        raise ConfigError(
            f"the address {settings.host}:{settings.port} cannot be had ({problem.strerror})",
            hint="Stop what uses it, or choose another with --port.",
        ) from None
    listener.listen(BACKLOG)
    listener.set_inheritable(True)
    return listener


def _import_all() -> None:
    """Import once, before processes part; nothing that starts threads."""
    import skyvault.serve.app  # noqa: F401


def _worker(settings: Settings, listener: socket.socket) -> None:
    import uvicorn

    from skyvault import __version__
    from skyvault.serve.app import create_app

    # four threads of Python must not make a status call wait (measured: 120 ms at the default of 5 ms)
    sys.setswitchinterval(0.001)
    from skyvault.serve import query_log
    from skyvault.serve.http_protocol import protocol

    query_log.configure(settings)
    config = uvicorn.Config(
        create_app(settings),
        http=protocol(),
        log_level=settings.log_level if settings.log_level != "info" else "warning",
        access_log=False,
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.stop_grace_s),
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=",".join(settings.trusted_proxies) or None,
        server_header=False,
        headers=[("Server", f"Skyvault/{__version__}")],
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _supervise(settings: Settings, listener: socket.socket) -> None:
    """Keep ``workers`` processes running; one that dies is replaced, but not in a frenzy."""
    children: dict[int, float] = {}
    stopping = False

    def spawn() -> None:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            status = 1
            try:
                _worker(settings, listener)
                status = 0
            except SkyvaultError as problem:
                print(f"skyvault: {problem}", file=sys.stderr)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        children[pid] = time.monotonic()

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for _ in range(settings.workers):
        spawn()
    failures = 0
    while children:
        try:
            pid, _ = os.wait()
        except InterruptedError:
            continue
        began = children.pop(pid, 0.0)
        if stopping:
            continue
        failures = failures + 1 if time.monotonic() - began < 5 else 0
        if failures > 3 * settings.workers:
            print("skyvault: the server processes die right after their start; giving up.", file=sys.stderr)
            stop(0, None)
            sys.exit(1)
        spawn()

"""A PostgreSQL server of the tests' own: made in a temporary directory, on a free port, gone afterwards.

``python tests/postgresql_server.py`` runs one until it is interrupted and prints its address.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import free_port

START_S = 60.0
#: where Debian keeps the programs of each version
_DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The directory of initdb and postgres; None when PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found is not None and Path(found).resolve().with_name("postgres").exists():
        return Path(found).resolve().parent
    versions = sorted((p for p in _DEBIAN.glob("*/bin") if (p / "initdb").exists()), key=lambda p: float(p.parent.name))
    return versions[-1] if versions else None


class Server:
    """A running server; ``url`` is the address of its one database, with a password that nobody else knows."""

    def __init__(self, *, keeps: bool = False) -> None:
        """``keeps``: wait for the disk as a server in use does; tests need not."""
        found = programs()
        assert found is not None
        self._programs = found
        self._user = _unprivileged()
        self.directory = Path(tempfile.mkdtemp(prefix="skyvault-postgresql-"))
        self.port = free_port()
        password = secrets.token_hex(12)
        self.url = f"postgresql://skyvault:{password}@127.0.0.1:{self.port}/postgres"
        self._speed = [] if keeps else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._make(password)
            self.start()
        except BaseException:
            self.remove()
            raise

    def _make(self, password: str) -> None:
        secret = self.directory / "password"
        secret.write_text(password)
        if self._user is not None:
            for path in (self.directory, secret):
                shutil.chown(path, self._user)
        command = [self._programs / "initdb", "-D", self.directory / "data", "-U", "skyvault", "--pwfile", secret]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--locale=C.UTF-8"]
        # an order that is not that of the bytes, as most servers have: names must not depend on it
        for order in (["--locale-provider=icu", "--icu-locale=en"], []):
            done = subprocess.run(
                [*map(str, command), *order], capture_output=True, text=True, user=self._user, cwd="/", timeout=START_S
            )
            if done.returncode == 0:
                return
            shutil.rmtree(self.directory / "data", ignore_errors=True)
        raise RuntimeError(f"initdb failed: {done.stderr}")

    def start(self) -> None:
        """Start it (again) and wait until it answers."""
        command = [self._programs / "postgres", "-D", self.directory / "data", "-p", self.port, "-k", self.directory]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", *self._speed]
        if shutil.which("setpriv"):
            # a test run that is killed takes its server with it
            command = ["setpriv", "--pdeathsig", "INT", *command]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=self._user, cwd="/"
            )
        import psycopg

        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {(self.directory / 'log').read_text()}") from None
                time.sleep(0.02)  # the only way to learn that another process listens

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: at once and in order; SIGQUIT: as if it had crashed."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(START_S)

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)


def _unprivileged() -> str | None:
    """Who runs the server: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeError("there is no user without privileges to run PostgreSQL")


@contextmanager
def schema(url: str, name: str | None = None) -> Iterator[str]:
    """The address of a new, empty schema in the database at ``url``, dropped in the end."""
    import psycopg

    name = name or f"test_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{name}"')  # type: ignore[arg-type, unused-ignore]
    yield f"{url}?options=-csearch_path%3D{name}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute(f'DROP SCHEMA "{name}" CASCADE')  # type: ignore[arg-type, unused-ignore]


def main() -> None:
    if programs() is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    server = Server(keeps=True)
    print(server.url, flush=True)
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        server.remove()


if __name__ == "__main__":
    main()

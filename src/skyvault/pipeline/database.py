"""The pipeline's database: SQLite in the data folder unless told otherwise, PostgreSQL by address; its sessions.

``Session()`` opens an ORM session on the database in use; :class:`SmartSession` leaves a session that was handed in
open; with ``NO_DB_SESSION = True`` it gives a session that is connected to nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from skyvault.pipeline import source as _mapped  # all tables must be known before any is made
from skyvault.pipeline.dataset import data_root
from skyvault.pipeline.faults import DatabaseError
from skyvault.pipeline.tables import SCHEMA_VERSION, Base, SchemaVersion

#: True: every SmartSession is one that is connected to nothing
NO_DB_SESSION = False
_BUSY_MS = 10_000


class Database:
    """One database of the pipeline. ``url`` as SQLAlchemy writes it: ``sqlite:////path/file.sqlite``,
    ``postgresql://user@host/name``. Raises DatabaseError where it cannot be used."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or default_url()
        self._maker: Any = None
        try:
            address = sa.make_url(self.url)
            if address.get_backend_name() == "postgresql" and address.drivername == "postgresql":
                address = address.set(drivername="postgresql+psycopg")
            self.is_sqlite = address.get_backend_name() == "sqlite"
            if self.is_sqlite and address.database and address.database != ":memory:":
                os.makedirs(os.path.dirname(os.path.abspath(address.database)), exist_ok=True)
            self.engine = sa.create_engine(address, pool_pre_ping=not self.is_sqlite)
        except (sa.exc.ArgumentError, ModuleNotFoundError, OSError) as error:
            raise DatabaseError(
                f"the database {_without_password(self.url)} cannot be used: {_first_line(error)}",
                hint="PostgreSQL needs the extra: pip install 'skyvault[postgres]'."
                if isinstance(error, ModuleNotFoundError) else "Give sqlite:////path/file or postgresql://host/name.",
            ) from None  # fmt: skip
        if self.is_sqlite:
            _tune_sqlite(self.engine)
        self._prepare()

    def _prepare(self) -> None:
        with self.explained(), self.engine.connect().execution_options(writing=True) as connection:
            with connection.begin():
                Base.metadata.create_all(connection)
                version = connection.execute(sa.select(SchemaVersion.version)).scalar()
                if version is None:
                    connection.execute(sa.insert(SchemaVersion).values(id=1, version=SCHEMA_VERSION))
            if version is not None and version != SCHEMA_VERSION:
                raise DatabaseError(
                    f"its tables are of version {version}, and this Skyvault works with version {SCHEMA_VERSION}",
                    where=_without_password(self.url),
                    hint="Use the Skyvault it was made with, or another database; raw data are taken from their files.",
                )
        self._maker = orm.sessionmaker(self.engine, expire_on_commit=False)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what the database says into one sentence."""
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InternalError, sa.exc.InterfaceError) as error:
            raise DatabaseError(
                f"the database cannot be used: {_first_line(error.orig or error)}",
                where=_without_password(self.url),
                hint="What was finished is kept; run again once it can be.",
            ) from None

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction that writes, all or nothing."""
        with self.explained(), self.engine.connect().execution_options(writing=True) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self.explained(), self.engine.connect() as connection:
            yield connection

    def session(self) -> orm.Session:
        """A new ORM session."""
        made: orm.Session = self._maker()
        return made

    def close(self) -> None:
        self.engine.dispose()


def default_url() -> str:
    """SKYVAULT_PIPELINE_DB, or a SQLite file in the data root."""
    return os.environ.get("SKYVAULT_PIPELINE_DB") or f"sqlite:///{data_root() / 'pipeline.sqlite'}"


def _tune_sqlite(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-8000"
        ):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        # a writer that began as a reader would fail at once when somebody else has written meanwhile
        is_writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _without_password(url: str) -> str:
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "given"


def _first_line(error: Any) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


# --- the database in use -------------------------------------------------------------------------------------------

_lock = threading.Lock()
_in_use: Database | None = None


def use(database: Database | str | None) -> Database:
    """From now on ``Session()`` is of this database."""
    global _in_use
    with _lock:
        if not isinstance(database, Database):
            url = database or default_url()
            if _in_use is not None and _in_use.url == url:
                return _in_use
            database = Database(url)
        _in_use = database
        return database


def current() -> Database:
    """The database in use; the default one when none was chosen."""
    return _in_use if _in_use is not None else use(None)


def Session() -> orm.Session:
    """A new session of the database in use: ``with Session() as session: ...``"""
    return current().session()


class _Nothing:
    """What a query of no database gives."""

    def all(self) -> list[Any]:
        return []

    def first(self) -> None:
        return None

    one = one_or_none = scalar = first

    def scalars(self) -> _Nothing:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class NoSession:
    """A session that is connected to nothing: it takes everything and finds nothing."""

    def _ignored(self, *args: Any, **kwargs: Any) -> None:
        return None

    add = add_all = delete = commit = rollback = flush = close = get = merge = refresh = expunge = _ignored

    def execute(self, *args: Any, **kwargs: Any) -> _Nothing:
        return _Nothing()

    scalars = execute


@contextlib.contextmanager
def SmartSession(given: Any = None) -> Iterator[Any]:
    """``None``: a new session, closed at the end; a session: itself, left open; False: one that does nothing.

    Raises TypeError for anything else.
    """
    if given is False or NO_DB_SESSION:
        yield NoSession()
    elif given is None or given is True:
        with Session() as session:
            yield session
    elif isinstance(given, orm.Session | NoSession | orm.scoped_session):
        yield given
    else:
        raise TypeError(f"a session, None or False is needed, not {type(given).__name__}")


assert _mapped is not None

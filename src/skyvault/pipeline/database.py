"""The pipeline's database: SQLite in the data folder unless told otherwise, PostgreSQL by address; its sessions.

What goes wrong in it (it is away, full, of another version) is a DatabaseError in one sentence, in sessions too.

``Session()`` opens an ORM session on the database in use; :class:`SmartSession` leaves a session that was handed in
open; with ``NO_DB_SESSION = True`` it gives a session that is connected to nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from skyvault.pipeline import source as _mapped  # all tables must be known before any is made
from skyvault.pipeline.dataset import data_root
from skyvault.pipeline.faults import DatabaseError
from skyvault.pipeline.tables import SCHEMA_VERSION, Base, SchemaVersion, json_text

#: True: every SmartSession is one that is connected to nothing
NO_DB_SESSION = False
_BUSY_MS = 10_000
_CONNECT_S = 10
#: "skypipe" in ASCII: the lock under which PostgreSQL makes or migrates a schema's tables
_PREPARING = 0x736B7970697065


class Database:
    """One database of the pipeline. ``url`` as SQLAlchemy writes it: ``sqlite:////path/file.sqlite``,
    ``postgresql://user@host/name``. Raises DatabaseError where it cannot be used."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or default_url()
        self._maker: Any = None
        self._place = without_password(self.url)
        options: dict[str, Any] = {}
        try:
            address = sa.make_url(self.url)
            if address.drivername in ("postgresql", "postgres"):
                address = address.set(drivername="postgresql+psycopg")
            if address.drivername == "postgresql+psycopg":
                options = {"connect_timeout": _CONNECT_S, "fallback_application_name": "skyvault"}
            self.is_sqlite = address.get_backend_name() == "sqlite"
            if self.is_sqlite and address.database and address.database != ":memory:":
                os.makedirs(os.path.dirname(os.path.abspath(address.database)), exist_ok=True)
            self.engine = sa.create_engine(
                address, pool_pre_ping=not self.is_sqlite, connect_args=options, json_serializer=json_text
            )
        except (sa.exc.ArgumentError, ImportError, OSError, ValueError) as error:
            raise DatabaseError(
                f"the database {self._place} cannot be used" + ("" if isinstance(error, ValueError) else
                f": {_first_line(error)}"),
                hint="PostgreSQL needs the extra: pip install 'skyvault[postgres]'."
                if isinstance(error, ImportError) else "Give sqlite:////path/file or postgresql://host/name.",
            ) from None  # fmt: skip
        self._password = address.password
        if self.is_sqlite:
            _tune_sqlite(self.engine)
        sa.event.listen(self.engine, "handle_error", self._explain)
        self._maker = orm.sessionmaker(self.engine, expire_on_commit=False)
        self._prepare()

    def __repr__(self) -> str:
        return f"<Database {self._place}>"

    def _prepare(self) -> None:
        """Make the tables of a new database, migrate those of an older one; nothing for one that is up to date."""
        version = None
        with self.reading() as connection:
            if sa.inspect(connection).has_table(SchemaVersion.__tablename__):
                version = connection.execute(sa.select(SchemaVersion.version)).scalar()
        if version == SCHEMA_VERSION:
            return
        if version is not None and version > SCHEMA_VERSION:
            raise DatabaseError(
                f"its tables are of version {version}, and this Skyvault works with version {SCHEMA_VERSION}",
                where=self._place,
                hint="Update Skyvault, or use another database; raw data are taken from their files.",
            )
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARING)))
            # another process may have been quicker
            Base.metadata.tables[SchemaVersion.__tablename__].create(connection, checkfirst=True)
            version = connection.execute(sa.select(SchemaVersion.version)).scalar()
            if version is None:
                Base.metadata.create_all(connection)
                connection.execute(sa.insert(SchemaVersion).values(id=1, version=SCHEMA_VERSION))
            elif version < SCHEMA_VERSION:
                from skyvault.pipeline.migrations import migrate

                migrate(connection, version)
                connection.execute(sa.update(SchemaVersion).values(version=SCHEMA_VERSION))

    def _explain(self, context: sa.ExceptionContext) -> None:
        """Whatever asked the database is told in one sentence what is wrong with it."""
        error = context.sqlalchemy_exception
        if context.is_pre_ping or not isinstance(
            error, sa.exc.OperationalError | sa.exc.InternalError | sa.exc.InterfaceError
        ):
            return
        raise self._fault(context.original_exception) from None

    def _fault(self, error: BaseException) -> DatabaseError:
        text = _first_line(error)
        if self._password:
            text = text.replace(str(self._password), "***")
        return DatabaseError(
            f"the database cannot be used: {text}",
            where=self._place,
            hint="What was finished is kept; run again once it can be.",
        )

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what the database's driver says by itself into one sentence."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            if not isinstance(error, sa.exc.OperationalError | sa.exc.InternalError | sa.exc.InterfaceError):
                raise
            raise self._fault(error.orig or error) from None
        except Exception as error:
            # COPY is done by the driver alone
            if type(error).__module__.partition(".")[0] != "psycopg":
                raise
            raise self._fault(error) from None

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


def insert_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert many rows, all with the names of the first: 0.02-0.1 ms a row.

    Values are turned into what the database keeps column by column, past SQLAlchemy's way, which goes cell by cell.
    PostgreSQL reads them as one stream (COPY), which takes 0.6 of the time of inserts.
    """
    if not rows:
        return
    dialect = connection.dialect
    names = list(rows[0])
    columns = [_as_kept(table.c[name], [row[name] for row in rows], dialect) for name in names]
    quoted = ", ".join(dialect.identifier_preparer.quote(name) for name in names)
    place = dialect.identifier_preparer.format_table(table)
    if dialect.driver == "psycopg":
        cursor: Any = connection.connection.cursor()
        with cursor, cursor.copy(f"COPY {place} ({quoted}) FROM STDIN") as stream:
            for row in zip(*columns, strict=True):
                stream.write_row(row)
        return
    marks = ", ".join("?" for _ in names)
    connection.exec_driver_sql(f"INSERT INTO {place} ({quoted}) VALUES ({marks})", list(zip(*columns, strict=True)))


def _as_kept(column: sa.Column[Any], values: list[Any], dialect: Any) -> list[Any]:
    change = column.type.dialect_impl(dialect).bind_processor(dialect)
    if change is None:
        return values
    nothing = change(None)
    return [nothing if value is None else change(value) for value in values]


def without_password(url: str) -> str:
    """An address for people's eyes: without password and options; "given" where it cannot be read."""
    try:
        return sa.make_url(url).set(query={}).render_as_string(hide_password=True)
    except (sa.exc.ArgumentError, ValueError):
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

"""Every limit and address an operator may set: environment variables SKYVAULT_* and skyvault.toml.

The fields below are the one table of defaults: service capabilities, the command line and
``docs/reference/settings.md`` are made from it. They are plain dataclass fields, not pydantic-settings, because every
server process reads them at its start: 20 ms instead of 170.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from skyvault.errors import ConfigError

PREFIX: Final = "SKYVAULT_"
FILE_NAME: Final = "skyvault.toml"
#: variables with our prefix that are no settings
NOT_SETTINGS: Final = frozenset({"SKYVAULT_DEBUG", "SKYVAULT_SHARED", "SKYVAULT_PYTHON"})

_SIZE_UNITS: Final = {"": 1, "b": 1} | {
    f"{letter}{suffix}": base ** (power + 1)
    for power, letter in enumerate("kmgt")
    for suffix, base in (("", 1000), ("b", 1000), ("ib", 1024))
}


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that never shows itself in logs, messages and tracebacks; ``reveal()`` gives it."""

    _text: str = dataclasses.field(repr=False)

    def __str__(self) -> str:
        return "**********"

    def reveal(self) -> str:
        return self._text


# --- what the machine has ----------------------------------------------------------------------------------------


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Memory this process may use: the machine's, or its control group's where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = Path(path).read_text().strip()
        except OSError:
            continue
        if limit.isdigit():
            return min(machine, int(limit))
    return machine


def default_home() -> Path:
    """Where published tables and the ledger live when nothing else is said."""
    import platformdirs

    return Path(platformdirs.user_data_dir("skyvault", appauthor=False))


# --- kinds of values: each takes what a variable, a file or a caller gives, or raises ValueError -----------------

Reader = Callable[[Any], Any]


def _whole(least: int, most: int | None = None) -> Reader:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("is not a whole number")
        try:
            number = int(value)
        except ValueError:
            raise ValueError("is not a whole number") from None
        return int(_within(number, least, most))

    return read


def _seconds(least: float = 0.0, most: float | None = None) -> Reader:
    """Seconds, days or another number that need not be whole."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError("is not a number")
        try:
            number = float(value)
        except ValueError:
            raise ValueError("is not a number") from None
        if not math.isfinite(number):
            raise ValueError("is not a finite number")
        return _within(number, least, most)

    return read


def _within(number: float, least: float, most: float | None) -> float:
    if number < least:
        raise ValueError(f"is less than {least:g}")
    if most is not None and number > most:
        raise ValueError(f"is more than {most:g}")
    return number


def _size(value: Any) -> int:
    """Bytes, as a number or with a unit: 100MB, 2 GiB."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value).lower())
    if isinstance(value, bool) or match is None or match[2] not in _SIZE_UNITS:
        raise ValueError("is not a size such as 500000, 100MB or 2GiB")
    return int(float(match[1]) * _SIZE_UNITS[match[2]])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text")
    return value


def _secret(value: Any) -> Secret:
    return value if isinstance(value, Secret) else Secret(_text(value))


def _database_address(value: Any) -> Secret:
    secret = _secret(value)
    if not secret.reveal().startswith(("postgresql://", "postgres://")):
        raise ValueError("is not an address such as postgresql://user:password@host:5432/name")
    return secret


def _path(value: Any) -> Path:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ValueError("is not a path")
    return Path(os.fspath(value)).expanduser().absolute()


def _words(value: Any) -> tuple[str, ...]:
    """Several words, as a list or separated by commas; lower case, for host names and addresses."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("is not a list of texts")
    return tuple(part.strip().lower() for part in parts if part.strip())


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError("is neither true nor false")
    return word in ("true", "yes", "on", "1")


def _one_of(*choices: str) -> Reader:
    def read(value: Any) -> str:
        if str(value).lower() not in choices:
            raise ValueError(f"is none of {', '.join(choices)}")
        return str(value).lower()

    return read


def _web_address(value: Any) -> str:
    if not re.fullmatch(r"https?://[^\s?#]+", str(value)):
        raise ValueError("does not begin with http:// or https://, or has a query or fragment")
    return str(value).rstrip("/")


def _endpoints(value: Any) -> dict[str, dict[str, str]]:
    if not isinstance(value, Mapping) or not all(isinstance(services, Mapping) for services in value.values()):
        raise ValueError("is not a table of archives, each with the addresses of its services")
    return {
        str(archive).lower(): {str(service).lower(): _web_address(url) for service, url in services.items()}
        for archive, services in value.items()
    }


def _politeness(value: Any) -> dict[str, dict[str, int]]:
    if not isinstance(value, Mapping) or not all(isinstance(manners, Mapping) for manners in value.values()):
        raise ValueError("is not a table of archives, each with connections and requests_per_minute")
    made: dict[str, dict[str, int]] = {}
    for archive, manners in value.items():
        if strange := {str(key).lower() for key in manners} - {"connections", "requests_per_minute"}:
            raise ValueError(f"has no {', '.join(sorted(strange))}, only connections and requests_per_minute")
        made[str(archive).lower()] = {
            str(key).lower(): _whole(int(str(key).lower() == "connections"))(number) for key, number in manners.items()
        }
    return made


def _addresses(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(url, str) for url in value.values()):
        raise ValueError("is not a table of names, each with an address")
    return {str(name).lower(): _web_address(url) for name, url in value.items()}


def _setting(default: Any, read: Reader, description: str, *, shown: str | None = None) -> Any:
    """A field: its default (a function where it depends on the machine), its kind, and what it means."""
    made: Callable[[], Any] = default if callable(default) else lambda: default
    metadata = {"read": read, "default": made, "description": description, "shown": shown or _told(default)}
    return dataclasses.field(default_factory=made, metadata=metadata)


def _told(default: Any) -> str:
    """A default as the reference page shows it."""
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, int | float):
        return f"{default:,.10g}"
    return f"`{default}`"


@dataclass(frozen=True, init=False, kw_only=True)
class Settings:
    """What an operator may set. Later wins: defaults, home's skyvault.toml, ./skyvault.toml, environment, arguments.

    Raises :class:`~skyvault.errors.ConfigError` with one sentence when a value is wrong or a name unknown. Frozen;
    :func:`dataclasses.replace` makes a changed copy.
    """

    # --- place
    home: Path = _setting(
        default_home,
        _path,
        "Data directory: published tables, the ledger, job results, temporary files.",
        shown="the user's data directory",
    )
    ledger: Secret | None = _setting(
        None,
        _database_address,
        "PostgreSQL database for the ledger (`postgresql://user:password@host/name`, needs `skyvault[postgres]`).",
        shown="`ledger.sqlite` in the data directory",
    )
    secret_file: Path | None = _setting(
        None,
        _path,
        "File (mode 0600) with the keys that sign links and cookies; made at the first start.",
        shown="`secret` in the data directory",
    )
    secret: Secret | None = _setting(
        None, _secret, "The signing key itself, where a file cannot be had; wins over the file."
    )

    # --- HTTP
    host: str = _setting("127.0.0.1", _text, "Address to listen on; 0.0.0.0 for all of this machine's.")
    port: int = _setting(8421, _whole(0, 65535), "Port to listen on; 0 takes a free one.")
    workers: int = _setting(1, _whole(1, 256), "Server processes; they share the published tables.")
    base_url: str | None = _setting(
        None,
        _web_address,
        "Address clients use when a proxy stands before the service (`https://data.example.org/vo`).",
        shown="`http://HOST:PORT`",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (), _words, "Addresses whose X-Forwarded-* headers are believed; comma-separated."
    )
    requests_per_minute: int = _setting(
        600, _whole(0), "Requests a minute from one remote address; 0: no limit. This machine itself is not limited."
    )
    client_stall_s: float = _setting(60.0, _seconds(0.1), "A client that reads nothing for so long is dropped.")
    stop_grace_s: float = _setting(30.0, _seconds(), "How long running requests may go on when the server stops.")
    log_level: str = _setting("info", _one_of("debug", "info", "warning", "error"), "What the log tells.")

    # --- the service presents itself
    title: str = _setting("Skyvault", _text, "Name of the service on its pages and in registry records.")
    authority: str = _setting(
        "skyvault.invalid", _text, "Naming authority of the identifiers given out (`ivo://AUTHORITY/...`)."
    )
    oai_page_records: int = _setting(200, _whole(1, 5000), "Records of one page of the registry's lists (`/oai`).")
    registry: bool = _setting(
        True, _flag, "Whether queries see the registry of what is published and harvested (schema `rr`, RegTAP)."
    )
    registry_full: bool = _setting(
        False, _flag, "Whether this registry harvests the whole Virtual Observatory, and says so (RegTAP)."
    )
    publisher: str | None = _setting(None, _text, "Who publishes: an institute's or a person's name.")
    contact: str | None = _setting(None, _text, "Mail address or page where users find help.")

    # --- engine
    memory_limit: int = _setting(
        lambda: memory_bytes() // 2,
        _size,
        "Memory of the query engine, shared by all workers.",
        shown="half of the machine's memory",
    )
    threads: int = _setting(
        cores, _whole(1, 4096), "Threads of the query engine, shared by all workers.", shown="cores"
    )
    temp_bytes: int = _setting(
        50_000_000_000, _size, "Disk space that running queries and results in the making may use."
    )
    attached_snapshots: int = _setting(
        64, _whole(4), "Published tables a worker keeps open; the least recently used is closed first."
    )
    snapshot_grace_s: float = _setting(
        600.0, _seconds(), "How long the file of a replaced table stays for queries that still read it."
    )

    # --- queries
    maxrec_default: int = _setting(20_000, _whole(0), "Rows of a result when the client sets no MAXREC.")
    maxrec_hard: int = _setting(20_000_000, _whole(0), "Rows of a result whatever the client sets.")
    sync_time_s: float = _setting(60.0, _seconds(0.001), "Time of a synchronous query; longer ones belong to async.")
    async_time_s: float = _setting(7200.0, _seconds(0.001), "Time of an asynchronous job (EXECUTIONDURATION).")
    query_bytes: int = _setting(1_000_000, _size, "Length of a query's text.")
    query_nesting: int = _setting(100, _whole(1, 150), "Depth of parentheses and subqueries in a query (not used yet).")

    # --- uploads
    upload_bytes: int = _setting(100_000_000, _size, "Size of the tables uploaded with a query.")
    upload_rows: int = _setting(10_000_000, _whole(0), "Rows of a table uploaded with a query.")
    upload_tables: int = _setting(16, _whole(0), "Tables uploaded with one query.")
    upload_columns: int = _setting(1000, _whole(1), "Columns of an uploaded table.")
    upload_hosts: tuple[str, ...] = _setting(
        (), _words, "Host names an UPLOAD may be fetched from by URL; comma-separated. None: only inline uploads."
    )

    # --- jobs
    job_life_days: float = _setting(7.0, _seconds(0.0001), "How long a job and its result are kept (DESTRUCTION).")
    jobs_per_user: int = _setting(4, _whole(1), "Jobs of one user that run at once.")
    jobs_in_all: int = _setting(
        lambda: 2 * cores(), _whole(1), "Jobs that run at once, over all workers.", shown="2 x cores"
    )
    jobs_waiting: int = _setting(10_000, _whole(1), "Jobs that may wait in the queue; more are turned away.")
    wait_s: float = _setting(60.0, _seconds(0, 600), "Longest WAIT of a client for a job's phase to change.")

    # --- hooks of resources
    actions: bool = _setting(True, _flag, "Whether this server runs the actions of published resources when due.")
    hook_processes: int = _setting(
        2, _whole(1, 64), "Processes of a worker that make products on demand by a resource's hooks.py."
    )
    hook_memory_bytes: int = _setting(4_000_000_000, _size, "Memory of one such process.")
    hook_result_bytes: int = _setting(2_000_000_000, _size, "Size of a product that is made on demand.")

    # --- accounts
    user_token_life_days: float = _setting(
        365.0, _seconds(0.0001), "Longest life of a user's token; a quarter of it when nothing is asked for."
    )
    user_session_days: float = _setting(7.0, _seconds(0.0001), "How long a login on the web pages lasts.")
    oidc_issuer: str | None = _setting(
        None,
        _web_address,
        "OpenID Connect: the login service, by the address it calls itself (needs `skyvault[oidc]`).",
    )
    oidc_client_id: str | None = _setting(None, _text, "OpenID Connect: what the login service calls this service.")
    oidc_client_secret_file: Path | None = _setting(
        None, _path, "OpenID Connect: file (mode 0600) with the client's secret; none for a public client."
    )
    oidc_title: str = _setting("your institute", _text, "OpenID Connect: what the login page calls the login service.")
    oidc_new_users: bool = _setting(
        True, _flag, "OpenID Connect: whether a first login makes an account; if not, accounts must be linked."
    )

    # --- user tables
    user_tables: bool = _setting(False, _flag, "Whether users may keep tables here (`tap_user.NAME`).")
    user_tables_anonymous: bool = _setting(
        True,
        _flag,
        "Whether that includes those who are not logged in, in one shared space (with `user_tables`).",
    )
    user_table_bytes: int = _setting(2_000_000_000, _size, "Size of one uploaded user table.")
    user_table_rows: int = _setting(200_000_000, _whole(1), "Rows of one user table.")
    user_quota_bytes: int = _setting(20_000_000_000, _size, "Space of one user, as stored.")
    user_quota_tables: int = _setting(1000, _whole(0), "Tables of one user.")
    user_table_life_days: float = _setting(
        7.0, _seconds(0.0001), "How long a user table is kept, unless its owner asks."
    )
    user_table_life_days_most: float = _setting(365.0, _seconds(0.0001), "How long an owner may ask it to be kept.")
    user_anonymous_quota_bytes: int = _setting(
        2_000_000_000, _size, "Space of all who are not logged in together, as stored."
    )
    user_anonymous_quota_tables: int = _setting(1000, _whole(0), "Tables of all who are not logged in together.")
    user_anonymous_life_days: float = _setting(
        1.0, _seconds(0.0001), "How long a table of somebody who is not logged in is kept."
    )
    user_upload_life_days: float = _setting(
        1.0, _seconds(0.0001), "How long an upload in pieces is kept after its last byte, to be continued."
    )

    # --- archives
    endpoints: dict[str, dict[str, str]] = _setting(
        dict,
        _endpoints,
        "Other addresses of archives: `SKYVAULT_ENDPOINTS__ARCHIVE__SERVICE=URL`.",
        shown="none",
    )
    credentials_file: Path | None = _setting(
        None,
        _path,
        "Ini file (mode 0600) with a section for each archive's host: `token`, `api_key`, or `user` and `password`.",
    )
    politeness: dict[str, dict[str, int]] = _setting(
        dict,
        _politeness,
        "How hard an archive is asked: `SKYVAULT_POLITENESS__ARCHIVE__CONNECTIONS` at once and"
        " `SKYVAULT_POLITENESS__ARCHIVE__REQUESTS_PER_MINUTE` (0: any number).",
        shown="as each mission declares",
    )
    archive_attempts: int = _setting(5, _whole(1, 100), "How often an archive is asked that does not answer.")
    archive_backoff_s: float = _setting(
        0.5, _seconds(), "Pause before an archive is asked again; it doubles each time."
    )
    archive_silence_s: float = _setting(60.0, _seconds(0.01), "How long an archive may keep silent in an answer.")
    services: dict[str, str] = _setting(
        dict,
        _addresses,
        "Short names of TAP services for `get_tap_service`: `SKYVAULT_SERVICES__NAME=URL`.",
        shown="none",
    )

    def __init__(self, **given: Any) -> None:
        values = _merged(_from_files(given), _from_environment())
        values.update(given)
        fields = {field.name: field for field in dataclasses.fields(self)}
        _refuse_unknown(values, fields)
        for name, field in fields.items():
            if name not in values or values[name] is None:
                value = field.metadata["default"]()
            else:
                try:
                    value = field.metadata["read"](values[name])
                except ValueError as error:
                    shown = "" if name in ("secret", "ledger") else f" = {str(values[name])!r}"
                    raise ConfigError(f"{name}{shown} {error}", where="settings") from None
            object.__setattr__(self, name, value)
        if self.maxrec_default > self.maxrec_hard:
            raise ConfigError(
                f"maxrec_default ({self.maxrec_default}) is more than maxrec_hard ({self.maxrec_hard})",
                where="settings",
            )
        if self.user_table_life_days > self.user_table_life_days_most:
            raise ConfigError("user_table_life_days is more than user_table_life_days_most", where="settings")

    @property
    def public_url(self) -> str:
        """The address clients use, without a slash at the end."""
        if self.base_url:
            return self.base_url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def endpoint(self, archive: str, service: str, default: str) -> str:
        """The address of an archive's service: the operator's, or ``default``."""
        return self.endpoints.get(archive.lower(), {}).get(service.lower(), default)


# --- where values come from --------------------------------------------------------------------------------------


def _from_files(given: Mapping[str, Any]) -> dict[str, Any]:
    """The data directory's skyvault.toml, and over it that of the current directory."""
    here = _read_toml(Path.cwd() / FILE_NAME)
    home = given.get("home") or os.environ.get(f"{PREFIX}HOME") or here.get("home") or default_home()
    return _merged(_read_toml(Path(str(home)).expanduser() / FILE_NAME), here)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file cannot be read: {error}", where=str(path)) from None
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the file is not valid TOML: {error}", where=str(path)) from None


def _from_environment() -> dict[str, Any]:
    """SKYVAULT_NAME=value, and SKYVAULT_NAME__KEY__KEY=value for tables."""
    known = {f"{PREFIX}{field.name}".upper(): field.name for field in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for variable, value in os.environ.items():
        first, *keys = variable.upper().split("__")
        if not first.startswith(PREFIX) or first in NOT_SETTINGS:
            continue
        if first not in known:
            _refuse_misspelt(variable, first, known)
        elif not keys:
            values[known[first]] = value
        else:
            level = values.setdefault(known[first], {})
            for key in keys[:-1]:
                level = level.setdefault(key.lower(), {})
            level[keys[-1].lower()] = value
    return values


def _refuse_misspelt(variable: str, name: str, known: Mapping[str, str]) -> None:
    """A variable that is nearly a setting's name would otherwise be silently without effect."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    if close:
        raise ConfigError(
            "there is no such setting", where=f"environment variable {variable}", hint=f"Did you mean {close[0]}?"
        )


def _refuse_unknown(values: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name in values:
        if name not in known:
            import difflib

            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else "docs/reference/settings.md lists them all."
            raise ConfigError(f"there is no setting {name!r}", where="settings", hint=hint)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two documents as one; tables are joined key by key, and ``above`` wins."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result

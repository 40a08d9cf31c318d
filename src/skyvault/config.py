"""Every limit and address an operator may set: environment variables SKYVAULT_* and skyvault.toml.

The fields below are the one table of defaults: service capabilities, the command line and
``docs/reference/settings.md`` are made from it.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import platformdirs
from pydantic import BaseModel, ByteSize, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from skyvault.errors import ConfigError

PREFIX: Final = "SKYVAULT_"
FILE_NAME: Final = "skyvault.toml"
#: variables with our prefix that are no settings
NOT_SETTINGS: Final = frozenset({"SKYVAULT_DEBUG", "SKYVAULT_SHARED", "SKYVAULT_PYTHON"})

Words = Annotated[tuple[str, ...], NoDecode]


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
    return Path(platformdirs.user_data_dir("skyvault", appauthor=False))


def _computed(text: str) -> dict[str, str]:
    """Says in the documentation what a default computed from the machine is."""
    return {"default_text": text}


class Settings(BaseSettings):
    """What an operator may set. Later wins: defaults, home's skyvault.toml, ./skyvault.toml, environment, arguments.

    Raises :class:`~skyvault.errors.ConfigError` with one sentence when a value is wrong or a name unknown.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=False,
        validate_default=False,
    )

    # --- place -------------------------------------------------------------------------------------------------
    home: Path = Field(
        default_factory=default_home,
        description="Data directory: published tables, the ledger, job results, temporary files.",
        json_schema_extra=_computed("the user's data directory"),
    )
    secret_file: Path | None = Field(
        None,
        description="File (mode 0600) with the keys that sign links and cookies; made at the first start.",
        json_schema_extra=_computed("`secret` in the data directory"),
    )
    secret: SecretStr | None = Field(
        None, description="The signing key itself, where a file cannot be had (containers); wins over the file."
    )

    # --- HTTP --------------------------------------------------------------------------------------------------
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all of this machine's.")
    port: int = Field(8421, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=256, description="Server processes; they share the published tables.")
    base_url: str | None = Field(
        None,
        description="Address clients reach the service by, when a proxy stands before it (https://data.example.org/vo).",
        json_schema_extra=_computed("`http://HOST:PORT`"),
    )
    trusted_proxies: Words = Field(
        (), description="Addresses whose X-Forwarded-* headers are believed; comma-separated."
    )
    requests_per_minute: int = Field(600, ge=0, description="Requests a minute from one anonymous address; 0: no limit.")
    client_stall_s: float = Field(60.0, gt=0, description="A client that reads nothing for so long is dropped.")
    stop_grace_s: float = Field(30.0, ge=0, description="How long running requests may go on when the server stops.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What the log tells.")
    log_format: Literal["text", "json"] = Field("text", description="Log lines for people or for machines.")

    # --- the service presents itself -----------------------------------------------------------------------------
    title: str = Field("Skyvault", description="Name of the service on its pages and in registry records.")
    authority: str = Field(
        "skyvault.invalid", description="Naming authority of the identifiers given out (ivo://AUTHORITY/...)."
    )
    publisher: str | None = Field(None, description="Who publishes: an institute's or a person's name.")
    contact: str | None = Field(None, description="Mail address or page where users find help.")

    # --- engine ------------------------------------------------------------------------------------------------
    memory_limit: ByteSize = Field(
        default_factory=lambda: ByteSize(memory_bytes() // 2),
        gt=0,
        description="Memory of the query engine, shared by all workers.",
        json_schema_extra=_computed("half of the machine's memory"),
    )
    threads: int = Field(
        default_factory=cores,
        ge=1,
        description="Threads of the query engine, shared by all workers.",
        json_schema_extra=_computed("cores"),
    )
    temp_bytes: ByteSize = Field(
        ByteSize(50_000_000_000), gt=0, description="Disk space that running queries and results in the making may use."
    )
    attached_snapshots: int = Field(
        64, ge=4, description="Published tables a worker keeps open; the least recently used is closed first."
    )
    snapshot_grace_s: float = Field(
        600.0, ge=0, description="How long the file of a replaced table stays for queries that still read it."
    )

    # --- queries -----------------------------------------------------------------------------------------------
    maxrec_default: int = Field(20_000, ge=0, description="Rows of a result when the client sets no MAXREC.")
    maxrec_hard: int = Field(20_000_000, ge=0, description="Rows of a result whatever the client sets.")
    sync_time_s: float = Field(60.0, gt=0, description="Time of a synchronous query; longer ones belong to async.")
    async_time_s: float = Field(7200.0, gt=0, description="Time of an asynchronous job (EXECUTIONDURATION).")
    query_bytes: ByteSize = Field(ByteSize(1_000_000), gt=0, description="Length of a query's text.")
    query_nesting: int = Field(100, ge=1, le=150, description="Depth of parentheses and subqueries in a query.")

    # --- uploads -----------------------------------------------------------------------------------------------
    upload_bytes: ByteSize = Field(ByteSize(100_000_000), ge=0, description="Size of the tables uploaded with a query.")
    upload_rows: int = Field(10_000_000, ge=0, description="Rows of a table uploaded with a query.")
    upload_tables: int = Field(16, ge=0, description="Tables uploaded with one query.")
    upload_columns: int = Field(1000, ge=1, description="Columns of an uploaded table.")
    upload_hosts: Words = Field(
        (), description="Host names an UPLOAD may be fetched from by URL; comma-separated. None: only inline uploads."
    )

    # --- jobs --------------------------------------------------------------------------------------------------
    job_life_days: float = Field(7.0, gt=0, description="How long a job and its result are kept (DESTRUCTION).")
    jobs_per_user: int = Field(4, ge=1, description="Jobs of one user that run at once.")
    jobs_in_all: int = Field(
        default_factory=lambda: 2 * cores(),
        ge=1,
        description="Jobs that run at once, over all workers.",
        json_schema_extra=_computed("2 x cores"),
    )
    jobs_waiting: int = Field(10_000, ge=1, description="Jobs that may wait in the queue; more are turned away.")
    wait_s: float = Field(60.0, ge=0, le=600, description="Longest WAIT of a client for a job's phase to change.")

    # --- user tables -------------------------------------------------------------------------------------------
    user_table_bytes: ByteSize = Field(ByteSize(2_000_000_000), ge=0, description="Size of one uploaded user table.")
    user_quota_bytes: ByteSize = Field(ByteSize(20_000_000_000), ge=0, description="Space of one user.")
    user_table_life_days: float = Field(7.0, gt=0, description="How long a user table is kept, unless its owner asks.")
    user_table_life_days_most: float = Field(365.0, gt=0, description="How long an owner may ask it to be kept.")

    # --- archives ----------------------------------------------------------------------------------------------
    endpoints: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="Other addresses for archives: SKYVAULT_ENDPOINTS__ARCHIVE__SERVICE=URL.",
        json_schema_extra=_computed("none"),
    )

    def __init__(self, **values: Any) -> None:
        _refuse_misspelt_variables(type(self).model_fields)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _sentence(error, type(self).model_fields) from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"the file is not valid TOML: {error}", where=FILE_NAME) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _TomlFiles(settings_cls, init_settings().get("home"))

    @field_validator("trusted_proxies", "upload_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("upload_hosts")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower() for host in value)

    @field_validator("home", "secret_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("base_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")) or "?" in value or "#" in value:
            raise ValueError("a base URL begins with http:// or https:// and has neither query nor fragment")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.maxrec_default > self.maxrec_hard:
            raise ValueError(f"maxrec_default ({self.maxrec_default}) is larger than maxrec_hard ({self.maxrec_hard})")
        if self.user_table_life_days > self.user_table_life_days_most:
            raise ValueError("user_table_life_days is longer than user_table_life_days_most")
        return self

    @property
    def public_url(self) -> str:
        """The address clients use, without a slash at the end."""
        if self.base_url:
            return self.base_url
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    def endpoint(self, archive: str, service: str, default: str) -> str:
        """The address of an archive's service: the operator's, or ``default``."""
        return self.endpoints.get(archive.lower(), {}).get(service.lower(), default)


class _TomlFiles(PydanticBaseSettingsSource):
    """The two skyvault.toml: that of the data directory, and over it that of the current directory."""

    def __init__(self, settings_cls: type[BaseSettings], home: Any) -> None:
        super().__init__(settings_cls)
        here = _read_toml(Path.cwd() / FILE_NAME)
        place = home or os.environ.get(f"{PREFIX}HOME") or here.get("home") or default_home()
        there = _read_toml(Path(str(place)).expanduser() / FILE_NAME)
        self._values = _merged(there, here)

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file is not valid TOML: {error}", where=str(path)) from None
    except OSError as error:
        raise ConfigError(f"the file cannot be read: {error.strerror}", where=str(path)) from None


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two documents as one; tables are joined key by key, and ``above`` wins."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _refuse_misspelt_variables(fields: Any) -> None:
    """A variable that is nearly a setting's name would otherwise be silently without effect."""
    known = {f"{PREFIX}{name.upper()}" for name in fields}
    for variable in os.environ:
        name = variable.upper()
        if not name.startswith(PREFIX) or name in known | NOT_SETTINGS or name.partition("__")[0] in known:
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if close:
            raise ConfigError(
                "there is no such setting", where=f"environment variable {variable}", hint=f"Did you mean {close[0]}?"
            )


def _sentence(error: ValidationError, fields: Any) -> ConfigError:
    """All that is wrong, in one sentence; secrets are never shown."""
    parts: list[str] = []
    hint = None
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            parts.append(f"there is no setting {name!r}")
            close = difflib.get_close_matches(name, list(fields), n=1)
            hint = f"Did you mean {close[0]}?" if close else "docs/reference/settings.md lists them all."
            continue
        message = problem["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        shown = "" if not name or name.startswith("secret") else f" = {problem['input']!r}"
        parts.append(f"{name}{shown}: {message}" if name else message)
    return ConfigError("; ".join(parts), where="settings", hint=hint)


class Setting(BaseModel):
    """One line of the settings reference."""

    name: str
    variable: str
    default: str
    description: str


def reference() -> tuple[Setting, ...]:
    """All settings in the order of the code, as the documentation shows them."""
    rows = []
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        text = extra.get("default_text")
        rows.append(
            Setting(
                name=name,
                variable=f"{PREFIX}{name.upper()}",
                default=str(text) if text else _shown(field.default),
                description=field.description or "",
            )
        )
    return tuple(rows)


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, ByteSize):
        return f"`{value.human_readable(decimal=True, separator=' ')}`"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{value}`"


def reference_markdown() -> str:
    """The text of ``docs/reference/settings.md``."""
    lines = [
        "# Settings",
        "",
        "<!-- Made by `python -m skyvault.config`; a test checks that it is up to date. -->",
        "",
        "Every setting has a default that works. Set one by an environment variable, or by its name in a file",
        f"`{FILE_NAME}` in the data directory or in the current directory; what is said later in this list wins:",
        "defaults, the data directory's file, the current directory's file, environment, command line.",
        "Sizes may be written with units (`100MB`, `2GiB`).",
        "",
        "| Setting | Variable | Default | Meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{row.name}` | `{row.variable}` | {row.default} | {row.description} |" for row in reference()]
    lines += [
        "",
        "```toml",
        "# skyvault.toml",
        'title = "Data Centre of the Lab"',
        'base_url = "https://data.example.org/vo"',
        "workers = 4",
        'memory_limit = "8GB"',
        'upload_hosts = ["data.example.org"]',
        "",
        "[endpoints.heasarc]",
        'tap = "https://heasarc.example.org/tap"',
        "```",
        "",
        "Three more variables are no settings: `SKYVAULT_DEBUG=1` shows the traceback of a fault, `SKYVAULT_SHARED`",
        "names the directory of real data for the tests, `SKYVAULT_PYTHON` the Python that `./run setup` uses.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(reference_markdown(), end="")

"""What all tests share: the real data, a data directory of their own, a real server, and a closed network.

Rules: only loopback may be connected to; tests of real data skip aloud when there is none; in continuous integration
(CI=true) such a skip is a failure, and so is that of a test whose foreign client is missing.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import ledgers
import postgresql_server
from processes import PROJECT, environment, free_port

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
#: marks whose tests may be skipped on a desk, but not in continuous integration
MUST_RUN_IN_CI = ("stilts", "shared", "postgresql")
START_S = 30.0

hypothesis.settings.register_profile(
    "desk", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("slow", parent=hypothesis.settings.get_profile("desk"), max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "desk"))


# --- the network is closed -----------------------------------------------------------------------------------------


def _is_loopback(host: Any) -> bool:
    if host is None or host in ("", b"", "localhost", b"localhost"):
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            raise RuntimeError(f"tests may connect to loopback only, not to {address[0]!r}")
    elif event == "socket.getaddrinfo" and not _is_loopback(arguments[0]):
        raise RuntimeError(f"tests may look up loopback only, not {arguments[0]!r}")


# an audit hook sees every connection of this process, whichever library makes it
sys.addaudithook(_guard)


# --- which tests run -----------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the long suites too")
    parser.addoption("--ledger", choices=("sqlite", "postgresql"), default="sqlite", help="where ledgers are kept")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--slow"):
        hypothesis.settings.load_profile("slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    has_stilts = shutil.which("stilts") is not None
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="long: run with --slow"))
        if "stilts" in item.keywords and not has_stilts:
            item.add_marker(pytest.mark.skip(reason="the program stilts is missing: apt-get install stilts"))
        if "postgresql" in item.keywords and postgresql_server.programs() is None:
            item.add_marker(pytest.mark.skip(reason="PostgreSQL is missing: apt-get install postgresql"))
        if "shared" in item.keywords and _shared_directory() is None:
            item.add_marker(pytest.mark.skip(reason=_no_shared_data()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and _must_run(item, report):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which continuous integration does not accept: {reason}"
    return report


def _must_run(item: pytest.Item, report: Any) -> bool:
    text = str(report.longrepr)
    if "long: run with --slow" in text:
        return False
    return any(mark in item.keywords for mark in MUST_RUN_IN_CI) or "SKYVAULT_SHARED" in text or "stilts" in text


# --- real data -----------------------------------------------------------------------------------------------------


def _shared_directory() -> Path | None:
    directory = Path(os.environ.get("SKYVAULT_SHARED", PROJECT.parent / "shared"))
    return directory if (directory / "data").is_dir() else None


def _no_shared_data() -> str:
    return "no real data: set SKYVAULT_SHARED to the directory that holds data/stars/tycho2.parquet"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of collected real data (stars in data/stars, VO documents in data/vo_docs ...)."""
    directory = _shared_directory()
    if directory is None:
        pytest.skip(_no_shared_data())
    return directory


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """``shared``/data."""
    return shared / "data"


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgresql_server.Server]:
    """A PostgreSQL server of this test process's own."""
    if postgresql_server.programs() is None:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    server = postgresql_server.Server()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgresql_url(postgresql: postgresql_server.Server) -> str:
    """Its address, with user and password; see ``postgresql_schema`` for a place that is empty."""
    return postgresql.url


@pytest.fixture(scope="session", autouse=True)
def ledger_variables(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], dict[str, str]]]:
    """The environment in which a process works with the ledger of this data directory (see ``--ledger``)."""
    if request.config.getoption("--ledger") == "sqlite":
        yield lambda home: {}
        return
    url = request.getfixturevalue("postgresql_url")
    with pytest.MonkeyPatch.context() as patch:
        for _ in ledgers.redirect(patch, url):
            yield lambda home: {"SKYVAULT_LEDGER": ledgers.address_of(home, url)}


@pytest.fixture
def postgresql_schema(postgresql_url: str) -> Iterator[str]:
    """The address of an empty schema in it."""
    with postgresql_server.schema(postgresql_url) as address:
        yield address


# --- a place of one's own ------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the person at this machine has set must not decide whether a test passes."""
    for variable in list(os.environ):
        if variable.startswith("SKYVAULT_") and variable != "SKYVAULT_SHARED":
            monkeypatch.delenv(variable)
    monkeypatch.setenv("SKYVAULT_HOME", str(tmp_path_factory.getbasetemp() / "nobody-has-published-here"))


@pytest.fixture(scope="module", autouse=True)
def _connections_end_with_their_module() -> Iterator[None]:
    """What a process keeps open for each data directory would add up: every test has one of its own."""
    yield
    connections = sys.modules.get("skyvault.missions.connections")
    if connections is not None:
        connections.close_all()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data directory, and SKYVAULT_HOME pointing at it."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("SKYVAULT_HOME", str(directory))
    return directory


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture
def skyvault(tmp_path: Path, ledger_variables: Callable[[Path], dict[str, str]]) -> Callable[..., Answer]:
    """Runs the command line in a process of its own, in an empty directory: ``skyvault("publish", file)``."""

    def run(*arguments: str | Path, stdin: str | None = None, env: dict[str, str] | None = None) -> Answer:
        variables = environment() | (env or {})
        words = list(map(str, arguments))
        place = words[words.index("--home") + 1] if "--home" in words else variables["SKYVAULT_HOME"]
        done = subprocess.run(
            [sys.executable, "-m", "skyvault.cli", *words],
            cwd=tmp_path,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=100,
            env=variables | ledger_variables(Path(place)),
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


# --- a real server -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A server process on loopback."""

    base_url: str
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def tap(self) -> str:
        return f"{self.base_url}/tap"


@pytest.fixture(scope="session")
def start_server(
    tmp_path_factory: pytest.TempPathFactory, ledger_variables: Callable[[Path], dict[str, str]]
) -> Iterator[Callable[..., Server]]:
    """``start_server(home, workers=2, SKYVAULT_MAXREC_DEFAULT="10")`` gives a running :class:`Server`."""
    running: list[subprocess.Popen[bytes]] = []

    def start(home: Path, *, workers: int = 1, **variables: str) -> Server:
        port = free_port()
        log = tmp_path_factory.mktemp("server") / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "skyvault.cli", "serve", "--port", str(port), "--workers", str(workers)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment() | {"SKYVAULT_HOME": str(home)} | ledger_variables(home) | variables,
            )
        running.append(process)
        server = Server(f"http://127.0.0.1:{port}", home, process)
        deadline = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(f"{server.tap}/availability", timeout=5) as answer:
                    answer.read()
                return server
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the server did not start:\n{log.read_text()}")
                time.sleep(0.02)  # the only way to learn that another process listens

    yield start
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the demo's tables: demo.stars (119,288 rows) and some rows in ivoa.ObsCore."""
    import pyarrow.parquet as pq

    from skyvault.cli import demo_sky
    from skyvault.cli.publish import read_overrides
    from skyvault.config import Settings
    from skyvault.publish.publisher import publish

    directory = tmp_path_factory.mktemp("small")
    home = directory / "home"
    data = PROJECT / "src" / "skyvault" / "demo_data"
    settings = Settings(home=home)
    publish(
        data / "stars.parquet",
        name="demo.stars",
        home=home,
        settings=settings,
        overrides=read_overrides(data / "stars.yaml", ()),
    )
    survey = demo_sky.exposures()[:60]
    paths = demo_sky.write_pictures(directory / "images", pq.read_table(data / "stars.parquet"), survey)
    pq.write_table(demo_sky.observations(survey, paths), directory / "observations.parquet")
    publish(directory / "observations.parquet", name="demo.obs", home=home, settings=settings, obscore=True)
    return home


@pytest.fixture(scope="session")
def server(small_home: Path, start_server: Callable[..., Server]) -> Server:
    """A running server of ``small_home``."""
    return start_server(small_home)


# --- the archives of the world, in small ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def running_sandbox(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Any]:
    """All archives of the sandbox; what they hold is made once for all test processes."""
    from skyvault.sandbox import Sandbox

    base = tmp_path_factory.getbasetemp()
    with Sandbox((base if worker_id == "master" else base.parent) / "sandbox") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Any) -> Iterator[Any]:
    """The running :class:`skyvault.sandbox.Sandbox`, without faults before and after the test."""
    running_sandbox.faults.clear()
    yield running_sandbox
    running_sandbox.faults.clear()


@pytest.fixture
def sandbox_settings(sandbox: Any, tmp_path: Path) -> Any:
    """Settings that send every request to the sandbox instead of the real archives; an empty data directory."""
    from skyvault.config import Settings

    return Settings(home=tmp_path / "home", endpoints=sandbox.endpoints())

"""Your own tables at a service, from Python and from the command line."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from astropy.time import Time
from pyarrow import parquet

from serve.accounts import make_token, make_users
from skyvault.cli.main import run
from skyvault.errors import Conflict, Forbidden, NotFound, ParameterError, SkyvaultError, UsageError
from skyvault.find import user_table_sending
from skyvault.find import user_tables as module
from skyvault.find.tap import Service, get_tap_service
from skyvault.net.retry import RetryPolicy


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Any:
    home = tmp_path_factory.mktemp("client") / "home"
    make_users(home, "alice", "bob", groups={"survey": ("alice", "bob")})
    return start_server(home, SKYVAULT_USER_TABLES="true", SKYVAULT_SNAPSHOT_GRACE_S="0")


@pytest.fixture
def alice(site: Any) -> Iterator[Service]:
    yield service_of(site, "alice")
    from skyvault.ledger.ledger import open_ledger

    with open_ledger(site.home / "ledger.sqlite") as ledger:
        ledger.user_tables.drop_all(None)


def service_of(site: Any, name: str, base_url: str = "") -> Service:
    token = make_token(site.home, name)
    return get_tap_service(f"{base_url or site.base_url}/tap", token=token, retries=RetryPolicy(2, 0.01))


def stars(rows: int = 50) -> Table:
    made = Table({"ra": np.linspace(10, 11, rows), "dec": np.linspace(-5, 5, rows)})
    made["ra"].unit = made["dec"].unit = "deg"
    made["3.6mag"] = MaskedColumn(
        np.arange(rows, dtype=np.float32), mask=np.arange(rows) == 3, description="brightness"
    )
    made["k"] = np.arange(rows)
    made["name"] = [f"star {n}" for n in range(rows)]
    made["flux"] = np.ones((rows, 2, 3))
    made["ra"].meta["ucd"], made["dec"].meta["ucd"] = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
    return made


class Steps:
    """Progress as it was told."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int | None]] = []
        self.done = 0

    def start(self, what: str, total: int | None = None) -> None:
        self.started.append((what, total))

    def advance(self, by: int = 1) -> None:
        self.done += by

    def finish(self) -> None:
        pass


def test_the_life_of_a_table(alice: Service, site: Any, tmp_path: Path) -> None:
    tables, steps = alice.user_tables, Steps()
    made = tables.upload(stars(), "mine", progress=steps)
    assert (made.name, made.rows) == ("tap_user.mine", 50)
    assert set(made.indexed) >= {"ra", "dec"}
    assert made.ends is not None and made.ends > datetime.now(UTC) + timedelta(days=6)
    assert steps.done == steps.started[0][1]
    assert [one.name for one in tables] == ["tap_user.mine"] and "mine" in tables and "other" not in tables
    assert alice.search('SELECT COUNT("3.6mag") AS n FROM tap_user.mine')["n"][0] == 49
    assert tables.append("mine", stars(5)["ra", "dec", "k"]).rows == 55
    assert "k" in tables.index("mine", column="k").indexed
    tables.describe("mine", "A sample")
    tables.describe("mine", column="k", ucd="meta.id")
    assert tables.rename("mine", "sample").description == "A sample"
    assert tables.share("sample", user="bob") == "tap_user.alice.sample"
    assert [one["name"] for one in tables.shares("sample")] == ["bob"]
    bob = service_of(site, "bob")
    assert [one.rows for one in bob.user_tables.list()] == [55]
    with pytest.raises(Forbidden):
        bob.user_tables.drop("alice.sample")
    tables.unshare("sample", user="bob")
    assert bob.user_tables.list() == []
    until = tables.extend("sample", timedelta(days=30))
    assert abs(until - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    assert tables.extend("sample", Time("2026-12-24T00:00:00")) > datetime(2026, 12, 1, tzinfo=UTC)
    assert len(tables.freeze("sample").sha256) == 64
    with pytest.raises(Conflict, match="frozen"):
        tables.append("sample", stars(5))
    assert len(tables.download("sample")) == 55
    assert len(Table.read(tables.download("sample", tmp_path / "sample.fits"))) == 55
    assert [path.name for path in tmp_path.iterdir()] == ["sample.fits"]
    tables.drop("sample")
    with pytest.raises(NotFound):
        tables.get("sample")


def test_what_astropy_says_of_columns_is_kept(alice: Service, tmp_path: Path) -> None:
    alice.user_tables.upload(stars(), "mine")
    found = alice.user_tables.download("mine")
    found.sort("k")
    assert str(found["ra"].unit) == "deg" and found["ra"].meta["ucd"].startswith("pos.eq.ra")
    assert found["3.6mag"].description == "brightness" and found["3.6mag"].mask[3]
    assert found["flux"].shape == (50, 2, 3)
    assert Table.read(alice.user_tables.download("mine", tmp_path / "mine.vot"))["flux"].shape == (50, 2, 3)
    assert found["name"][7] == "star 7"


def test_arrays_come_back_in_the_shape_they_had(alice: Service) -> None:
    sent = Table({"k": np.arange(4), "cube": np.arange(24.0).reshape(4, 2, 3)})
    sent["pair"] = np.arange(8, dtype=np.int16).reshape(4, 2)
    gaps = np.zeros((4, 2), bool)
    gaps[1], gaps[2, 0] = True, True
    sent["gaps"] = MaskedColumn(np.arange(8, dtype=np.float32).reshape(4, 2), mask=gaps)
    sent["flags"] = np.arange(12).reshape(4, 3) % 2 == 0
    alice.user_tables.upload(sent, "arrays")
    found = alice.user_tables.download("arrays")
    found.sort("k")
    for name in ("cube", "pair", "flags"):
        assert found[name].dtype == sent[name].dtype and not np.ma.is_masked(found[name])
        np.testing.assert_array_equal(found[name], sent[name])
    np.testing.assert_array_equal(found["gaps"].mask, gaps)
    np.testing.assert_array_equal(found["gaps"].compressed(), sent["gaps"].compressed())
    # also as the columns of a query's result
    rows = alice.search("SELECT k, cube FROM tap_user.arrays ORDER BY k")
    np.testing.assert_array_equal(rows["cube"], sent["cube"])
    np.testing.assert_array_equal(rows.votable.get_first_table().array["cube"], sent["cube"])


def test_values_that_shall_differ_do(alice: Service) -> None:
    tables = alice.user_tables
    tables.upload(Table({"k": [1, 2, 3], "two": [5, 5, 6]}), "u")
    with pytest.raises(ParameterError, match="'two' are not unique: '5'"):
        tables.index("u", column="two", unique=True)
    assert tables.index("u", column="k", unique=True).indexed == ("k",)
    with pytest.raises(ParameterError, match="'k' are not unique: '3'"):
        tables.append("u", Table({"k": [3]}))
    assert tables.append("u", Table({"k": [4], "two": [5]})).rows == 4
    # NULL is no value
    assert tables.append("u", Table({"two": [1, 2]})).rows == 6
    with pytest.raises(UsageError, match="belongs to a column"):
        tables.index("u", position=("k", "two"), unique=True)
    with pytest.raises(ParameterError, match="holds arrays"):
        tables.upload(Table({"a": np.ones((3, 2))}), "v")
        tables.index("v", column="a", unique=True)


def test_a_frozen_table_can_be_cited_by_whoever_was_lent_it(alice: Service, site: Any, tmp_path: Path) -> None:
    import hashlib

    alice.user_tables.upload(stars()["ra", "dec", "name"], "mine")
    with pytest.raises(NotFound, match="not frozen"):
        alice.user_tables.frozen("mine")
    frozen = alice.user_tables.freeze("mine")
    assert frozen.kept_until > (datetime.now(UTC) + timedelta(days=300)).isoformat()
    assert frozen.datacite["creators"] == [{"name": "alice"}]
    alice.user_tables.share("mine", user="bob")
    assert service_of(site, "bob").user_tables.frozen("alice.mine") == frozen
    file = alice.user_tables.download("mine", tmp_path / "mine.csv")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == frozen.sha256


def test_the_result_of_a_job_is_kept(alice: Service) -> None:
    alice.user_tables.upload(stars(), "mine")
    job = alice.submit_job("SELECT TOP 7 ra, dec FROM tap_user.mine")
    job.run().wait()
    assert alice.user_tables.keep_result(job, "seven").rows == 7
    assert alice.user_tables.keep_result(job.url, "again").rows == 7
    with pytest.raises(NotFound):
        alice.user_tables.keep_result("nonsense", "again")


def test_tables_of_all_kinds_are_sent(alice: Service, tmp_path: Path) -> None:
    mixed = Table()
    mixed["where"] = SkyCoord([1, 2], [3, 4], unit="deg")
    mixed["when"] = Time([60000.0, 60001.5], format="mjd")
    mixed["bright"] = [True, False]
    mixed["big"] = np.array([1, 2], dtype=">i2")
    arrow = pa.table({"ra": [1.0, 2.0], "dec": [3.0, None], "kind": pa.array(["a", "b"]).dictionary_encode()})
    path = tmp_path / "t.csv"
    path.write_text("ra,dec\n1,2\n3,4\n")
    for one in (mixed, arrow, arrow.to_batches()[0], path, str(path)):
        assert alice.user_tables.upload(one, "t").rows == 2
    columns = alice.user_tables.upload(mixed, "t").columns
    assert columns == ("where_ra", "where_dec", "when", "bright", "big")


def test_a_data_frame_is_sent(alice: Service) -> None:
    pandas = pytest.importorskip("pandas")
    assert alice.user_tables.upload(pandas.DataFrame({"ra": [1.0, 2.0], "name": ["a", "b"]}), "t").rows == 2


@pytest.mark.parametrize(
    ("table", "name", "kind"),
    [
        (3, "t", UsageError),
        (Table({"a": [object()]}), "t", UsageError),
        (Table({"a": [1 + 2j]}), "t", UsageError),
        ("no such file.csv", "t", NotFound),
        (Table({"a": [1]}), "join", ParameterError),
        (Table({"a": [1]}), " ", UsageError),
        (Table({"a": [1]}), "bob.t", Forbidden),
    ],
)
def test_what_cannot_be_kept_is_told_in_a_sentence(
    alice: Service, table: Any, name: str, kind: type[SkyvaultError]
) -> None:
    with pytest.raises(kind) as told:
        alice.user_tables.upload(table, name)
    assert str(told.value).endswith(".") and "Traceback" not in str(told.value)


def test_a_table_that_is_there_is_not_replaced_where_that_is_not_wanted(alice: Service) -> None:
    alice.user_tables.upload(stars(5), "t")
    with pytest.raises(Conflict):
        alice.user_tables.upload(stars(6), "t", replace=False)
    assert alice.user_tables.get("t").rows == 5


# --- breaks ----------------------------------------------------------------------------------------------------------


class Cutter:
    """A way to the server on which connections break after so many bytes; -1: none do."""

    def __init__(self, base_url: str) -> None:
        self.target = (urlsplit(base_url).hostname or "", urlsplit(base_url).port or 80)
        self.after: Callable[[], int] = lambda: -1
        self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client, self.after()), daemon=True).start()

    def _carry(self, client: socket.socket, most: int) -> None:
        with client, socket.create_connection(self.target) as server:
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()
            carried = 0
            try:
                while block := client.recv(65_536):
                    if 0 <= most < carried + len(block):
                        server.sendall(block[: most - carried])
                        self.cuts += 1
                        for one in (client, server):
                            one.shutdown(socket.SHUT_RDWR)
                        return
                    server.sendall(block)
                    carried += len(block)
            except OSError:
                return

    @staticmethod
    def _back(server: socket.socket, client: socket.socket) -> None:
        try:
            while block := server.recv(65_536):
                client.sendall(block)
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def test_an_upload_over_connections_that_break_arrives_whole(
    alice: Service, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_table_sending, "PIECE_BYTES", 50_000)
    cutter = Cutter(site.base_url)
    service, chance = service_of(site, "alice", cutter.base_url), np.random.default_rng(4)
    cutter.after = lambda: int(chance.integers(20_000, 200_000))
    table = Table({"ra": chance.uniform(0, 360, 40_000), "dec": chance.uniform(-90, 90, 40_000)})
    assert service.user_tables.upload(table, "t").rows == 40_000
    assert cutter.cuts > 3
    cutter.listener.close()


def test_an_upload_that_was_given_up_goes_on_later(
    alice: Service, site: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(user_table_sending, "PIECE_BYTES", 50_000)
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,k\n" + "".join(f"{n % 360},{n % 90},{n}\n" for n in range(40_000)))

    class Stop(Exception):
        pass

    class Dies(Steps):
        def advance(self, by: int = 1) -> None:
            super().advance(by)
            if self.done >= 200_000:
                raise Stop

    with pytest.raises(Stop):
        alice.user_tables.upload(path, "t", progress=Dies())
    assert "t" not in alice.user_tables
    sizes: list[int] = []
    send = module.UserTables._ask

    def counted(self: Any, method: str, address: str, **keywords: Any) -> Any:
        if method == "PUT":
            sizes.append(len(keywords["data"]))
        return send(self, method, address, **keywords)

    monkeypatch.setattr(module.UserTables, "_ask", counted)
    assert service_of(site, "alice").user_tables.upload(path, "t").rows == 40_000
    assert sum(sizes) <= path.stat().st_size - 200_000


# --- the command line --------------------------------------------------------------------------------------------------


def test_the_commands(
    alice: Service, site: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = urlsplit(site.base_url).netloc
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[{host}]\ntoken = {make_token(site.home, 'alice')}\n")
    credentials.chmod(0o600)
    monkeypatch.setenv("SKYVAULT_CREDENTIALS_FILE", str(credentials))
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,k\n1,2,3\n4,5,6\n")

    def do(*arguments: str, code: int = 0) -> str:
        assert run(["tables", *arguments, "--service", f"{site.base_url}/tap"]) == code
        told = capsys.readouterr()
        return told.out if code == 0 else told.err

    assert "tap_user.t: 2 rows, 3 columns" in do("put", str(path), "t")
    assert "4 rows" in do("put", str(path), "t", "--append")
    assert do("put", str(path), "t", "--new", code=2).startswith("skyvault: ")
    assert json.loads(do("list", "--json"))[0]["rows"] == 4
    assert "(indexed)" in do("get", "t")
    do("get", "t", "-o", str(tmp_path / "out.parquet"))
    assert parquet.read_metadata(tmp_path / "out.parquet").num_rows == 4
    assert do("share", "t", "--group", "survey") == "tap_user.alice.t\n"
    assert do("share", "t") == "group survey\n"
    assert do("share", "t", "--group", "survey", "--revoke") == ""
    assert json.loads(do("share", "t", "--link", "--json"))["query_as"].startswith("tap_user.link_")
    assert "kept until" in do("extend", "t", "--days", "20")
    assert "k" in do("index", "t", "--column", "k")
    assert "described" in do("describe", "t", "--column", "k", "--ucd", "meta.id", "--text", "a number")
    assert "are not unique" in do("index", "t", "--column", "k", "--unique", code=2)
    assert "tap_user.renamed" in do("rename", "t", "renamed") and "tap_user.t" in do("rename", "renamed", "t")
    assert "sha256" in do("freeze", "t")
    assert do("drop", "t", "--yes") == "t is dropped.\n"
    assert "no user table" in do("get", "t", code=1)
    for wrong in (
        ["describe", "t"],
        ["describe", "t", "--unit", "m"],
        ["extend", "t"],
        ["extend", "t", "--days", "1e300"],
        ["put", "no.csv", "t", "--position", "ra"],
    ):
        assert do(*wrong, code=2)

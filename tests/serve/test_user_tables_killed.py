"""kill -9 while tables are put, added to, indexed, made and collected: no half table, no lost one, no leaked bytes."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from processes import environment
from skyvault.config import Settings
from skyvault.store.duckdb_store import DuckStore, remove_orphans

#: makes tables without end; says what it has certainly kept
SCRIPT = """
import sys, itertools
from pathlib import Path
from skyvault.config import Settings
from skyvault.formats import open_table
from skyvault.ledger.user_tables import Space
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits
from skyvault.store.user_keep import Keep, UserKeeper
from skyvault.store.user_space import Reader

settings = Settings(home=Path(sys.argv[1]), user_tables=True, snapshot_grace_s=0.0)
body = b"ra,dec,k\\n" + b"".join(b"%d,%d,%d\\n" % (n % 360, n % 90, n) for n in range(3000))
with DuckStore(settings) as store:
    keeper = UserKeeper(store.layout, store.ledger, settings)
    def place(name):
        return Keep("u1", name, Space(10**10, 100), 3600.0)
    print("ready", flush=True)
    for n in itertools.count():
        name = f"t{n % 3}"
        table = keeper.keep(open_table(body), place(name), size_bytes=len(body) if n % 2 else None)
        print("kept", name, flush=True)
        table = keeper.append(table, open_table(body), place(name))
        keeper.index(table, place(name), column="k")
        answer = store.query(f"SELECT * FROM tap_user.{name}", Limits(), reader=Reader("u1"))
        keeper.keep(answer.stream, place("made"))
        answer.close()
        print("kept made", flush=True)
        store.collect()
"""


def _check(home: Path, certain: set[str]) -> None:
    with DuckStore(Settings(home=home, user_tables=True, snapshot_grace_s=0.0)) as store:
        tables = {one.name: one for one in store.ledger.user_tables.of("u1")}
        assert certain <= set(tables), "a table that was kept is lost"
        for table in tables.values():
            connection = duckdb.connect(str(store.layout.store / table.snapshot), read_only=True)
            try:
                assert connection.execute("SELECT count(*) FROM data").fetchone() == (table.nrows,)
            finally:
                connection.close()
            assert table.nrows in (3000, 6000)
        remove_orphans(store.layout.store, store.holdings.files(), -1.0)
        # what the killed one was reading is kept for two minutes more: as if they had passed
        with store.ledger.database.write() as connection:
            connection.execute("DELETE FROM snapshot_leases")
        store.collect()
        left = {path.name for path in store.layout.store.iterdir()}
        assert left == {table.snapshot for table in tables.values()}, "bytes have leaked"


def _kill_often(home: Path, times: int, ledger_variables: Callable[[Path], dict[str, str]]) -> None:
    variables = ledger_variables(home)
    chance = random.Random(7)
    certain: set[str] = set()
    for _ in range(times):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(home)], stdout=subprocess.PIPE, text=True, env=environment() | variables
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            # what is killed is a moment, not an act: any line may be the last
            process.wait(chance.uniform(0.02, 0.6))
        except subprocess.TimeoutExpired:
            process.kill()
        certain |= {line.split()[1] for line in process.stdout.read().splitlines() if line.startswith("kept ")}
        process.stdout.close()
        assert process.wait() == -9
        _check(home, certain)


def test_a_process_that_is_killed_leaves_whole_tables_only(
    tmp_path: Path, ledger_variables: Callable[[Path], dict[str, str]]
) -> None:
    _kill_often(tmp_path, 6, ledger_variables)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_process_that_is_killed_a_hundred_times_leaves_whole_tables_only(
    tmp_path: Path, ledger_variables: Callable[[Path], dict[str, str]]
) -> None:
    _kill_often(tmp_path, 100, ledger_variables)

"""Many downloads at once: in order, bounded, as politely as the archive and whoever runs this program say."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from skyvault.config import Settings
from skyvault.missions.connections import default_archives
from skyvault.net.politeness import Manners, Politeness
from skyvault.net.stopping import look
from skyvault.pipeline import VirtualZTF
from skyvault.pipeline.downloads import in_order


@pytest.mark.parametrize("threads", [1, 4])
def test_results_come_in_order_and_errors_in_their_place(threads: int) -> None:
    def work(number: int) -> int:
        if number % 10 == 3:
            raise ValueError(f"no {number}")
        return number * number

    got = list(in_order(work, range(100), threads=threads))
    assert [item for item, _ in got] == list(range(100))
    assert all(str(r) == f"no {i}" if i % 10 == 3 else r == i * i for i, r in got)


def test_no_more_is_begun_than_a_window_ahead_of_the_slowest() -> None:
    begun: list[int] = []
    go = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 0:
            assert go.wait(30)
        return number

    results = in_order(work, iter(range(10_000)), threads=4)
    first = threading.Thread(target=lambda: got.append(next(results)))
    got: list[Any] = []
    first.start()
    while len(begun) < 20:
        pass
    assert max(begun) < 20
    go.set()
    first.join(30)
    assert got == [(0, 0)]
    results.close()


def test_who_stops_listening_ends_the_waits_of_all_threads() -> None:
    before = set(threading.enumerate())
    ended = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            return 0
        try:
            while True:
                look()
        finally:
            ended.set()

    results = in_order(work, range(50), threads=3)
    assert next(results) == (0, 0)
    results.close()
    # other tests of this process keep threads of their own: only these are looked at
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert ended.is_set() and not left


def test_settings_may_ask_an_archive_for_more_than_it_declares_and_for_less(tmp_path: Path) -> None:
    politeness = Politeness()
    politeness.agree("a.org", Manners(2, 60))
    politeness.agree("a.org", Manners(5, None))
    assert politeness.manners_of("a.org") == Manners(2, 60)
    politeness.prescribe("a.org", Manners(32, None))
    assert politeness.manners_of("a.org") == Manners(32, None)
    own = Settings(home=tmp_path / "a", politeness={"ztf": {"connections": 32, "requests_per_minute": 0}})
    obs = VirtualZTF(project="x", cfg_file=False, settings=own)
    assert obs.archive.client.politeness.manners_of("irsa.ipac.caltech.edu") == Manners(32, None)
    usual = VirtualZTF(project="x", cfg_file=False, settings=Settings(home=tmp_path / "b"))
    assert usual.archive.client.politeness.manners_of("irsa.ipac.caltech.edu") == Manners(2, 60)
    assert usual.pars.num_threads_download == 2


def test_processes_of_a_run_share_what_an_archive_allows(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "c", politeness={"ztf": {"connections": 6, "requests_per_minute": 90}})
    for _ in range(2):
        obs = VirtualZTF(project="x", cfg_file=False, settings=settings)
        obs.begin_process(3)
        # a second observatory of the same process takes no further part
        assert obs.archive.client.politeness.manners_of("irsa.ipac.caltech.edu") == Manners(2, 30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_process_makes_connections_of_its_own(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "d")
    parent = default_archives(settings).client
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"same" if default_archives(settings).client is parent else b"own")
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"own"
    assert default_archives(settings).client is parent

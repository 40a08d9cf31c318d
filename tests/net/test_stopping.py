"""Whoever waits for an archive can be stopped at once, and no trickle of bytes outlasts a deadline."""

from __future__ import annotations

import _thread
import gzip
import socket
import threading
import time

import pytest
from fault_server import Fault, File

from skyvault.errors import Cancelled
from skyvault.net.batch import fetch_files
from skyvault.net.client import Deadlines, HttpClient
from skyvault.net.faults import Unreachable
from skyvault.net.politeness import Manners, Politeness
from skyvault.net.remote_file import Order, Packing, RemoteFile
from skyvault.net.retry import RetryPolicy
from skyvault.net.stopping import side_by_side, stopped_when
from skyvault.net.unpack import unpack

AT_ONCE_S = 2.0


@pytest.fixture
def patient():
    with HttpClient(politeness=Politeness(default=Manners(requests_per_minute=10))) as client:
        yield client


def interrupted_s(work) -> float:
    """Seconds from Ctrl-C, which comes as soon as ``work`` is given ``press`` and calls it, to the end."""
    pressed: list[float] = []

    def press() -> None:
        if not pressed:
            pressed.append(time.monotonic())
            threading.Timer(0.1, _thread.interrupt_main).start()

    with pytest.raises(KeyboardInterrupt):
        work(press)
    return time.monotonic() - pressed[0]


def orders(archive, directory, count: int) -> list[Order]:
    for number in range(count):
        archive.files[f"/{number}"] = File(b"x" * 10_000)
    return [Order(RemoteFile(url=f"{archive.url}/{n}"), directory / str(n)) for n in range(count)]


def test_ctrl_c_ends_at_once_while_the_archive_asks_to_come_back(archive, patient, tmp_path) -> None:
    def work(press) -> None:
        def busy(seen) -> int:
            press()
            return 429

        archive.allows = busy
        archive.faults["/0"] = [Fault(headers=(("Retry-After", "100"),))]
        fetch_files(orders(archive, tmp_path, 4), patient, parallel=1)

    assert interrupted_s(work) < AT_ONCE_S


def test_ctrl_c_ends_at_once_while_requests_wait_for_their_turn(archive, patient, tmp_path) -> None:
    def work(press) -> None:
        fetch_files(orders(archive, tmp_path, 12), patient, parallel=4, on_done=lambda one: press())

    assert interrupted_s(work) < AT_ONCE_S
    assert len(list(tmp_path.glob("*"))) <= 10


def test_ctrl_c_ends_at_once_while_the_archive_is_silent(archive, patient, tmp_path) -> None:
    forever = threading.Event()

    class Silence:
        def wait(self, seconds: float) -> None:
            self.press()
            forever.wait(seconds)

    def work(press) -> None:
        Silence.press = staticmethod(press)
        archive.faults["/0"] = [Fault(waits_for=Silence())]
        fetch_files(orders(archive, tmp_path, 1), patient)

    try:
        assert interrupted_s(work) < AT_ONCE_S
    finally:
        forever.set()


def test_a_stopped_unpacking_leaves_nothing_and_keeps_what_came(tmp_path) -> None:
    packed, target = tmp_path / "events.gz", tmp_path / "events"
    packed.write_bytes(gzip.compress(bytes(5_000_000)))
    with stopped_when(lambda: True), pytest.raises(Cancelled):
        unpack(packed, target, RemoteFile(url="http://127.0.0.1/events.gz", packing=Packing.GZIP))
    assert [one.name for one in tmp_path.iterdir()] == ["events.gz"]


def test_the_first_exception_of_a_thread_stops_the_others_and_is_raised() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise ValueError("one is wrong")
        return number

    with pytest.raises(ValueError, match="one is wrong"):
        side_by_side(work, range(1000), parallel=1)
    assert begun == [0, 1]
    assert side_by_side(lambda n: n * n, range(50), parallel=7) == [n * n for n in range(50)]
    assert side_by_side(work, [], parallel=7) == []


class Trickle:
    """Sends ``first`` and then a byte every few milliseconds, for as long as anybody listens."""

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/file"

    def serve(self) -> None:
        while not self.stop.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    connection.sendall(self.first)
                    while not self.stop.wait(0.02):
                        connection.sendall(b"x")
                except OSError:
                    continue

    def __enter__(self) -> Trickle:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.listener.close()


@pytest.mark.parametrize(
    "first",
    [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"],
    ids=["head", "body"],
)
def test_a_trickle_of_bytes_does_not_outlast_the_deadline(first) -> None:
    with Trickle(first) as archive, HttpClient(retries=RetryPolicy(attempts=1)) as client:
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="time allowed was over"):
            client.get(archive.url, total_s=0.5)
        assert time.monotonic() - begun < AT_ONCE_S


@pytest.mark.parametrize(
    "first",
    [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"],
    ids=["head", "body"],
)
def test_a_trickle_of_bytes_counts_as_silence_where_there_is_no_deadline(first) -> None:
    client = HttpClient(retries=RetryPolicy(attempts=1), deadlines=Deadlines(read_s=0.1))
    with Trickle(first) as archive, client, pytest.raises(Unreachable, match="stopped sending"):
        client.get(archive.url)

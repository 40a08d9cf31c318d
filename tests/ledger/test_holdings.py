"""Published tables: one pointer each, swapped by compare-and-set; old files go when nobody reads them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import Conflict, NotFound, StoreError
from skyvault.ledger.engine import Place
from skyvault.ledger.ledger import Ledger, open_ledger
from skyvault.ledger.table_json import table_from_json, table_to_json
from skyvault.model.table import Column, CoordinateFrame, ForeignKey, Group, Info, Link, Table, TimeFrame

STARS = Table("lab.Stars", (Column("ra", "double", unit="deg"), Column("dec", "double", unit="deg")), description="*")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(place: Place, clock: Clock) -> Iterator[Ledger]:
    with open_ledger(place, clock=clock) as one:
        yield one


def publish(ledger: Ledger, file: str, **extra: object) -> int:
    return ledger.holdings.publish(STARS, file, nrows=3, bytes=4, format=1, **extra).version  # type: ignore[arg-type]


def test_a_published_table_is_found_in_any_case(ledger: Ledger, clock: Clock) -> None:
    made = ledger.holdings.publish(STARS, "stars-1.db", nrows=3, bytes=4, format=1, extra={"position": ["ra", "dec"]})
    assert ledger.holdings.find("LAB.STARS") == made == ledger.holdings.current()["lab.stars"]
    assert made.table == STARS
    assert (made.version, made.published_at, made.name) == (1, clock.now, "lab.Stars")
    assert ledger.holdings.find("lab.other") is None
    with pytest.raises(NotFound):
        ledger.holdings.get("lab.other")


def test_publishing_again_swaps_the_pointer_and_keeps_the_history(ledger: Ledger, clock: Clock) -> None:
    publish(ledger, "stars-1.db")
    clock.now += 10
    assert publish(ledger, "stars-2.db") == 2
    assert ledger.holdings.get("lab.stars").snapshot == "stars-2.db"
    new, old = ledger.holdings.history("lab.Stars")
    assert (new.file, new.retired_at) == ("stars-2.db", None)
    assert (old.file, old.retired_at) == ("stars-1.db", clock.now)


def test_who_has_seen_an_older_version_cannot_replace_the_newer(ledger: Ledger) -> None:
    assert publish(ledger, "a", replaces=None) == 1
    with pytest.raises(Conflict, match="somebody else"):
        publish(ledger, "b", replaces=None)
    assert publish(ledger, "b", replaces=1) == 2
    with pytest.raises(Conflict):
        publish(ledger, "c", replaces=1)
    assert ledger.holdings.get("lab.stars").snapshot == "b"


def test_of_many_who_publish_at_once_one_wins(ledger: Ledger) -> None:
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        try:
            publish(ledger, f"file-{number}", replaces=None)
            outcomes.append("won")
        except Conflict:
            outcomes.append("lost")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_the_version_of_the_holdings_grows_with_each_change_seen_by_others(ledger: Ledger, place: Place) -> None:
    with open_ledger(place) as other:
        counter, version = other.holdings.change_counter(), other.holdings.version()
        publish(ledger, "a")
        assert other.holdings.change_counter() != counter
        assert other.holdings.version() == version + 1
        counter = other.holdings.change_counter()
        ledger.jobs.create("tap", {}, execution_duration_s=1, destruction_time=2)
        assert other.holdings.change_counter() != counter
        assert other.holdings.version() == version + 1
        ledger.holdings.unpublish("LAB.stars")
        assert other.holdings.version() == version + 2
        assert other.holdings.current() == {}


def test_unpublishing_what_is_not_there_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        ledger.holdings.unpublish("lab.stars")


def test_versions_do_not_come_back_after_unpublishing(ledger: Ledger) -> None:
    publish(ledger, "a")
    ledger.holdings.unpublish("lab.stars")
    assert publish(ledger, "b", replaces=None) == 2


def test_a_description_may_change_without_the_rows(ledger: Ledger) -> None:
    publish(ledger, "a", extra={"x": 1})
    better = Table("lab.Stars", STARS.columns, description="stars of the laboratory")
    assert ledger.holdings.describe(better).table == better
    assert ledger.holdings.get("lab.stars").extra == {"x": 1}
    assert ledger.holdings.get("lab.stars").version == 1
    with pytest.raises(NotFound):
        ledger.holdings.describe(Table("lab.none", ()))


def test_a_file_is_garbage_after_the_grace_and_when_no_lease_names_it(ledger: Ledger, clock: Clock) -> None:
    def garbage() -> list[str]:
        return [one.file for one in ledger.holdings.garbage(grace_s=60)]

    publish(ledger, "a")
    ledger.holdings.lease(["a"], "reader", 100)
    publish(ledger, "b")
    clock.now += 61
    assert garbage() == []
    clock.now += 40
    assert garbage() == ["a"]
    ledger.holdings.lease(["a", "b"], "reader", 100)
    assert garbage() == []
    ledger.holdings.lease(["b"], "reader", 100)
    assert garbage() == ["a"]
    assert ledger.holdings.files() == {"a", "b"}
    ledger.holdings.deleted(["a"])
    assert garbage() == []
    assert ledger.holdings.files() == {"b"}


# -- descriptions ------------------------------------------------------------------------------------------------

_text = st.text(max_size=8)
_maybe = st.none() | _text
_links = st.lists(st.builds(Link, _text, _maybe, _maybe, _maybe), max_size=2).map(tuple)
_columns = st.lists(
    st.builds(
        Column,
        name=_text,
        datatype=st.sampled_from(["long", "double", "char"]),
        arraysize=_maybe,
        unit=_maybe,
        nullable=st.booleans(),
        indexed=st.booleans(),
        options=st.lists(st.tuples(_text, _text), max_size=2).map(tuple),
        width=st.none() | st.integers(0, 99),
        links=_links,
        value=_maybe,
    ),
    max_size=3,
).map(tuple)
_groups = st.recursive(
    st.builds(Group, name=_maybe, column_refs=st.lists(_text, max_size=2).map(tuple), params=_columns),
    lambda inner: st.builds(Group, name=_maybe, groups=st.lists(inner, max_size=2).map(tuple)),
    max_leaves=3,
)
_tables = st.builds(
    Table,
    name=_text,
    columns=_columns,
    description=_maybe,
    nrows=st.none() | st.integers(0),
    params=_columns,
    infos=st.lists(st.builds(Info, _text, _text, _maybe), max_size=2).map(tuple),
    groups=st.lists(_groups, max_size=2).map(tuple),
    links=_links,
    frames=st.lists(st.builds(CoordinateFrame, _text, _text, _maybe), max_size=1).map(tuple),
    time_frames=st.lists(st.builds(TimeFrame, _text, _text, _text), max_size=1).map(tuple),
    foreign_keys=st.lists(
        st.builds(ForeignKey, _text, _text, st.lists(st.tuples(_text, _text), max_size=2).map(tuple)), max_size=2
    ).map(tuple),
)


@given(_tables)
def test_a_description_comes_back_from_json_as_it_was(table: Table) -> None:
    assert table_from_json(table_to_json(table)) == table


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "a", "columns": [{"nme": 1}]}', "nonsense"])
def test_a_spoilt_description_is_told_in_a_sentence(text: str) -> None:
    with pytest.raises(StoreError, match="Publish the table again"):
        table_from_json(text)

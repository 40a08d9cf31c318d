"""Warnings kept silent by several threads at once: what is silenced, what is heard, and what stays in the filters."""

from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.quiet import quiet


class PlateWarning(UserWarning):
    """A category of its own: nobody else warns so."""


class DustWarning(PlateWarning):
    """A kind of the former."""


@pytest.fixture(autouse=True)
def filters() -> Iterator[list[Any]]:
    """The list as a program without quiet has it; what a test leaves behind is seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield warnings.filters  # type: ignore[misc]


def heard(category: type[Warning] = PlateWarning, text: str = "dust on the plate") -> bool:
    try:
        warnings.warn(text, category, stacklevel=2)
    except category:
        return True
    return False


def test_within_nothing_is_heard_and_afterwards_all_is() -> None:
    before = list(warnings.filters)
    with quiet():
        assert not heard()
        assert not heard(DeprecationWarning)
    assert heard()
    assert list(warnings.filters) == before


def test_only_the_category_and_its_kinds_are_silenced() -> None:
    with quiet(PlateWarning):
        assert not heard(PlateWarning)
        assert not heard(DustWarning)
        assert heard(UserWarning)


def test_a_message_is_known_by_its_beginning_in_upper_and_lower_case() -> None:
    with quiet(message="ERFA function"):
        assert not heard(text="erfa function dubious year")
        assert heard(text="the ERFA function")
    with quiet(message=".*dubious year.*"):
        assert not heard(text="ERFA function: a dubious year (1890)")


def test_one_in_another_and_the_same_twice() -> None:
    with quiet(PlateWarning):
        with quiet(PlateWarning), quiet():
            assert not heard(UserWarning)
        assert not heard()
        assert heard(UserWarning)
    assert heard()


def test_an_error_inside_passes_and_silence_ends() -> None:
    with pytest.raises(KeyError), quiet():
        raise KeyError("plate")
    assert heard()


def test_those_who_ask_for_errors_inside_hear_them_and_a_later_quiet_is_stronger() -> None:
    with quiet(PlateWarning):
        warnings.simplefilter("error", PlateWarning)
        assert heard()
        with quiet(PlateWarning):
            assert not heard()


def test_entries_of_others_stay_even_when_they_say_the_same() -> None:
    warnings.simplefilter("ignore", PlateWarning)
    warnings.filterwarnings("ignore", "dust", PlateWarning)
    before = list(warnings.filters)
    with quiet(PlateWarning), quiet(PlateWarning, "dust"):
        pass
    assert list(warnings.filters) == before
    assert not heard()


def test_a_filter_set_inside_stays_as_it_would_without_quiet() -> None:
    with quiet():
        warnings.simplefilter("ignore", PlateWarning)
    assert not heard()
    assert heard(UserWarning)


def test_a_copy_that_another_library_puts_in_place_keeps_nothing_for_ever() -> None:
    """The order in which a server's threads met: one copies, the other leaves, the first brings its list back."""
    before = list(warnings.filters)
    ours = quiet(PlateWarning)
    theirs = warnings.catch_warnings()
    ours.__enter__()
    theirs.__enter__()
    ours.__exit__(None, None, None)
    theirs.__exit__(None, None, None)
    assert list(warnings.filters) == before
    assert heard()


def test_silence_lasts_when_another_library_brings_back_a_list_from_before() -> None:
    with quiet(PlateWarning):
        pass
    theirs = warnings.catch_warnings()
    theirs.__enter__()
    warnings.simplefilter("error")
    ours = quiet(PlateWarning)
    ours.__enter__()
    theirs.__exit__(None, None, None)
    assert not heard()
    ours.__exit__(None, None, None)
    assert heard()


def test_many_lists_and_copies_of_copies_leave_no_entry_behind() -> None:
    before = list(warnings.filters)
    with ExitStack() as libraries:
        ours = quiet(PlateWarning)
        ours.__enter__()
        for _ in range(20):
            libraries.enter_context(warnings.catch_warnings())
            with quiet(DustWarning):
                pass
        ours.__exit__(None, None, None)
    with quiet():
        pass
    assert list(warnings.filters) == before
    assert heard()


def test_the_filters_do_not_grow_however_often_somebody_else_puts_one_first() -> None:
    many = len(warnings.filters)
    with quiet(PlateWarning):
        for _ in range(50):
            warnings.simplefilter("error", PlateWarning)
            with quiet(PlateWarning):
                assert not heard()
        assert len(warnings.filters) <= many + 2


def test_an_entry_can_be_sent_to_another_process() -> None:
    """Some libraries hand their filters to their workers."""
    with quiet(PlateWarning, "dust"):
        assert pickle.loads(pickle.dumps(list(warnings.filters))) == list(warnings.filters)


_STEPS = st.lists(st.tuples(st.sampled_from(["in", "out"]), st.integers(0, 3)), max_size=40)
_KINDS = [(PlateWarning, ""), (DustWarning, ""), (UserWarning, "dust"), (Warning, "")]


@given(_STEPS)
def test_in_whatever_order_they_come_and_go_what_is_wanted_is_silent_and_the_filters_end_as_they_began(
    steps: list[tuple[str, int]],
) -> None:
    before = list(warnings.filters)
    within: list[tuple[int, Any]] = []
    for what, number in steps:
        if what == "in":
            category, message = _KINDS[number]
            one = quiet(category, message)
            one.__enter__()
            within.append((number, one))
        elif within:
            within.pop(number % len(within))[1].__exit__(None, None, None)
        silenced = {number for number, _ in within}
        assert heard(PlateWarning) is not bool(silenced & {0, 2, 3})
        assert heard(DustWarning) is not bool(silenced)
        assert heard(UserWarning, "ash") is not bool(silenced & {3})
    for _, one in within:
        one.__exit__(None, None, None)
    assert list(warnings.filters) == before


def test_threads_that_come_and_go_never_hear_what_they_silenced() -> None:
    before = list(warnings.filters)
    start = threading.Barrier(8)
    ill: list[str] = []

    def works(number: int) -> None:
        category, message = _KINDS[number % 4]
        start.wait(10)
        for _ in range(300):
            with quiet(category, message):
                if heard(DustWarning):
                    ill.append(f"{number} heard it")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(works, range(8)))
    assert ill == []
    assert list(warnings.filters) == before
    assert heard()

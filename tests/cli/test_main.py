"""The command line: help at once, one sentence for what is wrong, and the exit codes of the contract."""

from __future__ import annotations

import subprocess
import sys
import time

import click
import pytest

from skyvault.cli import main
from skyvault.errors import Cancelled, NotFound, QueryError, SkyvaultError


def test_import_skyvault_is_quick_and_pulls_in_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import skyvault; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new & {'astropy', 'numpy', 'pyarrow', 'duckdb', 'pydantic', 'click', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_import_skyvault_takes_less_than_50_ms():
    code = "import time; begun = time.perf_counter(); import skyvault; print(time.perf_counter() - begun)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(times) < 0.05


def test_public_names_are_loaded_when_used_and_unknown_ones_are_refused():
    import skyvault

    assert skyvault.Settings.__module__ == "skyvault.config"
    assert set(skyvault.__all__) <= set(dir(skyvault))
    for name in skyvault.__all__:
        assert getattr(skyvault, name) is not None
    with pytest.raises(AttributeError, match="no public name 'Sky'"):
        _ = skyvault.Sky


def test_help_of_every_command_has_an_example(skyvault):
    answer = skyvault("--help")
    assert answer.code == 0
    for name in main.COMMANDS:
        assert name in answer.out
        page = skyvault(name, "--help")
        assert page.code == 0
        assert "Example" in page.out and f"skyvault {name}" in page.out


def test_help_answers_at_once(skyvault):
    begun = time.perf_counter()
    assert skyvault("--help").code == 0
    assert time.perf_counter() - begun < 2


def test_an_unknown_command_names_the_nearest_and_exits_2(skyvault):
    answer = skyvault("publsh", "x.parquet")
    assert answer.code == 2
    assert "Did you mean publish?" in answer.err
    assert "Traceback" not in answer.err


def test_a_missing_argument_exits_2(skyvault):
    answer = skyvault("publish")
    assert answer.code == 2
    assert "give a FILE to publish" in answer.err


def test_a_wrong_setting_is_one_sentence(skyvault):
    answer = skyvault("serve", env={"SKYVAULT_PORT": "eighty"})
    assert answer.code == 2
    assert answer.err == "skyvault: settings: port = 'eighty' is not a whole number.\n"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (SkyvaultError("the disk is full", where="stars"), 1, "skyvault: stars: the disk is full."),
        (QueryError("unknown column", line=2, column=7), 2, "line 2, column 7: unknown column."),
        (NotFound("there is no table a.b"), 1, "there is no table a.b."),
        (Cancelled("the query was stopped"), 130, "the query was stopped."),
        (KeyboardInterrupt(), 130, "Stopped."),
        (OSError(28, "No space left on device", "/data"), 1, "/data: No space left on device."),
        (ValueError("oops"), 1, "This is a fault of Skyvault, not yours: ValueError: oops."),
    ],
)
def test_what_goes_wrong_is_told_in_one_sentence_with_its_exit_code(monkeypatch, capsys, error, code, words):
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(main.LazyGroup, "get_command", lambda self, ctx, name: failing)
    assert main.run(["check"]) == code
    told = capsys.readouterr().err
    assert words in told
    assert told.strip().count("\n") == 0


def test_the_traceback_of_a_fault_is_shown_on_demand(monkeypatch):
    @click.command()
    def failing() -> None:
        raise ValueError("oops")

    monkeypatch.setenv("SKYVAULT_DEBUG", "1")
    monkeypatch.setattr(main.LazyGroup, "get_command", lambda self, ctx, name: failing)
    with pytest.raises(ValueError, match="oops"):
        main.run(["check"])


def test_the_exit_code_of_a_command_is_its_return_value(monkeypatch):
    @click.command()
    def with_problems() -> int:
        return 3

    monkeypatch.setattr(main.LazyGroup, "get_command", lambda self, ctx, name: with_problems)
    assert main.run(["check"]) == 3


def test_version(skyvault):
    import skyvault as package

    assert package.__version__ in skyvault("--version").out

"""Functions of hooks.py are loaded as they are now, and given what they ask for."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pytest

from skyvault.errors import ConfigError, NotFound, UsageError
from skyvault.plugins.hooks import call, hook, told


def write(folder: Path, text: str) -> Path:
    path = folder / "hooks.py"
    path.write_text(text)
    return path


def test_a_changed_file_is_loaded_anew(tmp_path: Path) -> None:
    path = write(tmp_path, "def one():\n    return 1\n")
    assert hook(path, "one")() == 1
    write(tmp_path, "def one():\n    return 2\n")
    os.utime(path, ns=(1, 1))
    assert hook(path, "one")() == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def one(:\n", "hooks.py, line 1: it cannot be loaded (SyntaxError"),
        ("import os\n1 / 0\n", "hooks.py, line 2: it cannot be loaded (ZeroDivisionError: division by zero)"),
        ("import nothing_of_this_name\n", "hooks.py, line 1: it cannot be loaded (ModuleNotFoundError"),
        ("two = 2\ndef three(): pass\n", "hooks.py: there is no function 'two' in it. There are three."),
    ],
)
def test_a_bad_file_is_a_sentence_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        hook(write(tmp_path, text), "two")
    assert str(caught.value).startswith(sentence)


def test_without_a_file_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the hook 'one' is named, but there is no hooks\.py"):
        hook(tmp_path / "hooks.py", "one")


def test_a_function_gets_what_it_asks_for_and_no_more() -> None:
    wanted: list[str] = []

    def offered() -> str:
        wanted.append("row")
        return "the row"

    assert call(lambda path: path, "file", context="c", row=offered) == "file" and wanted == []
    assert call(lambda path, row: (path, row), "file", context="c", row=offered) == ("file", "the row")
    assert call(lambda path, context, width=3: (context, width), "file", context="c", named={"width": 4}) == ("c", 4)
    assert call(lambda **names: names, context="c", named={"a": 1}) == {"a": 1}
    assert call(functools.partial(lambda a, b: a + b, b=2), 1, context="c") == 3
    # what does not tell its parameters is called as it is
    assert call(max, 1, 2, context="c") == 2


def test_what_cannot_be_called_is_a_sentence_before_anything_runs(tmp_path: Path) -> None:
    act = hook(write(tmp_path, "\n\ndef one(a, b, c):\n    raise SystemExit\n"), "one")
    with pytest.raises(ConfigError) as caught:
        call(act, "file", context="c", named={"width": 1})
    sentence = str(caught.value)
    assert sentence.startswith("hooks.py, line 3: the function one cannot be called as a hook")
    assert sentence.endswith("It is given what it is about, width; parameters named context are filled in.")


def test_a_failure_is_told_by_its_line_in_hooks_py(tmp_path: Path) -> None:
    path = write(tmp_path, "import json\n\ndef one(text):\n    return json.loads(text)\n")

    def failure(act: Any, *given: Any) -> BaseException:
        try:
            act(*given)
        except Exception as problem:
            return problem
        raise AssertionError

    sentence = told(failure(hook(path, "one"), "{"), path)
    # deep in a library, and still the line of the hook
    assert sentence.startswith("hooks.py, line 4: JSONDecodeError: Expecting property name")
    assert told(UsageError("no star", hint="Take another."), path) == "hooks.py: no star. Take another."
    assert told(NotFound("gone", where="there"), path) == "there: gone."

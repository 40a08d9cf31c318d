"""The demo does its whole work, from publishing a file to the periods of a survey's stars, and leaves nothing running."""

from __future__ import annotations

import re
import resource

import pytest

from skyvault.cli.demo import program_name


def test_a_directory_that_is_not_the_demos_is_not_touched(skyvault, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear ...")
    answer = skyvault("demo", "--keep", tmp_path / "mine")
    assert answer.code == 2
    assert "not empty and not from an earlier demo" in answer.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("started", "is_on_path", "told"),
    [
        (".venv/bin/skyvault", False, ".venv/bin/skyvault"),
        (".venv/bin/skyvault", True, "skyvault"),
        ("my own/skyvault", False, "'my own/skyvault'"),
        ("nowhere/skyvault", False, "skyvault"),
    ],
)
def test_the_program_is_named_as_the_shell_finds_it(tmp_path, monkeypatch, started, is_on_path, told):
    for folder in (".venv/bin", "my own"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "skyvault").write_text("#!/bin/sh\n")
        (tmp_path / folder / "skyvault").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [started, "demo"])
    monkeypatch.setenv("PATH", str((tmp_path / started).parent) if is_on_path else "/usr/bin")
    assert program_name() == told


def test_the_sky_alone_takes_seconds_and_may_be_shown_again(skyvault, tmp_path):
    for _ in range(2):
        answer = skyvault("demo", "--keep", "sky", "--sky-only")
        assert answer.code == 0, answer.err
        assert "10 of 10 stars of my own list" in answer.out
    directory = tmp_path / "sky"
    assert (directory / "sky.png").read_bytes().startswith(b"\x89PNG")
    assert (directory / "sky.png").stat().st_size < 300_000
    page = (directory / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert not re.search(r"(src|href)=[\"']https?:", page), "the report needs nothing from elsewhere"
    assert "Asynchronous job" in page and "A survey of stars" not in page
    assert "Traceback" not in (directory / "server.log").read_text()


def test_the_whole_story_is_told_in_under_a_minute(skyvault, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = skyvault("demo", "--keep", "sky")
    assert answer.code == 0, answer.err
    assert "8 X-ray observations of the Coma cluster" in answer.out
    assert re.search(r"3 observations, \d+ files, 1\.\d MB, checked", answer.out)
    assert "nothing to do: 37 stars were done before" in answer.out
    assert "16 of 16 simulated periods found, 0 wrong" in answer.out
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # of all its processes: what else this machine does meanwhile makes no difference
    assert used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime < 60
    directory = tmp_path / "sky"
    page = (directory / "report.html").read_text()
    assert "Periods by TAP" in page and not re.search(r"(src|href)=[\"']https?:", page)
    assert (directory / "star.png").read_bytes().startswith(b"\x89PNG")
    survey = (directory / "variables.html").read_text()
    assert "Which of these stars vary" in survey and not re.search(r"(src|href)=[\"'](?!data:)", survey)
    assert "Traceback" not in (directory / "server.log").read_text() + (directory / "archives.log").read_text()

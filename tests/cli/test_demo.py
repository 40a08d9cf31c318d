"""The demo does its whole work: publish, serve, query as a foreign client, draw, report, and leave nothing running."""

from __future__ import annotations

import re


def test_a_directory_that_is_not_the_demos_is_not_touched(skyvault, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear ...")
    answer = skyvault("demo", "--keep", tmp_path / "mine")
    assert answer.code == 2
    assert "not empty and not from an earlier demo" in answer.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_the_demo_runs_in_under_a_minute_and_may_be_run_again(skyvault, tmp_path):
    for _ in range(2):
        answer = skyvault("demo", "--keep", "sky")
        assert answer.code == 0, answer.err
        assert "10 of 10 stars of my own list" in answer.out
        seconds = float(re.search(r"Done in ([\d.]+) s", answer.out)[1])
        assert seconds < 60
    directory = tmp_path / "sky"
    assert (directory / "sky.png").read_bytes().startswith(b"\x89PNG")
    assert (directory / "sky.png").stat().st_size < 300_000
    page = (directory / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert not re.search(r"(src|href)=[\"']https?:", page), "the report needs nothing from elsewhere"
    assert "Asynchronous job" in page
    log = (directory / "server.log").read_text()
    assert "Traceback" not in log

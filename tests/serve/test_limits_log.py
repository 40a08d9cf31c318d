"""The log of queries: what is told of each, and what is not."""

from __future__ import annotations

import json
import logging
import time

import pytest

from skyvault.config import Settings
from skyvault.serve import query_log


@pytest.mark.parametrize("as_json", [True, False])
def test_a_query_is_one_line_of_log(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    query_log.configure(Settings(), as_json=as_json)
    query_log.log_query("SELECT\n1 " + "x" * 500, began=time.monotonic(), rows=3, status="OK", run_id="me\nnot")
    [line] = capsys.readouterr().err.splitlines()
    assert len(line) < 500
    if as_json:
        told = json.loads(line)
        assert (told["rows"], told["status"], told["run_id"]) == (3, "OK", "me\nnot")
        assert told["query"].startswith("SELECT 1 xxx")
    else:
        assert "rows=3" in line and 'status="OK"' in line


def test_a_level_above_info_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    query_log.configure(Settings(log_level="warning"))
    query_log.log_query("SELECT 1", began=time.monotonic(), rows=3, status="OK")
    assert capsys.readouterr().err == ""
    logging.getLogger("skyvault.query").handlers.clear()

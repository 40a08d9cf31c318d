"""``skyvault report`` and ``skyvault publish --run``: what a run leaves behind, from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

PROJECT = """\
project:
  description: Flares & dips <of> simulated stars
  obs_names: demo
  executor: serial
  version_control: true
catalog:
  default: test
finder:
  snr_threshold: 2.5
"""


@pytest.fixture
def flares(tmp_path: Path, home: Path, here: Any) -> Path:
    path = tmp_path / "flares.yaml"
    path.write_text(PROJECT)
    assert here("run", "flares.yaml").code == 0
    return path


def test_the_report_is_one_page_that_needs_nothing_from_elsewhere(here: Any, flares: Path, home: Path) -> None:
    answer = here("report", "flares")
    assert answer.code == 0, answer.err
    path = Path(answer.out.strip())
    assert path.parent.parent == home / "pipeline"
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=[\"'](?!data:)", page) and "<script" not in page
    assert "Flares &amp; dips &lt;of&gt; simulated stars" in page
    for words in ("Best detections", "Efficiency", "Most variable sources", "Parameters", "snr_threshold: 2.5"):
        assert words in page
    assert path.parent.name.removeprefix("FLARES_") in page, "the checksum of the parameters"
    # sky, time, four of numbers, and the best detections
    assert page.count("data:image/png;base64,") > 6
    assert path.stat().st_size < 2_000_000
    other = here("report", "flares.yaml", "-o", "mine.html", "--best", "1", "--json")
    assert json.loads(other.out)["report"] == "mine.html"
    assert (flares.parent / "mine.html").stat().st_size < path.stat().st_size


def test_a_report_is_made_of_a_run_without_any_data(here: Any, tmp_path: Path, home: Path) -> None:
    (tmp_path / "empty.yaml").write_text(PROJECT + "observatories:\n  DEMO:\n    sim_args: {num_points: 0}\n")
    assert here("run", "empty.yaml").code == 0
    answer = here("report", "empty")
    assert answer.code == 0, answer.err
    assert "No epoch rose above the threshold" in Path(answer.out.strip()).read_text()


def test_a_run_is_published_by_one_command_and_queried(here: Any, flares: Path, home: Path) -> None:
    answer = here("publish", "--run", "flares", "--base-url", "https://data.example.org/vo")
    assert answer.code == 0, answer.err
    assert re.search(r"^flares\.light_curves: 1,000 rows, ", answer.out, re.MULTILINE)
    assert "https://data.example.org/vo" in answer.err
    found = here("query", "SELECT access_url FROM ivoa.ObsCore WHERE dataproduct_type = 'timeseries'")
    assert found.out.count("https://data.example.org/vo/tap/sync?") == 10
    assert here("check").code == 0
    document = json.loads(here("publish", "--run", "flares.yaml", "--name", "other", "--json").out)
    assert document["tables"][0]["name"] == "other.properties"
    taken = here("publish", "--run", "flares", "--no-replace")
    assert taken.code == 2 and "is published already" in taken.err


def test_what_cannot_be_published_is_told_in_one_sentence(here: Any, flares: Path) -> None:
    for words, told in (
        ((), "give a FILE to publish, or --run NAME"),
        (("--run", "flares", "--obscore"), "--run takes no option but"),
        (("--run", "flares", "--name", "a.b"), "a run has several"),
        (("--run", "flares", "--name", "tap"), "is taken by the service itself"),
        (("--run", "flares", "--base-url", "nonsense"), "base_url"),
        (("--run", "flairs"), "Did you mean FLARES?"),
        (("stars.csv", "--base-url", "https://x.org"), "--base-url belongs to --run"),
    ):
        answer = here("publish", *words)
        assert answer.code in (1, 2) and told in answer.err, answer
        assert answer.err.count("\n") == 1 and "fault of Skyvault" not in answer.err

"""``skyvault find`` as a person and a program use it."""

import json

import pyarrow.parquet as pq
import pytest


@pytest.fixture
def find(skyvault, sandbox, tmp_path):
    def run(*arguments):
        variables = {"SKYVAULT_HOME": str(tmp_path / "home"), "SKYVAULT_ARCHIVE_BACKOFF_S": "0", "COLUMNS": "120"}
        return skyvault("find", *arguments, env=sandbox.environment() | variables)

    return run


def test_a_place_is_found_in_several_missions(find):
    answer = find("LMC X-1", "--radius", "30arcmin", "--missions", "chandra,suzaku")
    assert answer.code == 0, answer.err
    assert "chandra" in answer.out and "suzaku" in answer.out
    assert all(len(line) <= 120 for line in answer.out.splitlines())
    assert "observations of LMC X-1" in answer.err


def test_programs_get_rows_problems_and_files(find, tmp_path):
    answer = find(
        "340.12599 3.35853",
        *("--services", "registry", "--missions", "none", "--kinds", "image", "--json"),
        *("-o", tmp_path / "plates.parquet", "--plot", tmp_path / "sky.png"),
    )
    assert answer.code == 3
    document = json.loads(answer.out)
    assert len(document["observations"]) == pq.read_table(tmp_path / "plates.parquet").num_rows == 450
    assert {one["service"] for one in document["problems"]} == {
        "Closed Observatory (obstap)",
        "Moved Observatory (obstap)",
    }
    assert "Problem: Closed Observatory (obstap)" in answer.err
    assert (tmp_path / "sky.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("62 -37", "--radius", "wide"), "--radius 'wide' is no angle"),
        (("62 -37", "--missions", "hubble"), "there is no mission 'hubble'"),
        (("62 -137", "--missions", "chandra"), "-137"),
        (("62 -37", "--time", "2001/2000"), "ends before it begins"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(find, arguments, told):
    answer = find(*arguments)
    assert answer.code == 2 and told in answer.err
    assert "Traceback" not in answer.err

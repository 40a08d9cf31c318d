"""Missions on the command line, against the sandbox: listed, looked up by all options, fetched, and what goes wrong."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from processes import environment
from skyvault.cli.main import run
from skyvault.cli.mission_options import _window
from skyvault.cli.position_list import angle, position, read_positions
from skyvault.errors import UsageError
from skyvault.sandbox import Fault


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A data directory that tests of this module share, so that each table is fetched once."""
    return tmp_path_factory.mktemp("tables")


@pytest.fixture
def cli(sandbox, tables, monkeypatch, tmp_path, capsys):
    """``cli("missions")`` runs a command in this process: (exit code, stdout, stderr)."""
    for variable, address in sandbox.environment().items():
        monkeypatch.setenv(variable, address)
    monkeypatch.setenv("SKYVAULT_HOME", str(tables))
    monkeypatch.setenv("SKYVAULT_ARCHIVE_ATTEMPTS", "2")
    monkeypatch.setenv("SKYVAULT_ARCHIVE_BACKOFF_S", "0.01")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def command(*arguments):
        code = run([str(one) for one in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def ids(out: str) -> list[str]:
    return [one["ObsID"] for one in json.loads(out)["observations"]]


# --- listing ---------------------------------------------------------------------------------------------------------


def test_the_missions_are_listed_with_what_is_cached(cli):
    cli("observations", "nustar", "--name", "3C 273")
    code, out, _ = cli("missions", "--json")
    listed = {one["name"]: one for one in json.loads(out)}
    assert code == 0 and len(listed) >= 12
    assert listed["nustar_pointed"]["rows"] > 100 and listed["nustar_pointed"]["date"].startswith("20")
    code, out, _ = cli("missions")
    assert "NuSTARPointed" in out and all(len(line) <= 100 for line in out.splitlines())


# --- looking up ------------------------------------------------------------------------------------------------------


def test_observations_are_found_by_name_and_by_position_alike(cli):
    code, by_name, err = cli("observations", "Chandra", "--name", "Abell 1656", "--json")
    assert code == 0 and "observations of Chandra" in err
    _, by_degrees, _ = cli("observations", "chandra", "--position", "194.953 27.9807", "--json")
    _, by_hours, _ = cli("observations", "CHANDRA", "--position", "12:59:48.72 +27:58:50.5", "--json")
    assert ids(by_name) == ids(by_degrees) == ids(by_hours) != []


def test_a_list_of_positions_gives_matches_with_its_own_names(cli, tmp_path):
    (tmp_path / "list.csv").write_text("name,ra,dec\nComa,194.953,27.9807\nCrab,83.6331,22.0145\nnowhere,1,-89\n")
    code, out, err = cli("observations", "chandra", "--positions", "list.csv", "--matches", "--json")
    rows = json.loads(out)["observations"]
    assert (
        code == 0 and {row["pos_name"] for row in rows} <= {"Coma", "Crab"} and "Coma" in {r["pos_name"] for r in rows}
    )
    assert all(0 <= row["separation"] < 1.0 for row in rows)
    assert "of the positions" in err


def test_filters_add_up(cli):
    _, everything, _ = cli("observations", "nustar", "--json")
    some = json.loads(everything)["observations"]
    kinds = {row["target_category"] for row in some}
    kind = sorted(kinds)[0]
    _, out, _ = cli("observations", "nustar", "--type", kind, "--time", "2000/2100", "--json")
    assert {row["target_category"] for row in json.loads(out)["observations"]} == {kind}
    two = [row["ObsID"] for row in some[:2]]
    _, out, _ = cli("observations", "nustar", "--ids", ",".join(two), "--json")
    assert sorted(ids(out)) == sorted(two)
    Path("ids.txt").write_text("\n".join(two))
    _, out, _ = cli("observations", "nustar", "--ids", "@ids.txt", "--rect", "0,-90,360,90", "--json")
    assert sorted(ids(out)) == sorted(two)


def test_a_table_fits_the_terminal(cli):
    code, out, _ = cli("observations", "nustar", "--name", "3C 273")
    assert code == 0 and "ObsID" in out and all(len(line) <= 100 for line in out.splitlines())


def test_rows_are_written_in_the_format_of_the_files_name(cli, tmp_path):
    code, _, _ = cli("observations", "nustar", "--name", "3C 273", "-o", "found.parquet")
    table = pq.read_table(tmp_path / "found.parquet")
    assert code == 0 and "ObsID" in table.column_names and table.num_rows > 0
    assert cli("observations", "nustar", "--name", "3C 273", "-o", "found.vot")[0] == 0
    from astropy.table import Table

    votable = Table.read(tmp_path / "found.vot", format="votable")
    assert len(votable) == table.num_rows and str(votable["duration"].unit) == "s"


def test_a_saved_choice_is_taken_up_again(cli):
    _, first, _ = cli("observations", "nustar", "--name", "3C 273", "--save", "choice.json", "--json")
    code, second, _ = cli("observations", "choice.json", "--offline", "--json")
    assert code == 0 and ids(first) == ids(second)


def test_offline_needs_no_archive_and_tells_what_is_missing(cli, sandbox, tmp_path, monkeypatch):
    cli("observations", "nustar", "--name", "3C 273")
    sandbox.faults.set(Fault("unreachable", archive="heasarc"))
    assert cli("observations", "nustar", "--offline", "--name", "3C 273")[0] == 0
    code, _, err = cli("observations", "suzaku", "--offline", "--home", tmp_path / "empty")
    assert code == 1 and err.startswith("skyvault: ") and "is cached here" in err and err.count("\n") == 1


# --- fetching --------------------------------------------------------------------------------------------------------


def sums(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_a_dry_run_lists_files_and_fetches_none(cli, tmp_path):
    code, out, err = cli("fetch", "nustar", "--name", "3C 273", "--dry-run", "--output", "data")
    assert code == 0 and "event_cl/" in out and "files to fetch" in err
    assert not sums(tmp_path)
    _, out, _ = cli("fetch", "nustar", "--name", "3C 273", "--dry-run", "--raw", "--json")
    assert not [one for one in json.loads(out)["files"] if "event_cl" in one["url"]]


def test_files_are_fetched_and_the_second_time_nothing_comes(cli, tmp_path):
    code, out, _ = cli("fetch", "nustar", "--name", "3C 273", "--output", "data", "--json")
    first = json.loads(out)
    assert code == 0 and first["whole"] and not first["problems"]
    assert list((tmp_path / "data" / "nustar_pointed_raw").iterdir())
    code, out, _ = cli("fetch", "nustar", "--name", "3C 273", "--output", "data", "--json")
    assert code == 0 and all(one["was_there"] and one["received_bytes"] == 0 for one in json.loads(out)["whole"])
    code, out, _ = cli("fetch", "nustar", "--name", "3C 273", "--output", "data")
    assert "observations are whole" in out and "0 bytes came now" in out


def test_what_failed_is_listed_and_the_same_command_completes_it(cli, sandbox, tmp_path):
    obs_id = ids(cli("observations", "nustar", "--name", "3C 273", "--json")[1])[0]
    sandbox.faults.set(Fault("missing", archive="heasarc", path=f"*nu{obs_id}*evt*"))
    code, out, err = cli("fetch", "nustar", "--name", "3C 273", "--output", "data")
    assert code == 3 and obs_id in err and "observations are whole" in out
    sandbox.faults.clear()
    code, _, err = cli("fetch", "nustar", "--name", "3C 273", "--output", "data")
    assert code == 0 and not err


def test_failures_that_may_pass_are_tried_again_when_asked(cli, sandbox):
    sandbox.faults.set(Fault("busy", archive="heasarc", path="*evt*", times=4))
    code, _, _ = cli("fetch", "nustar", "--name", "3C 273", "--output", "data", "--retry", "5", "--jobs", "1")
    assert code == 0


def test_more_than_a_few_hundred_observations_need_a_word(cli):
    code, _, err = cli("fetch", "nustar", "--output", "data")
    assert code == 2 and "--all" in err


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(cli, sandbox, tables, tmp_path):
    cli("observations", "nustar", "--name", "3C 273")
    sandbox.faults.set(Fault("slow", archive="heasarc", path="*evt*", seconds=0.4))
    command = [sys.executable, "-m", "skyvault.cli", "fetch", "nustar", "--name", "3C 273", "--output", "data"]
    variables = environment() | sandbox.environment() | {"SKYVAULT_HOME": str(tables)}
    process = subprocess.Popen(command, cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True)
    is_slow = threading.Event()

    def look() -> None:
        while not sandbox.faults.struck.get("slow") and process.poll() is None:
            is_slow.wait(0.01)

    before = sandbox.faults.struck.pop("slow", 0)
    watch = threading.Thread(target=look)
    watch.start()
    watch.join(30)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    sandbox.faults.struck["slow"] = sandbox.faults.struck.get("slow", 0) + before
    assert process.returncode == 130 and "goes on from here" in err
    sandbox.faults.clear()
    assert cli("fetch", "nustar", "--name", "3C 273", "--output", "data")[0] == 0
    assert cli("fetch", "nustar", "--name", "3C 273", "--output", "other")[0] == 0
    assert sums(tmp_path / "data") == sums(tmp_path / "other")


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["observations", "Chandre"], 2, "Did you mean Chandra"),
        (["observations", "nustar", "--position", "somewhere"], 2, "--position 'somewhere'"),
        (["observations", "nustar", "--position", "10 95"], 2, "no place on the sky"),
        (["observations", "nustar", "--radius", "3"], 2, "needs a position"),
        (["observations", "nustar", "--position", "1 2", "--radius", "wide"], 2, "is no angle"),
        (["observations", "nustar", "--time", "2015"], 2, "is no span"),
        (["observations", "nustar", "--time", "2015/2010"], 2, "ends before it begins"),
        (["observations", "nustar", "--rect", "1,2,3"], 2, "RA1,DEC1,RA2,DEC2"),
        (["observations", "nustar", "--type", "PLANET"], 2, "is no target type"),
        (["observations", "nustar", "--insts", "XRT"], 2, "is no instrument of NuSTAR"),
        (["observations", "nustar", "--ids", "12"], 2, "cannot be an ObsID"),
        (["observations", "nustar", "--ids", "@none.txt"], 2, "cannot be read"),
        (["observations", "nustar", "--fields", "x"], 2, "has no fields"),
        (["observations", "nustar", "--position", "1 -89", "--radius", "1arcsec"], 1, "would leave no observation"),
        (["observations", "nustar", "--positions", "none.csv"], 1, "none.csv"),
        (["observations", "nustar", "--matches"], 2, "--matches needs positions"),
        (["observations", "nustar", "--save", "choice.txt"], 2, "does not end in .json"),
        (["observations", "nustar", "--offline", "--refresh"], 2, "exclude each other"),
        (["observations", "nustar", "--name", "no such thing at all"], 1, "no position is known"),
        (["observations", "none.json"], 1, "no saved state none.json"),
        (["fetch", "nustar", "--jobs", "0", "--name", "3C 273"], 2, "--jobs"),
        (["fetch", "nustar", "--name", "3C 273", "--credentials", "none.ini"], 1, "no credentials file"),
    ],
)
def test_each_mistake_is_told_in_one_sentence(cli, arguments, code, told):
    found, out, err = cli(*arguments)
    assert (found, out) == (code, "") and told in err
    assert err.startswith("skyvault: ") and err.strip().count("\n") == 0 and "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "ra", "dec"),
    [
        ("10.685 41.269", 10.685, 41.269),
        ("10.685,-41.269", 10.685, -41.269),
        ("-10, +5", 350.0, 5.0),
        ("00:42:44.3 +41:16:09", 10.684583, 41.269167),
        ("0h42m44.3s -0d16m9s", 10.684583, -0.269167),
        ("00 42 44.3 \u221200 16 09", 10.684583, -0.269167),
    ],
)
def test_positions_are_understood_as_people_write_them(text, ra, dec):
    assert position(text) == pytest.approx((ra, dec), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "deg"), [("0.5", 0.5), ("30arcmin", 0.5), ("30'", 0.5), ("36 arcsec", 0.01), ('36"', 0.01)]
)
def test_angles_are_understood_as_people_write_them(text, deg):
    assert angle(text, "--radius") == pytest.approx(deg)


def test_times_may_be_years_days_and_modified_julian_dates():
    assert _window("2015/2016") == ("2015-01-01T00:00:00", "2016-12-31T23:59:59.999999")
    assert _window("2015-02-03/2015-02-03") == ("2015-02-03", "2015-02-03T23:59:59.999999")
    assert _window("/51544.5")[1] == "2000-01-01T12:00:00"
    assert _window("2020/")[1].startswith("2200")


@pytest.mark.parametrize(
    "text",
    ["RAJ2000,DEJ2000,x\n10.5,-3.25,1\n", "ra,dec,target\n00:42:00,-03:15:00,M 31\n", "ra\tdec\n10.5\t-3.25\n"],
)
def test_positions_are_found_in_files_of_many_kinds(tmp_path, text):
    path = tmp_path / ("list.tsv" if "\t" in text else "list.csv")
    path.write_text(text)
    found = read_positions(path)
    assert (found.ra[0], found.dec[0]) == pytest.approx((10.5, -3.25))
    assert found.names == (["M 31"] if "target" in text else None)


def test_a_file_without_positions_is_told_with_its_columns(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="it has a, b"):
        read_positions(path)


# --- archives that answer for one place ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mission", "where"),
    [("ztf", ("--name", "RY Cnc")), ("dasch", ("--position", "129.98 19.82")), ("tess", ("--name", "TIC 25155310"))],
)
def test_an_archive_that_answers_for_one_place_is_asked_for_it(cli, sandbox, mission, where):
    code, out, _ = cli("observations", mission, *where, "--json")
    found = ids(out)
    assert code == 0 and found
    # what was asked once is kept
    sandbox.faults.set(Fault("unreachable"))
    assert ids(cli("observations", mission, *where, "--json")[1]) == found


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "answers for one place at a time"),
        (("--name", "RY Cnc", "--name", "HD 5501"), "answers for one place at a time"),
        (("--name", "RY Cnc", "--matches"), "all these observations of ZTF match the place"),
        (("--name", "RY Cnc", "--offline"), "what was asked once is kept"),
    ],
)
def test_what_such_an_archive_cannot_be_asked_is_told(cli, arguments, told):
    code, _, err = cli("observations", "ztf", *arguments)
    assert code == 2 and told in err


def test_images_of_such_an_archive_are_fetched(cli, tmp_path):
    asked = ("ztf", "--name", "RY Cnc", "--time", "2018-10-05/2018-10-07")
    code, out, err = cli("fetch", *asked, "--output", tmp_path / "images", "--json")
    assert code == 0, err
    assert len(json.loads(out)["whole"]) == len(ids(cli("observations", *asked, "--json")[1])) > 0


def test_help_needs_no_astropy():
    code = "import sys; from skyvault.cli.main import run; run(['fetch', '--help']); print('astropy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment(), capture_output=True, text=True)
    assert done.stdout.strip().endswith("False")

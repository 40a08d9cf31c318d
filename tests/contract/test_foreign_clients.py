"""Clients that others wrote find, query, upload and wait for jobs here: pyvo, astroquery and STILTS."""

from __future__ import annotations

import gc
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from conftest import Server

# foreign code may warn about itself
pytestmark = pytest.mark.filterwarnings("default")

CONE = "SELECT source_id, ra, dec, mag_vt FROM demo.stars WHERE 1=CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 83.8, -5.4, 2))"


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Connections that foreign clients forget are collected here, where warnings of it are expected."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def positions() -> Table:
    rng = np.random.default_rng(3)
    return Table({"uid": np.arange(50), "ra": rng.uniform(80, 90, 50), "dec": rng.uniform(-10, 0, 50)})


@pytest.fixture(scope="module")
def pyvo_service(server: Server) -> Iterator[Any]:
    import pyvo

    service = pyvo.dal.TAPService(server.tap)
    yield service
    service._session.close()


# ---------------------------------------------------------------- pyvo


def test_pyvo_reads_capabilities_tables_and_examples(pyvo_service: Any) -> None:
    assert pyvo_service.available
    assert pyvo_service.maxrec == 20_000
    assert "demo.stars" in pyvo_service.tables
    columns = {column.name: column for column in pyvo_service.tables["demo.stars"].columns}
    assert columns["ra"].ucd == "pos.eq.ra;meta.main" and str(columns["ra"].unit) == "deg"
    assert len(pyvo_service.examples) >= 3


def test_pyvo_searches_a_cone_and_gets_units(pyvo_service: Any) -> None:
    result = pyvo_service.search(CONE)
    assert len(result) > 10
    assert result.to_table()["ra"].unit == "deg"


def test_pyvo_sees_that_rows_were_left_out(pyvo_service: Any) -> None:
    import pyvo

    with pytest.warns(pyvo.dal.exceptions.DALOverflowWarning):
        result = pyvo_service.search("SELECT source_id FROM demo.stars")
    assert len(result) == 20_000 and result.query_status == "OVERFLOW"
    with warnings.catch_warnings():
        warnings.simplefilter("error", pyvo.dal.exceptions.DALOverflowWarning)
        assert len(pyvo_service.search("SELECT TOP 7 * FROM demo.stars", maxrec=7)) == 7


def test_pyvo_uploads_a_table_and_joins_it(pyvo_service: Any, positions: Table) -> None:
    result = pyvo_service.search(
        "SELECT u.uid, s.source_id FROM TAP_UPLOAD.mine AS u JOIN demo.stars AS s ON DISTANCE(u.ra, u.dec, s.ra, s.dec) < 0.5",
        uploads={"mine": positions},
    )
    assert len(result) > 5
    assert set(result["uid"].tolist()) <= set(range(50))


def test_pyvo_runs_an_asynchronous_job_and_deletes_it(pyvo_service: Any) -> None:
    import pyvo

    job = pyvo_service.submit_job(CONE)
    assert job.phase == "PENDING"
    job.run().wait(phases=["COMPLETED", "ERROR"], timeout=30)
    job.raise_if_error()
    assert len(job.fetch_result()) == len(pyvo_service.search(CONE))
    url = job.url
    job.delete()
    with pytest.raises(pyvo.dal.exceptions.DALServiceError):
        pyvo.dal.AsyncTAPJob(url)


def test_pyvo_raises_the_servers_sentence_for_a_wrong_query(pyvo_service: Any) -> None:
    import pyvo

    with pytest.raises(pyvo.dal.exceptions.DALQueryError, match=r"line 1, column 8.*mag_v"):
        pyvo_service.search("SELECT mag_v FROM demo.stars")


def test_pyvo_searches_a_cone_by_scs(server: Server) -> None:
    import pyvo

    result = pyvo.dal.SCSService(f"{server.base_url}/demo/stars/scs").search(pos=(83.8, -5.4), radius=2)
    assert len(result) > 10
    assert abs(result[0].pos.ra.deg - 83.8) < 4


def test_pyvo_finds_images_in_obscore(pyvo_service: Any) -> None:
    result = pyvo_service.search("SELECT * FROM ivoa.ObsCore WHERE dataproduct_type = 'image'")
    assert len(result) == 60


# ---------------------------------------------------------------- astroquery


def test_tapplus_lists_tables_and_runs_jobs(server: Server) -> None:
    from astroquery.utils.tap.core import TapPlus

    tap = TapPlus(url=server.tap)
    names = [table.get_qualified_name() for table in tap.load_tables(verbose=False)]
    assert any("demo.stars" in name for name in names)
    rows = tap.launch_job(CONE).get_results()
    assert len(rows) > 10
    job = tap.launch_job_async(CONE)
    assert len(job.get_results()) == len(rows)


# ---------------------------------------------------------------- STILTS


def stilts(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        ["stilts", *arguments], cwd=folder, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.stilts
@pytest.mark.parametrize("sync", ["true", "false"])
def test_stilts_tapquery_gets_rows(server: Server, tmp_path: Path, sync: str) -> None:
    out = stilts(
        "tapquery", f"tapurl={server.tap}", f"sync={sync}", f"adql={CONE}", "out=-", "ofmt=csv", folder=tmp_path
    )
    assert out.count("\n") > 10


@pytest.mark.stilts
def test_stilts_tapquery_uploads_a_table(server: Server, tmp_path: Path, positions: Table) -> None:
    positions.write(tmp_path / "mine.fits")
    out = stilts(
        "tapquery",
        f"tapurl={server.tap}",
        "nupload=1",
        "upload1=mine.fits",
        "upname1=mine",
        "adql=SELECT * FROM TAP_UPLOAD.mine",
        "out=-",
        "ofmt=csv",
        folder=tmp_path,
    )
    assert out.count("\n") == 51


@pytest.mark.stilts
def test_stilts_tapskymatch_matches_positions(server: Server, tmp_path: Path, positions: Table) -> None:
    positions.write(tmp_path / "mine.fits")
    out = stilts(
        "tapskymatch",
        f"tapurl={server.tap}",
        "in=mine.fits",
        "inlon=ra",
        "inlat=dec",
        "taptable=demo.stars",
        "taplon=ra",
        "taplat=dec",
        "sr=0.5",
        "find=all",
        "blocksize=20",
        "out=-",
        "ofmt=csv",
        folder=tmp_path,
    )
    assert out.count("\n") > 5


@pytest.mark.stilts
def test_stilts_taplint_reports_no_error_and_only_the_optional_table_as_absent(server: Server, tmp_path: Path) -> None:
    out = stilts("taplint", f"tapurl={server.tap}", "report=EWF", "maxrepeat=50", folder=tmp_path)
    problems = [line for line in out.splitlines() if line.startswith(("E-", "F-"))]
    assert problems == [line for line in problems if line.startswith("F-LOC-NOTP")], "\n".join(problems)
    # languages of ADQL 2.1 have more features than STILTS 3.4 knows by name; nothing else is warned of
    warned = [line for line in out.splitlines() if line.startswith("W-") and not line.startswith("W-CAP-CULF")]
    assert warned == []

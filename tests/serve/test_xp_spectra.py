"""Gaia XP spectra published: a table of vectors with their axis, found by TAP and SSA, joined by place, fetched."""

from __future__ import annotations

import io
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import xp_copies
from skyvault.config import Settings
from skyvault.errors import ConfigError, IngestError
from skyvault.publish.publisher import publish
from skyvault.publish.resource_publisher import publish_resource
from skyvault.science.xp_files import xp_spectra
from skyvault.science.xp_instrument import XpDesign
from skyvault.science.xp_sampling import grids, sample_xp

RESOURCE = """\
schema: gaiaxp
title: Sampled XP spectra
description: Low-resolution spectra of Gaia DR3 from 400 to 800 nm with decorrelated errors.
xp:
  spectra:
    title: Gaia DR3 XP
    files: ['archive/*.csv', 'archive/*.fits', 'copies.parquet', 'broken/*']
    positions: positions.parquet
  exact:
    files: 'archive/*.csv'
    realisations: 0
    grid: {start: 340, stop: 1000, step: 30}
    obscore: false
services: [ssa]
"""
_COPIES = 2_000
pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def archive(shared_data: Path) -> Path:
    return shared_data / "spectra" / "gaia_xp" / "xp_continuous"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Path:
    folder = tmp_path_factory.mktemp("xp")
    (folder / "archive").mkdir()
    (folder / "broken").mkdir()
    shutil.copy(archive / "XP_CONTINUOUS_RAW_with_missing_BP.csv", folder / "archive")
    shutil.copy(archive / "XP_CONTINUOUS_RAW_colour_eq_dr3int6.csv", folder / "archive")
    (folder / "broken" / "no.csv").write_text("a,b\n1,2\n")
    made = xp_copies.write_copies(folder / "copies.parquet", xp_copies.real(archive), _COPIES)
    (folder / "resource.yaml").write_text(RESOURCE)
    settings = Settings(home=folder / "home")
    done = publish_resource(folder, settings=settings)
    assert done.problems == [("broken/no.csv", "it has no column source_id")]
    told = {one.name: one.rows for one in done.collections}
    assert told == {"gaiaxp.spectra": _COPIES + 6, "gaiaxp.exact": 6}
    assert [path for path, _ in done.collections[0].ingested.remarks] == [
        "archive/XP_CONTINUOUS_RAW_colour_eq_dr3int6.csv", "archive/XP_CONTINUOUS_RAW_with_missing_BP.csv",
    ]  # fmt: skip
    # a survey like LAMOST: spectra within a second of arc of some of them, and of nothing
    places = pq.read_table(folder / "positions.parquet").sort_by("source_id")
    ra = np.concatenate([places["ra"].to_numpy()[::2] + 0.0001, np.linspace(0, 359, 500)])
    dec = np.concatenate([places["dec"].to_numpy()[::2], np.full(500, 89.0)])
    survey = pa.table({"obsid": np.arange(len(ra)), "ra": ra, "dec": dec, "snrg": np.linspace(1, 100, len(ra))})
    pq.write_table(survey, folder / "lamost.parquet")
    publish(folder / "lamost.parquet", name="lamost.spectra", settings=settings)
    assert len(made) == _COPIES
    return folder / "home"


@pytest.fixture(scope="module")
def base(home: Path, start_server: Callable[..., Any]) -> str:
    return str(start_server(home).base_url)


def tap(base: str, query: str, **more: Any) -> Any:
    import pyvo

    return pyvo.dal.TAPService(f"{base}/tap").search(query, **more)


def raw(base: str, query: str, kind: str = "votable/td") -> bytes:
    words = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": kind}
    with urllib.request.urlopen(f"{base}/tap/sync?{urllib.parse.urlencode(words)}") as answer:
        return bytes(answer.read())


# --- the table of vectors --------------------------------------------------------------------------------------------


def test_the_vectors_are_those_sampled_from_the_coefficients(base: str, archive: Path) -> None:
    rows = tap(base, "SELECT source_id, flux, flux_error, bands, position_from FROM gaiaxp.spectra").to_table()
    spectra = xp_copies.real(archive)
    expected = sample_xp(XpDesign.of(grids(400, 800, 10)), spectra.bp, spectra.rp, spectra.source_id)
    for row, source in enumerate(spectra.source_id.tolist()):
        found = rows[rows["source_id"] == source]
        np.testing.assert_allclose(found["flux"][0], expected.flux[row], rtol=1e-6)
        np.testing.assert_allclose(found["flux_error"][0], expected.error[row], rtol=1e-5)
        assert found["position_from"][0] == "source_id"
    assert sorted(set(rows["bands"])) == ["BP+RP", "RP"]
    assert (rows["position_from"] == "positions").sum() == _COPIES


def test_the_spectral_axis_comes_with_every_result_that_holds_flux(base: str) -> None:
    from astropy.io.votable import parse

    wavelength = np.arange(400, 801, 10)
    for query in (
        "SELECT TOP 3 flux FROM gaiaxp.spectra",
        "SELECT TOP 3 source_id, flux_error AS e, ra FROM gaiaxp.spectra WHERE flux[1] > 0",
        "SELECT TOP 3 a.flux, b.snrg FROM gaiaxp.spectra AS a JOIN lamost.spectra AS b"
        " ON DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.001",
        "SELECT TOP 3 s.flux FROM (SELECT flux FROM gaiaxp.spectra) AS s",
        "SELECT TOP 3 1e16 * flux - flux_error AS e FROM gaiaxp.spectra",
        "SELECT TOP 3 flux / flux_error AS e, -flux AS f FROM gaiaxp.spectra",
        "SELECT TOP 3 arr_map(log10(abs(x)), flux) AS e FROM gaiaxp.spectra",
        "SELECT AVG(flux) AS e FROM gaiaxp.spectra WHERE bands = 'BP+RP'",
        "SELECT SUM(flux) AS e, bands FROM gaiaxp.spectra GROUP BY bands",
    ):
        for kind in ("votable/td", "votable/b2"):
            table = parse(io.BytesIO(raw(base, query, kind)), verify="exception").get_first_table()
            field = next(one for one in table.fields if one.name in ("flux", "e"))
            (axis,) = (one for one in table.params if field.ref == one.ID)
            assert axis.name == "spectral" and axis.unit == "nm" and axis.ucd == "em.wl"
            assert list(axis.value) == list(wavelength)
    both = raw(base, "SELECT a.flux, b.flux AS other FROM gaiaxp.spectra AS a JOIN gaiaxp.exact AS b USING (source_id)")
    table = parse(io.BytesIO(both)).get_first_table()
    assert sorted(len(one.value) for one in table.params) == [23, 41]
    assert len({one.ref for one in table.fields}) == 2
    for text in ("source_id, ra", "flux[3]", "flux[1:5] AS part", "arr_avg(flux) AS mean"):
        assert b"PARAM" not in raw(base, f"SELECT TOP 1 {text} FROM gaiaxp.spectra")


def test_other_formats_tell_the_axis_in_their_own_way(base: str) -> None:
    import json

    from astropy.io import fits
    from astropy.table import Table

    from skyvault.formats import open_table

    query, wavelength = "SELECT TOP 2 source_id, flux AS f FROM gaiaxp.spectra", list(range(400, 801, 10))
    metadata = json.loads(raw(base, query, "json"))["metadata"]
    assert metadata[1]["axis"] == {"name": "spectral", "unit": "nm", "values": wavelength} and "axis" not in metadata[0]
    with fits.open(io.BytesIO(raw(base, query, "fits"))) as file:
        told = " ".join("".join(file[1].header["COMMENT"]).split())
    assert told.startswith("spectral (nm) of f: 400 410 420") and "790 800" in told
    table = Table.read(raw(base, query, "ecsv").decode(), format="ascii.ecsv")
    assert table.meta["spectral"] == {"unit": "nm", "values": wavelength}
    for kind in ("parquet", "arrow", "votable/b"):
        described = open_table(raw(base, query, kind)).table
        assert [param.id for param in described.params] == [described.columns[1].ref]


def test_colours_and_averages_are_made_of_vectors(base: str) -> None:
    rows = tap(
        base,
        "SELECT source_id, arr_avg(flux[1:11]) AS blue, arr_avg(flux[31:41]) AS red, flux FROM gaiaxp.spectra"
        " WHERE bands = 'BP+RP' AND arr_avg(flux[1:11]) < arr_avg(flux[31:41])",
    ).to_table()
    assert len(rows) > 100
    flux = np.stack(rows["flux"])
    np.testing.assert_allclose(rows["blue"], flux[:, :11].mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(rows["red"], flux[:, 30:].mean(axis=1), rtol=1e-4)


# --- the join of the posts -------------------------------------------------------------------------------------------

_JOIN = (
    "SELECT a.source_id, a.flux, b.obsid FROM gaiaxp.spectra AS a JOIN lamost.spectra AS b"
    " ON DISTANCE(a.ssa_location, POINT(b.ra, b.dec)) < 0.001"
)


def test_spectra_of_two_surveys_are_joined_by_their_places(base: str) -> None:
    rows = tap(base, _JOIN)
    assert len(rows) == _COPIES // 2
    turned = tap(
        base, _JOIN.replace("DISTANCE(a.ssa_location, POINT(b.ra, b.dec))", "DISTANCE(b.ra, b.dec, a.ra, a.dec)")
    )
    assert sorted(turned["obsid"]) == sorted(rows["obsid"])


def test_a_survey_that_is_uploaded_is_joined_by_its_points(base: str) -> None:
    import pyvo
    from astropy.io.votable import from_table
    from astropy.table import Table

    rows = tap(base, "SELECT TOP 50 obsid, ra, dec FROM lamost.spectra WHERE dec < 80 ORDER BY obsid").to_table()
    table = Table({"obsid": rows["obsid"], "ssa_location": np.stack([rows["ra"], rows["dec"]], axis=1)})
    document = from_table(table)
    (field,) = (one for one in document.get_first_table().fields if one.name == "ssa_location")
    field.xtype, field.unit = "point", "deg"
    held = io.BytesIO()
    document.to_xml(held)
    held.seek(0)
    found = pyvo.dal.TAPService(f"{base}/tap").search(
        "SELECT a.source_id, a.flux, b.obsid FROM gaiaxp.spectra AS a JOIN TAP_UPLOAD.mine AS b"
        " ON DISTANCE(a.ssa_location, b.ssa_location) < 0.001",
        uploads={"mine": held},
    )
    assert len(found) == 50 and len(set(found["obsid"])) == 50


def test_more_rows_than_are_given_out_are_told(base: str) -> None:
    rows = tap(base, _JOIN, maxrec=20)
    assert len(rows) == 20 and rows.query_status == "OVERFLOW"
    assert tap(base, _JOIN, maxrec=_COPIES // 2).query_status == "OK"


def test_the_join_by_points_goes_by_the_index_of_the_sky(home: Path) -> None:
    """Also between two tables whose places are points: spectra with themselves."""
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.query import Limits, compile_query

    with DuckStore(Settings(home=home)) as store:
        for condition in (
            "DISTANCE(a.ssa_location, b.ssa_location) < 0.001",
            "1 = CONTAINS(a.ssa_location, CIRCLE(b.ssa_location, 0.001))",
        ):
            text = f"SELECT a.source_id FROM gaiaxp.spectra AS a, gaiaxp.spectra AS b WHERE {condition}"
            plan, values = compile_query(text, store.view(), Limits())
            assert "_healpix_29" in plan.sql(values, None)
        cone = "SELECT source_id FROM gaiaxp.spectra WHERE DISTANCE(ssa_location, POINT(10, 20)) < 0.1"
        plan, values = compile_query(cone, store.view(), Limits())
        assert "_healpix_29 BETWEEN" in plan.sql(values, None)


# --- SSA, links and spectra ------------------------------------------------------------------------------------------


def test_ssa_finds_a_spectrum_and_gives_it_as_the_ivoa_has_it(base: str, archive: Path) -> None:
    import pyvo
    from astropy.io.votable import parse

    spectra = xp_copies.real(archive)
    source = int(spectra.source_id[0])
    place = tap(base, f"SELECT ra, dec FROM gaiaxp.spectra WHERE source_id = {source}")[0]
    found = pyvo.dal.SSAService(f"{base}/ssa?").search(pos=(place["ra"], place["dec"]), diameter=0.001)
    assert len(found) == 1
    record = found[0]
    assert record["ssa_targname"] == f"Gaia DR3 {source}" and record["ssa_length"] == 41
    assert record["mime"] == "application/x-votable+xml" and record["ssa_telescope"] == "Gaia"
    with urllib.request.urlopen(record.getdataurl()) as answer:
        document = parse(io.BytesIO(answer.read()), verify="exception")
    table = document.get_first_table()
    assert [one.utype for one in table.fields] == [
        "spec:Spectrum.Data.SpectralAxis.Value", "spec:Spectrum.Data.FluxAxis.Value",
        "spec:Spectrum.Data.FluxAxis.Accuracy.StatError",
    ]  # fmt: skip
    expected = sample_xp(XpDesign.of(grids(400, 800, 10)), spectra.bp, spectra.rp, spectra.source_id)
    assert list(table.array["spectral"]) == list(range(400, 801, 10))
    np.testing.assert_allclose(table.array["flux"], expected.flux[0], rtol=1e-6)
    assert {one.utype: one.value for one in table.params}["spec:Spectrum.Target.Name"] == str(source)


def test_links_lead_to_the_spectrum_and_its_picture(base: str, tmp_path: Path) -> None:
    import pyvo

    did = tap(base, "SELECT TOP 1 obs_publisher_did FROM gaiaxp.spectra_obs ORDER BY obs_id")[0]["obs_publisher_did"]
    links = pyvo.dal.adhoc.DatalinkResults.from_result_url(f"{base}/datalink/links?ID={urllib.parse.quote(did)}")
    by_term = {one["semantics"]: one for one in links}
    assert set(by_term) == {"#this", "#preview-plot"}
    with urllib.request.urlopen(by_term["#preview-plot"]["access_url"]) as answer:
        assert answer.headers["content-type"] == "image/png"
        assert answer.read().startswith(b"\x89PNG")
    for wrong in ("/get/gaiaxp.spectra_obs/12", "/get/gaiaxp.spectra_obs/x'%20OR%201=1", "/get/gaiaxp.spectra/1"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(base + wrong)
        with caught.value as answer:
            assert answer.code == 404


def test_a_table_kept_out_of_obscore_is_no_observation(base: str) -> None:
    assert len(tap(base, "SELECT obs_id FROM ivoa.ObsCore")) == _COPIES + 6
    assert len(tap(base, "SELECT obs_id FROM gaiaxp.exact_obs")) == 6
    rows = tap(base, "SELECT source_id, flux, flux_error FROM gaiaxp.exact WHERE bands = 'RP'")
    assert np.isnan(rows[0]["flux"][:10]).all() and np.isfinite(rows[0]["flux"][10:]).all()


# --- what may be wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("{files: '*.csv', realisations: 1}", "one realisation"),
        ("{files: '*.csv', grid: {start: 800, stop: 400}}", "stop is before start"),
        ("{files: '*.csv', grid: {start: 200}}", "330"),
        ("{files: '*.fits'}", "no file matches"),
        ("{files: 'no.csv'}", "none of its 1 files can be published; no.csv: it has no column source_id"),
        ("{files: 'bad.csv'}", "-5 is no source_id of Gaia"),
        ("{files: '*.csv', positions: nowhere.csv}", "no file 'nowhere.csv'"),
        ("{files: '*.csv', positions: no.csv}", "positions has no column source_id"),
        ("{files: '*.csv', instrument: .}", "bp.*_bases.csv"),
    ],
)
def test_what_cannot_be_published_is_one_sentence(tmp_path: Path, archive: Path, section: str, told: str) -> None:
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    text = (archive / "XP_CONTINUOUS_RAW_missing_BP_dr3int6.csv").read_text()
    (tmp_path / "bad.csv").write_text(text.replace("5405570973190252288", "-5"))
    (tmp_path / "resource.yaml").write_text(f"schema: xp\ntitle: t\ndescription: d\nxp: {{spectra: {section}}}\n")
    with pytest.raises((ConfigError, IngestError), match=told):
        publish_resource(tmp_path, settings=Settings(home=tmp_path / "home"))


def test_of_a_damaged_file_the_spectra_before_the_damage_are_taken(tmp_path: Path, archive: Path) -> None:
    lines = (archive / "XP_CONTINUOUS_RAW_colour_eq_dr3int6.csv").read_text().splitlines()
    (tmp_path / "xp.csv").write_text("\n".join(lines[:3]) + "\n" + lines[3][: len(lines[3]) // 2] + "\n")
    (tmp_path / "good.csv").write_text("\n".join(lines[:2]) + "\n")
    (tmp_path / "resource.yaml").write_text("schema: xp\ntitle: t\ndescription: d\nxp: {spectra: {files: '*.csv'}}\n")
    done = publish_resource(tmp_path, settings=Settings(home=tmp_path / "home"))
    assert [path for path, _ in done.problems] == ["xp.csv"]
    assert done.collections[0].rows in (1, 3)


def test_a_publish_that_is_killed_goes_on_and_what_has_not_changed_is_not_read_again(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skyvault.publish import xp_reading
    from skyvault.serve.local import query

    real = xp_copies.real(archive)
    for number in range(3):
        xp_copies.write_copies(tmp_path / "x.parquet", real, 1_200, seed=number)
        (tmp_path / "x.parquet").rename(tmp_path / f"{number}.xp")
    shutil.copy(archive / "XP_CONTINUOUS_RAW_colour_eq_dr3int6.csv", tmp_path / "few.xp")
    text = "schema: xp\ntitle: t\ndescription: d\nxp: {spectra: {files: '*.xp', positions: positions.parquet}}\n"
    (tmp_path / "resource.yaml").write_text(text)
    settings = Settings(home=tmp_path / "home")
    kept = tmp_path / "home" / "ingest" / "xp.spectra.xp"
    read: list[str] = []

    def reader(path: Path) -> Any:
        read.append(path.name)
        if path.name == "2.xp" and len(read) == 3:
            raise KeyboardInterrupt
        return xp_spectra(path)

    monkeypatch.setattr(xp_reading, "xp_spectra", reader)
    with pytest.raises(KeyboardInterrupt):
        publish_resource(tmp_path, settings=settings)
    assert read == ["0.xp", "1.xp", "2.xp"] and len(list(kept.glob("*.parquet"))) == 2
    (kept / "left.99999999.part").write_bytes(b"half")
    del read[:]
    done = publish_resource(tmp_path, settings=settings).collections[0]
    assert read == ["2.xp", "few.xp"] and (done.rows, done.ingested.known) == (3_603, 2)
    assert len(list(kept.iterdir())) == 3

    def all_rows() -> Any:
        text = "SELECT source_id, ra, flux, flux_error, position_from FROM xp.spectra ORDER BY source_id"
        return pa.Table.from_batches(list(query(text, settings=settings).batches))

    before, remarks = all_rows(), done.ingested.remarks
    del read[:]
    again = publish_resource(tmp_path, settings=settings).collections[0]
    assert read == ["few.xp"] and again.ingested.remarks == remarks and len(remarks) == 3
    assert all_rows().equals(before)
    # what vanished is gone, what is damaged is made anew, another grid is another sampling
    (tmp_path / "1.xp").unlink()
    next(kept.iterdir()).write_bytes(b"PAR1")
    assert publish_resource(tmp_path, settings=settings).collections[0].rows == 2_403
    assert len(list(kept.iterdir())) == 2
    del read[:]
    (tmp_path / "resource.yaml").write_text(text.replace("files:", "realisations: 0, files:"))
    publish_resource(tmp_path, settings=settings)
    assert sorted(read) == ["0.xp", "2.xp", "few.xp"] and len(list(kept.iterdir())) == 2


def test_an_upgrade_keeps_both_ways_to_say_the_place(tmp_path: Path, archive: Path) -> None:
    from skyvault.publish.upgrade import upgrade
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.query import Limits, compile_query

    shutil.copy(archive / "XP_CONTINUOUS_RAW_colour_eq_dr3int6.csv", tmp_path / "xp.csv")
    (tmp_path / "resource.yaml").write_text("schema: xp\ntitle: t\ndescription: d\nxp: {spectra: {files: '*.csv'}}\n")
    settings = Settings(home=tmp_path / "home")
    publish_resource(tmp_path, settings=settings)
    assert {one.name for one in upgrade(settings=settings, everything=True)} >= {"xp.spectra", "xp.spectra_obs"}
    with DuckStore(settings) as store:
        for place in ("ra, dec", "ssa_location"):
            point = f"POINT({place})" if "," in place else place
            text = f"SELECT flux FROM xp.spectra WHERE DISTANCE({point}, POINT(10, 20)) < 0.1"
            plan, values = compile_query(text, store.view(), Limits())
            assert "_healpix_29 BETWEEN" in plan.sql(values, None)
        answer = store.query("SELECT flux FROM xp.spectra", Limits())
        assert len(answer.stream.table.params) == 1
        assert sum(batch.num_rows for batch in answer.stream.batches) == 3


_PUBLISH = """
import sys
from skyvault.config import Settings
from skyvault.publish.resource_publisher import publish_resource
done = publish_resource(__import__("pathlib").Path(sys.argv[1]), settings=Settings(home=sys.argv[2], threads=2))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(done.collections[0].rows, peak.split()[1])
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_spectra(tmp_path: Path, archive: Path) -> None:
    import subprocess
    import sys

    from processes import environment

    peaks = []
    for files in (1, 6):
        folder = tmp_path / str(files)
        folder.mkdir()
        for number in range(files):
            xp_copies.write_copies(folder / "x.parquet", xp_copies.real(archive), 6_000, seed=number)
            (folder / "x.parquet").rename(folder / f"{number}.xp")
        (folder / "resource.yaml").write_text("schema: g\ntitle: t\ndescription: d\nxp: {s: {files: '*.xp'}}\n")
        command = [sys.executable, "-c", _PUBLISH, str(folder), str(folder / "home")]
        said = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=300)
        rows, peak = said.stdout.split()
        assert int(rows) == files * 6_000
        peaks.append(int(peak) / 1024)
    # 36,000 spectra are 480 MB of correlations
    assert peaks[1] < peaks[0] + 150, peaks


def test_other_readers_find_what_was_written(archive: Path) -> None:
    assert sum(len(part) for part in xp_spectra(archive / "XP_CONTINUOUS_RAW.fits")) == 2

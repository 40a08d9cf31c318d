"""A run's tables: what is published, what it means, that it streams, and that a foreign client finds the light curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from skyvault.config import Settings
from skyvault.pipeline import Catalog, Detection, Lightcurve, Project
from skyvault.pipeline.catalog import make_test_catalog
from skyvault.pipeline.publishable import PublishableRun
from skyvault.pipeline.stored_run import StoredRun, find_run
from skyvault.publish.offered import publish_offered


def run(number: int, **more: Any) -> StoredRun:
    """A run with some detections: the threshold is low."""
    catalog = Catalog(data=make_test_catalog(number), name_column="object_id", catalog_name="tried", cfg_file=False)
    analysis = {"finder_kwargs": {"snr_threshold": 2.5}, **more.pop("analysis_kwargs", {})}
    Project("tried", catalog=catalog, executor="serial", analysis_kwargs=analysis, **more).run()
    return find_run("tried")


def rows_of(offer: Any) -> list[dict[str, Any]]:
    return [row for batch in offer.batches() for row in batch.to_pylist()]


def test_the_tables_hold_what_the_run_found(data_folder: Path) -> None:
    stored = run(12)
    offers = {one.table.name: one for one in PublishableRun(stored, base_url="http://here/", schema="Mine").offers()}
    assert list(offers) == ["mine.properties", "mine.detections", "mine.light_curves", "mine.time_series"]
    found = rows_of(offers["mine.detections"])
    with stored.database().session() as session:
        real = session.scalars(sa.select(Detection).where(Detection.simulated.is_(False))).all()
        assert len(found) == len(real) > 3
        simulated = sa.select(sa.func.count()).where(Detection.simulated.is_(True))
        assert session.scalar(simulated) > 0, "simulated events are kept, and not published"
        assert {row["source_name"] for row in found} == {one.source_name for one in real}
        curve = session.scalars(sa.select(Lightcurve).order_by(Lightcurve.id)).first()
        assert curve is not None
        epochs = [row for row in rows_of(offers["mine.light_curves"]) if row["source_name"] == curve.source_name]
        np.testing.assert_array_equal([row["mag"] for row in epochs], curve.data["mag"])
        np.testing.assert_array_equal([row["mjd"] for row in epochs], curve.data["mjd"])
        assert {row["exptime"] for row in epochs} == {30.0}
    properties = rows_of(offers["mine.properties"])
    assert len(properties) == 12 and {row["num_epochs"] for row in properties} == {100}
    assert all(abs(row["mag_median_R"] - 18.0) < 0.1 for row in properties)
    series = rows_of(offers["mine.time_series"])
    assert {(row["dataproduct_type"], row["t_xel"]) for row in series} == {("timeseries", 100)}
    assert all(row["access_url"].startswith("http://here/tap/sync?LANG=ADQL") for row in series)


def test_every_column_has_a_description_and_a_ucd_of_the_standard(data_folder: Path) -> None:
    from astropy.io.votable.ucd import check_ucd

    for offer in PublishableRun(run(3), base_url="http://here").offers():
        for column in offer.table.columns:
            assert column.description, column
            assert column.ucd and check_ucd(column.ucd, check_controlled_vocabulary=True), column


def test_times_of_one_frame_are_declared_and_those_of_unknown_frames_are_not(data_folder: Path) -> None:
    stored = run(2)
    epochs = [one.table for one in PublishableRun(stored, base_url="http://here").offers()][2]
    assert epochs.time_frames == () and epochs.column("mjd").ref is None
    with stored.database().writing() as connection:
        known = {"time_scale": "tdb", "time_position": "barycenter"}
        connection.execute(sa.update(Lightcurve).values(altdata=known))
    offers = list(PublishableRun(stored, base_url="http://here").offers())
    (frame,) = offers[2].table.time_frames
    assert (frame.timescale, frame.refposition, frame.timeorigin) == ("TDB", "BARYCENTER", "MJD-origin")
    assert offers[2].table.column("mjd").ref == frame.id
    # ObsCore has UTC at the Earth: 69 s and up to 8.4 minutes away
    series = rows_of(offers[3])
    first = {row["source_name"]: row["mjd"] for row in reversed(rows_of(offers[2]))}
    for row in series:
        assert 0 < abs(row["t_min"] - first[row["target_name"]]) * 1440.0 < 10.0


def test_magnitudes_of_one_known_filter_are_annotated_with_its_system_and_times(data_folder: Path) -> None:
    from skyvault.formats.mivot import annotated
    from skyvault.model.frames import canonical

    stored = run(2)
    assert [one.table for one in PublishableRun(stored, base_url="http://here").offers()][2].groups == ()
    with stored.database().writing() as connection:
        known = {"time_scale": "tdb", "time_position": "barycenter"}
        connection.execute(sa.update(Lightcurve).values(altdata=known, observatory="ZTF", filter="zr"))
    epochs = [one.table for one in PublishableRun(stored, base_url="http://here").offers()][2]
    (group,) = epochs.groups
    assert group.params[0].value == "Palomar/ZTF.r"
    assert {one.name for one in epochs.columns if one.ref == group.id} == {"mag", "magerr"}
    _, block = annotated(canonical(epochs))
    assert 'dmtype="mango:Brightness"' in block and 'dmtype="coords:MJD"' in block
    assert 'dmrole="mango:PhotometricProperty.error"' in block


def test_utc_at_the_earth_is_what_the_barycentre_was_made_from() -> None:
    from skyvault.science.time_scales import TimeFrame, to_barycenter, utc_at_geocenter

    utc = np.array([41_000.25, 51_544.5, 59_000.75])
    places = [(10.0, 20.0), (200.0, -60.0), (84.0, -1.0)]
    made = [to_barycenter([t], TimeFrame("utc", "geocenter"), *p).mjd[0] for t, p in zip(utc, places, strict=True)]
    back = utc_at_geocenter(np.array(made), *np.array(places).T)
    # 2 ms of TDB - TT, and the Earth's way in eight minutes
    np.testing.assert_allclose(back, utc, rtol=0, atol=0.06 / 86_400.0)


def test_a_light_curve_whose_file_is_gone_is_told_and_all_others_are_published(
    data_folder: Path, tmp_path: Path
) -> None:
    stored = run(5)
    next(stored.folder.glob("RA*/*_reduced.h5")).unlink()
    settings = Settings(home=tmp_path / "home")
    done = publish_offered(PublishableRun(stored, base_url="http://here"), settings=settings)
    assert [one.nrows for one in done.tables][2] == 400
    assert len(done.problems) == 1 and "could not be read" in done.problems[0]


def test_a_run_without_detections_or_data_is_published_all_the_same(data_folder: Path, tmp_path: Path) -> None:
    stored = run(2, DEMO={"sim_args": {"num_points": 0}})
    done = publish_offered(
        PublishableRun(stored, base_url="http://here"), settings=Settings(home=tmp_path / "home")
    )  # fmt: skip
    assert [one.nrows for one in done.tables] == [2, 0, 0, 0]


def test_foreign_clients_find_the_light_curves_and_their_points(
    data_folder: Path, tmp_path: Path, start_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyvo
    import requests
    from astropy.table import Table

    stored = run(6)
    home = tmp_path / "home"
    settings = Settings(home=home)
    publish_offered(PublishableRun(stored, base_url="http://127.0.0.1:1"), settings=settings)
    server = start_server(home)
    # as an operator does who serves under another address: publish once more
    again = publish_offered(PublishableRun(stored, base_url=server.base_url), settings=settings)
    assert [one.version for one in again.tables] == [2, 2, 2, 2]
    session = requests.Session()
    session.trust_env = False
    tap = pyvo.dal.TAPService(server.tap, session=session)
    found = tap.run_sync(
        "SELECT * FROM ivoa.ObsCore WHERE dataproduct_type = 'timeseries' AND obs_collection = 'TRIED'"
    ).to_table()
    assert len(found) == 6
    answer = session.get(found["access_url"][0], timeout=30)
    assert answer.status_code == 200
    path = tmp_path / "points.vot"
    path.write_bytes(answer.content)
    points = Table.read(path, format="votable")
    assert len(points) == 100 and points["mag"].unit == "mag"
    assert np.all(np.diff(points["mjd"]) > 0)
    best = tap.run_sync("SELECT TOP 1 source_name, snr FROM tried.detections ORDER BY snr DESC").to_table()
    assert best["snr"][0] > 2.5


def test_a_run_in_postgresql_is_reported_and_published_alike(
    data_folder: Path, tmp_path: Path, postgresql_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skyvault.pipeline.report import write_report

    # as an operator says it who keeps passwords out of project files
    monkeypatch.setenv("SKYVAULT_PIPELINE_DB", postgresql_schema)
    stored = run(4)
    assert stored.database().engine.dialect.name == "postgresql"
    assert stored.status().done == 4
    done = publish_offered(PublishableRun(stored, base_url="http://here"), settings=Settings(home=tmp_path / "home"))
    rows = [one.nrows for one in done.tables]
    assert rows[0] == 4 and rows[1] == stored.status().detections > 0 and rows[2:] == [400, 4]
    assert "Best detections" in write_report(stored).read_text()

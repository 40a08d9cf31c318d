"""Where a run's files lie and what is in them, in each of the three formats; what happens to damaged and moved ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_runs import sources
from skyvault.pipeline import Catalog, Lightcurve, Project, RawPhotometry, VirtualDemoObs, VirtualZTF, database
from skyvault.pipeline.data_files import FORMATS, file_keys, read_dataset
from skyvault.pipeline.dataset import data_root, save_lightcurves
from skyvault.pipeline.faults import DataError, DataMissing, ParameterValueError

every_format = pytest.mark.parametrize(("file_format", "suffix"), FORMATS.items())


def run(name: str, file_format: str, number: int = 3, **kwargs: Any) -> Project:
    project = Project(name, catalog=sources(number), executor="serial", DEMO={"file_format": file_format, **kwargs})
    report = project.run()
    assert (report.done, report.failed) == (number, 0)
    return project


@every_format
def test_raw_and_reduced_files_lie_where_the_rules_say(data_folder: Path, file_format: str, suffix: str) -> None:
    project = run("stored", file_format)
    for source in project.get_all_sources():
        folder, begin = f"RA{int(source.ra):03d}", f"DEMO_photometry_{source.name}"
        raw, reduced = data_folder / "DEMO" / folder, data_folder / "STORED" / folder
        assert file_keys(raw / f"{begin}{suffix}") == [f"photometry_{source.name}"]
        assert file_keys(reduced / f"{begin}_reduced{suffix}") == [f"{source.name}_reduction_01_of_01"]
    assert len(list(data_folder.glob(f"*/RA*/*{suffix}"))) == 6
    assert len(list(data_folder.glob("*/RA*/*"))) == 6


@every_format
def test_light_curves_read_back_are_those_that_were_made(data_folder: Path, file_format: str, suffix: str) -> None:
    project = run("stored", file_format)
    with database.Session() as session:
        for source in session.scalars(project.select_sources()):
            (kept,) = source.reduced_lightcurves
            (made,) = VirtualDemoObs(cfg_file=False).reduce(source.raw_photometry[0])
            statistics = {name: getattr(kept, name) for name in ("flux_mean_robust", "snr_max", "num_good", "exp_time")}
            for name in ("mjd", "mag", "magerr", "flux", "fluxerr", "flag", "snr", "dsnr"):
                np.testing.assert_array_equal(kept.data[name], made.data[name])
            assert statistics == {name: getattr(kept, name) for name in statistics}
            assert kept.altdata["series_name"] == "series_R" and kept.filter == "R"


@every_format
def test_seasons_and_filters_are_numbered_from_one_by_their_start(
    data_folder: Path, file_format: str, suffix: str
) -> None:
    rng = np.random.default_rng(2)
    mjd = np.r_[rng.uniform(58000, 58100, 30), rng.uniform(58400, 58500, 30)]
    rows = {
        "mjd": mjd, "mag": rng.normal(17, 0.1, 60), "magerr": np.full(60, 0.1), "exptime": np.full(60, 30.0),
        "filter": np.where(rng.random(60) < 0.5, "zg", "zr"), "ra": np.full(60, 10.5), "dec": np.full(60, 5.0),
    }  # fmt: skip
    raw = RawPhotometry(rows, source_name="a/b", observatory="demo", file_format=file_format)
    raw.save(10.5)
    assert raw.get_fullname().parent == data_folder / "DEMO/RA010" and raw.filename is not None
    # a name that is no file name is made one, and told apart from others by a checksum
    assert raw.filename.startswith("RA010/DEMO_photometry_a_b-") and raw.filename.endswith(suffix)
    observatory = VirtualDemoObs(project="seasons", cfg_file=False, file_format=file_format, reduce_kwargs={"gap": 40})
    curves = observatory.reduce(raw)
    save_lightcurves(curves, 10.5)
    keys = file_keys(curves[0].get_fullname())
    assert [key.rpartition("_reduction_")[2] for key in keys] == [f"0{n}_of_04" for n in (1, 2, 3, 4)]
    starts = []
    for key, curve in zip(keys, curves, strict=True):
        again = Lightcurve(
            source_name="a/b", observatory="DEMO", filename=curve.filename, folder=curve.folder, filekey=key
        )
        again.load()
        assert again.number == curve.number and again.filter == curve.filter
        starts.append(float(again.mjds[0]))
    assert starts == sorted(starts)


@every_format
def test_a_damaged_file_is_made_again(data_folder: Path, file_format: str, suffix: str) -> None:
    run("first", file_format)
    path = sorted(data_folder.glob(f"DEMO/RA*/*{suffix}"))[0]
    whole, content = read_dataset(path)[0], path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", content[:-3000] + bytes(3000), b"\x00" * 5000):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged"):
            read_dataset(path)
        run(f"again {len(damaged)} {damaged[:1].hex()}"[:20].replace(" ", "_"), file_format)
        np.testing.assert_array_equal(read_dataset(path)[0], whole)


def test_raw_data_in_another_format_are_used_as_they_are(data_folder: Path) -> None:
    run("one", "fits")
    run("two", "parquet")
    assert {path.suffix for path in data_folder.glob("DEMO/RA*/*")} == {".fits"}
    assert {path.suffix for path in data_folder.glob("TWO/RA*/*")} == {".parquet"}


def test_the_format_changes_no_result_and_no_version(data_folder: Path) -> None:
    hashes, found = set(), []
    for file_format in FORMATS:
        project = Project("same", vc=True, catalog=sources(2), DEMO={"file_format": file_format})
        project._save_config()
        hashes.add(project.cfg_hash)
        found.append([s.properties.props for s in run(f"as_{file_format}", file_format, 2).get_all_sources()])
    assert len(hashes) == 1 and found[0] == found[1] == found[2]


def test_a_format_that_does_not_exist_is_told_before_anything_is_done(data_folder: Path) -> None:
    with pytest.raises(ParameterValueError, match=r"no file format 'parqet'.*There are hdf5, fits, parquet"):
        Project("tried", catalog=sources(1), DEMO={"file_format": "parqet"})


@every_format
def test_a_lost_database_is_made_anew_from_files(data_folder: Path, file_format: str, suffix: str) -> None:
    run("lost", file_format)
    database.current().close()
    for path in data_folder.glob("pipeline.sqlite*"):
        path.unlink()
    database._in_use = None
    observatory = VirtualDemoObs(project="lost", catalog=sources(3), cfg_file=False, file_format=file_format)
    assert observatory.populate_sources() == 3


def test_a_file_that_is_gone_is_told_and_deleting_leaves_no_empty_folder(data_folder: Path) -> None:
    project = run("gone", "hdf5", 1)
    (source,) = project.get_all_sources()
    with database.Session() as session:
        curve = session.merge(source).reduced_lightcurves[0]
        curve.delete_data_from_disk()
        assert not curve.get_fullname().parent.exists() and not curve.check_file_exists()
        with pytest.raises(DataMissing, match="no such file"):
            curve.load()


def test_the_data_folder_is_that_of_retriever_data_or_of_our_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETRIEVER_DATA", raising=False)
    monkeypatch.setenv("SKYVAULT_HOME", str(tmp_path / "home"))
    assert data_root() == tmp_path / "home/pipeline"
    monkeypatch.setenv("RETRIEVER_DATA", str(tmp_path / "theirs"))
    assert data_root() == tmp_path / "theirs"


def test_a_name_that_leads_out_of_the_folder_is_refused(data_folder: Path) -> None:
    for name in ("../secret.h5", "RA001/../../x.h5"):
        with pytest.raises(DataError, match="must lie below its folder"):
            RawPhotometry(source_name="x", observatory="demo", folder="DEMO", filename=name).get_fullname()


def test_the_real_ztf_light_curve_takes_less_than_forty_kilobytes(data_folder: Path, shared_data: Path) -> None:
    from astropy.table import Table

    table = Table.read(shared_data / "lightcurves/ztf_misc/ZTF_lightcurve.csv.gz", format="ascii.csv")
    catalog = Catalog(
        data={"name": ["real"], "ra": [float(np.median(table["ra"]))], "dec": [float(np.median(table["dec"]))],
              "mag": [float(np.median(table["mag"]))]}, catalog_name="one", cfg_file=False,
    )  # fmt: skip
    observatory = VirtualZTF(project="real", catalog=catalog, cfg_file=False)
    kept = ("mjd", "exptime", "ra", "dec", "mag", "magerr", "filtercode", "catflags", "oid")
    raw = RawPhotometry({name: np.asarray(table[name]) for name in kept}, source_name="real", observatory="ztf")
    raw.save(catalog.get_row(0, "number", "dict")["ra"])
    save_lightcurves(observatory.reduce(raw), 0.0)
    size = sum(path.stat().st_size for path in data_folder.glob("*/RA*/*.h5"))
    # 1,852 epochs, raw and reduced: 40 kB for 500 epochs are asked for
    assert size < 1852 / 500 * 40_000

"""Spectra and light curves of files as services: found by SSA and TAP, linked and fetched."""

from __future__ import annotations

import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skyvault.config import Settings
from skyvault.publish.resource_publisher import publish_resource

RESOURCE = """\
schema: library
title: Spectra and light curves
description: Of several surveys.
files:
  spectra:
    kind: spectra
    files: ['sdss/*.fits.gz', 'desi/*.fits.gz', 'own/*']
    map: {s_ra: '= first(ra, 10.5)', s_dec: '= first(dec, -20.5)'}
  light_curves: {kind: timeseries, files: 'tess_kepler/*lc*.fits.gz'}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any], shared_data: Path) -> str:
    folder = tmp_path_factory.mktemp("library")
    for name in ("sdss", "desi"):
        shutil.copytree(shared_data / "spectra" / name, folder / name)
    shutil.copytree(shared_data / "lightcurves" / "tess_kepler", folder / "tess_kepler")
    (folder / "own").mkdir()
    (folder / "own" / "plain.csv").write_text("wavelength,flux\n" + "".join(f"{4000 + i},{i}\n" for i in range(50)))
    (folder / "own" / "no.csv").write_text("a,b\n1,2\n")
    (folder / "resource.yaml").write_text(RESOURCE)
    home = folder / "home"
    done = publish_resource(folder, settings=Settings(home=home))
    assert [problem for problem in done.problems if "own" in problem[0]] == [
        ("own/no.csv", "no column of wavelengths with one of fluxes is in it")
    ]
    return str(start_server(home).base_url)


def test_pyvo_finds_spectra_by_place_and_fetches_them(base: str, shared_data: Path) -> None:
    import pyvo

    found = pyvo.dal.SSAService(f"{base}/ssa?").search(pos=(213.35116, 53.09084), diameter=0.01)
    assert len(found) == 4
    record = found[0]
    assert record.getdataurl().startswith(f"{base}/get/library.spectra/sdss/spec-")
    assert record["mime"] == "application/fits" and record["ssa_length"] > 3800
    name = record.getdataurl().rpartition("/")[2]
    with urllib.request.urlopen(record.getdataurl()) as answer:
        assert answer.read() == (shared_data / "spectra" / "sdss" / name).read_bytes()


def test_several_targets_of_one_file_are_several_spectra(base: str) -> None:
    import pyvo

    found = pyvo.dal.SSAService(f"{base}/ssa?").search(pos=(217.0, 3.25), diameter=0.4)
    assert len(found) == 5 and len(set(found["ssa_pubDID"])) == 5
    assert np.allclose(found["ssa_specstart"], 3.6e-7)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"BAND": "9.9e-7/"}, 3), ({"BAND": "/3.65e-7"}, 8), ({"TIME": "2000-01-01/2001-01-01"}, 2),
        ({"POS": "10.5,-20.5", "SIZE": "0.1"}, 1), ({"TOP": "2"}, 2), ({"DPTYPE": "timeseries"}, 3),
        ({"TARGETNAME": "tic 25155310", "DPTYPE": "timeseries"}, 1),
    ],
)  # fmt: skip
def test_searches_narrow_the_rows(base: str, query: dict[str, str], count: int) -> None:
    url = f"{base}/ssa?" + urllib.parse.urlencode({"REQUEST": "queryData", **query})
    with urllib.request.urlopen(url) as answer:
        assert answer.read().count(b"<TR>") == count


def test_metadata_are_the_columns_and_inputs(base: str) -> None:
    with urllib.request.urlopen(f"{base}/ssa?REQUEST=queryData&FORMAT=METADATA") as answer:
        text = answer.read().decode()
    assert 'name="INPUT:POS"' in text and 'utype="ssa:Access.Reference"' in text and "<TR>" not in text


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("REQUEST=getData", "REQUEST"), ("POS=1", "is no position"), ("POS=1,99", "not on the sky"),
        ("POS=1,2;FK9", "frame"), ("BAND=red", "no number"), ("TIME=soon", "no date"), ("FORMAT=image/png", "FORMAT"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_usage_fault(base: str, query: str, told: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{base}/ssa?{query}")
    assert caught.value.code == 400 and told in caught.value.read().decode()


def test_light_curves_are_observations_with_times_and_bands(base: str) -> None:
    import pyvo

    rows = pyvo.dal.TAPService(f"{base}/tap").search(
        "SELECT target_name, t_min, t_max, t_xel, em_min, time_scale FROM library.light_curves ORDER BY target_name"
    )
    assert [str(name) for name in rows["target_name"]] == ["KIC 10666592", "TIC 160148385", "TIC 25155310"]
    assert list(rows["t_xel"]) == [14280, 19737, 20076] and set(rows["time_scale"]) == {"TDB"}
    assert rows["t_min"][2] == pytest.approx(58324.79, abs=0.01)
    assert rows["em_min"][0] == pytest.approx(4.2e-7)


def test_each_has_a_picture(base: str) -> None:
    import pyvo

    rows = pyvo.dal.TAPService(f"{base}/tap").search("SELECT obs_publisher_did, access_url FROM ivoa.ObsCore")
    kinds = [[link["semantics"] for link in links] for links in rows.iter_datalinks()]
    assert len(kinds) == 16 and all({"#this", "#preview-plot", "#thumbnail"} <= set(one) for one in kinds)

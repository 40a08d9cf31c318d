"""Files AstroRetriever's users have: frames as pandas and PyTables store them, with texts and facts pickled."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from skyvault.pipeline import Catalog, RawPhotometry, VirtualDemoObs
from skyvault.pipeline.data_files import read_dataset
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.plain_pickles import plain_value

ALTDATA = {"exptime": 30.0, "TICID": "123", "SECTORS": [1, 2], "cat_row": {"name": "J1", "ra": 12.3, "mag": None}}


def as_pytables_does(path: Path, columns: dict[str, Any], altdata: dict[str, Any]) -> None:
    """The layout of pandas' fixed format, version 1.0, as files of AstroRetriever show it."""
    blocks: dict[str, list[str]] = {}
    for name, values in columns.items():
        blocks.setdefault(values.dtype.str, []).append(name)
    with h5py.File(path, "w") as file:
        group = file.create_group("photometry_J1")
        group["axis0"] = np.array([name.encode() for name in columns])
        group["axis1"] = np.arange(len(next(iter(columns.values()))))
        for number, (kind, names) in enumerate(blocks.items()):
            group[f"block{number}_items"] = np.array([name.encode() for name in names])
            table = np.array([columns[name] for name in names], dtype=kind).T
            if kind == "|O":
                stored = group.create_dataset(f"block{number}_values", (1,), h5py.vlen_dtype(np.uint8))
                stored[0] = np.frombuffer(pickle.dumps(table, 5), np.uint8)
            else:
                group[f"block{number}_values"] = table
        group.attrs["altdata_keys"] = np.bytes_(pickle.dumps(list(altdata), 0))
        for key, value in altdata.items():
            plain = isinstance(value, float | str)
            group.attrs[key] = value if isinstance(value, float) else np.bytes_(
                value.encode() if plain else pickle.dumps(value, 0))  # fmt: skip


def frame(number: int = 60) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {
        "mjd": 57000 + np.sort(rng.uniform(0, 1000, number)), "mag": rng.normal(18, 0.1, number),
        "mag_err": rng.uniform(0.09, 0.11, number), "ra": np.full(number, 12.3), "dec": np.full(number, -3.2),
        "filter": np.array(["R", "zg"] * (number // 2), object), "flag": np.zeros(number, np.uint8),
        "field": np.array([f"f{i % 7}" for i in range(number)], object), "exptime": np.full(number, 30.0),
    }  # fmt: skip


def test_a_frame_with_its_texts_and_facts_is_read(tmp_path: Path) -> None:
    columns = frame()
    as_pytables_does(tmp_path / "DEMO_photometry_J1.h5", columns, ALTDATA)
    rows, about = read_dataset(tmp_path / "DEMO_photometry_J1.h5")
    for name, values in columns.items():
        expected = values.astype("S") if values.dtype == object else values
        np.testing.assert_array_equal(rows[name], expected)
    assert about["altdata"] == ALTDATA
    assert about["skipped_columns"] == about["skipped_facts"] == [] and about["source_name"] == "J1"
    raw = RawPhotometry(filename=str(tmp_path / "DEMO_photometry_J1.h5"))
    raw.load()
    assert raw.source_name == "J1" and raw.colmap["time"] == "mjd" and raw.number == 60


def test_raw_data_of_astroretriever_are_used_and_not_fetched_again(data_folder: Path) -> None:
    catalog = Catalog(
        data={"name": ["J1"], "ra": [12.3], "dec": [-3.2], "mag": [18.0]}, catalog_name="one", cfg_file=False
    )
    (data_folder / "DEMO/RA012").mkdir(parents=True)
    as_pytables_does(data_folder / "DEMO/RA012/DEMO_photometry_J1.h5", frame(), ALTDATA)
    observatory = VirtualDemoObs(catalog=catalog, cfg_file=False)
    source = observatory.fetch_source(observatory.get_catalog_row(0), save=False)
    assert {(curve.filter, curve.number) for curve in source.reduced_lightcurves} == {("R", 30), ("zg", 30)}
    assert observatory.populate_sources() == 1


class Harm:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


def test_nothing_a_pickle_names_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    columns = frame() | {"evil": np.array([Harm()] * 60, object)}
    as_pytables_does(tmp_path / "x.h5", columns, ALTDATA | {"worse": [Harm()]})
    rows, about = read_dataset(tmp_path / "x.h5")
    # one pickle holds all texts: they are lost together, and that is said
    assert set(about["skipped_columns"]) == {"filter", "field", "evil"} and about["skipped_facts"] == ["worse"]
    assert "mag" in rows.dtype.names and about["altdata"]["exptime"] == 30.0
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"", b".", b"garbage", pickle.dumps(Path("/etc/passwd")), pickle.dumps(np.zeros(3).__class__),
        pickle.dumps(eval), b"cbuiltins\neval\n(V1+1\ntR.", pickle.dumps(np.datetime64(0, "s")), pickle.dumps(object()),
        # numbers that say they are 10^15 values, and a list that holds itself
        b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n(tR(K\x01\x8a\x07\x00\x00\x00\x00\x00\x00\x10\x85cnumpy\ndtype\n"
        b"(X\x02\x00\x00\x00f8tR\x89C\x08\x00\x00\x00\x00\x00\x00\x00\x00tb.",
        b"\x80\x04]\x94h\x00a.",
    ],
)  # fmt: skip
def test_a_pickle_of_anything_else_is_refused(pickled: bytes) -> None:
    with pytest.raises(ValueError, match="pickle cannot be read"):
        plain_value(pickled)


def test_lists_of_lists_of_lists_do_not_grow_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skyvault.pipeline.plain_pickles._MOST_VALUES", 100_000)
    many: list[Any] = ["x"]
    for _ in range(40):
        many = [many, many, many]
    with pytest.raises(ValueError, match="too much"):
        plain_value(pickle.dumps(many))


@pytest.mark.parametrize("value", [1, 2.5, "a", None, True, [1, [2]], {"a": {"b": [None]}}, [b"x"]])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    expected = ["x"] if value == [b"x"] else value
    assert plain_value(pickle.dumps(value, protocol)) == expected
    assert plain_value(pickle.dumps({"n": np.float64(2.5), "i": np.int32(7)}, protocol)) == {"n": 2.5, "i": 7}


def test_a_frame_without_columns_is_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("photometry_x")["axis0"] = np.zeros(5000, "S3")
    with pytest.raises(DataError, match="more than 4096 columns"):
        read_dataset(tmp_path / "x.h5")


WRITE = """
import sys, warnings
import numpy as np, pandas as pd
warnings.simplefilter("ignore")
frame = pd.DataFrame({"mjd": [1.0, 2.0], "mag": [18.0, 18.1], "filter": ["R", "zg"], "field": ["a", "b"],
                      "flag": [False, True]})
with pd.HDFStore(sys.argv[1], "w") as store:
    store.put("photometry_J1", frame)
    attributes = store.get_storer("photometry_J1").attrs
    attributes["altdata_keys"] = ["SECTORS", "cat_row"]
    attributes["SECTORS"], attributes["cat_row"] = [1, 2], {"name": "J1", "mag": np.float64(18.0)}
"""


def test_pandas_and_pytables_themselves_write_what_we_read(tmp_path: Path) -> None:
    pytest.importorskip("tables", reason="PyTables is not installed: pip install pandas tables")
    subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / "x.h5")], check=True)
    rows, about = read_dataset(tmp_path / "x.h5")
    assert rows["filter"].tolist() == [b"R", b"zg"] and rows["field"].tolist() == [b"a", b"b"]
    assert about["altdata"] == {"SECTORS": [1, 2], "cat_row": {"name": "J1", "mag": 18.0}}

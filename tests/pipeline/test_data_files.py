"""Files of data sets: what is written comes back, whatever the format, and nothing hostile or damaged gets through."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from processes import environment
from skyvault.pipeline.data_files import FORMATS, file_keys, read_dataset, rows_of, suffix_of, write_datasets
from skyvault.pipeline.faults import DataError, DataMissing, ParameterValueError
from skyvault.pipeline.hdf5_bytes import hdf5_bytes

every_format = pytest.mark.parametrize("suffix", FORMATS.values())


def photometry(number: int, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    rows = np.zeros(number, [("mjd", "<f8"), ("mag", "<f8"), ("filter", "S2"), ("flag", "?"), ("oid", "<i8")])
    rows["mjd"] = 58000.0 + np.sort(rng.uniform(0, 900, number))
    rows["mag"] = rng.normal(18, 0.1, number)
    rows["filter"], rows["flag"] = b"zg", rng.random(number) < 0.1
    rows["oid"] = 805101300013289
    return rows


@every_format
@pytest.mark.parametrize("number", [0, 1, 100, 5000])
def test_rows_and_what_is_known_come_back(tmp_path: Path, suffix: str, number: int) -> None:
    path = tmp_path / f"RA012/DEMO_photometry_x{suffix}"
    rows, other = photometry(number), photometry(3)[["mjd", "filter"]].copy()
    about = {"altdata": {"exptime": 30.0, "names": ["ß", None], "deep": {"n": np.int64(5), "a": np.arange(3)}}}
    size = write_datasets(path, [("photometry_x", rows, about), ("photometry_ü 2", rows_of(other), {})])
    assert size == path.stat().st_size
    assert file_keys(path) == ["photometry_x", "photometry_ü 2"]
    read, known = read_dataset(path, "photometry_x")
    assert read.dtype == rows.dtype and read.tobytes() == rows.tobytes()
    assert known["altdata"] == {"exptime": 30.0, "names": ["ß", None], "deep": {"n": 5, "a": [0, 1, 2]}}
    assert read_dataset(path, "photometry_ü 2")[0].tolist() == other.tolist()
    with pytest.raises(DataMissing, match="no data set 'photometry_y'"):
        read_dataset(path, "photometry_y")
    with pytest.raises(DataError, match="holds 2 data sets"):
        read_dataset(path)
    # nothing but the file is left in its folder
    assert [one.name for one in path.parent.iterdir()] == [path.name]


_KINDS = st.sampled_from(["<f8", "<f4", "<i8", "<i4", "<i2", "i1", "u1", "<u2", "<u4", "?", "S1", "S7"])
_NAMES = st.text(st.characters(categories=("L", "N"), include_characters="_ -."), min_size=1, max_size=20)


@st.composite
def tables(draw: st.DrawFn) -> Any:
    names = draw(st.lists(_NAMES.filter(lambda name: name != "dataset"), min_size=1, max_size=6, unique=True))
    dtype = np.dtype([(name, draw(_KINDS)) for name in names])
    return draw(arrays.arrays(dtype, draw(st.integers(0, 40)) * draw(st.sampled_from([1, 1, 60]))))


@every_format
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=tables(), key=_NAMES)
def test_any_table_comes_back_bit_by_bit(tmp_path: Path, suffix: str, rows: Any, key: str) -> None:
    path = tmp_path / f"any{suffix}"
    if suffix == ".parquet":
        # Parquet's texts are Unicode
        for name in rows.dtype.names:
            if rows.dtype[name].kind == "S":
                rows[name] = np.char.encode(np.char.decode(rows[name], "ascii", "ignore"), "ascii")
    write_datasets(path, [(key, rows, {"key": key})])
    read, about = read_dataset(path, key)
    assert read.dtype == rows.dtype and read.tobytes() == rows.tobytes() and about["key"] == key


@pytest.mark.parametrize("suffix", [".h5", ".fits"])
def test_images_are_kept_whole(tmp_path: Path, suffix: str) -> None:
    image = np.arange(40_000, dtype="<f4").reshape(100, 400)
    write_datasets(tmp_path / f"a{suffix}", [("image", image, {"unit": "adu"})])
    read, about = read_dataset(tmp_path / f"a{suffix}")
    assert (read == image).all() and read.shape == (100, 400) and about["unit"] == "adu"
    with pytest.raises(DataError, match="Parquet keeps nothing else"):
        write_datasets(tmp_path / "a.parquet", [("image", image, {})])


@every_format
def test_a_long_description_is_kept(tmp_path: Path, suffix: str) -> None:
    headers = [{f"KEY{n}": "é" * 50 for n in range(100)} for _ in range(20)]
    write_datasets(tmp_path / f"long{suffix}", [("x", photometry(3), {"file_headers": headers})])
    assert read_dataset(tmp_path / f"long{suffix}")[1]["file_headers"] == headers


@every_format
def test_the_same_data_make_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_datasets(first, [("x", photometry(200), {"a": 1, "b": 2})])
    write_datasets(second, [("x", photometry(200), {"b": 2, "a": 1})])
    assert first.read_bytes() == second.read_bytes()


@every_format
@pytest.mark.parametrize("number", [50, 3000])
def test_damage_is_told_in_one_sentence_wherever_it_is(tmp_path: Path, suffix: str, number: int) -> None:
    path = tmp_path / f"x{suffix}"
    rows = photometry(number)
    write_datasets(path, [("x", rows, {"altdata": {"exptime": 30}})])
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    silent = 0
    for cut in (0, 1, 9, 100, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError):
            read_dataset(path, "x")
    for place in rng.integers(0, len(whole), 150).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read, _ = read_dataset(path, "x")
        except (DataError, DataMissing) as error:
            assert "\n" not in str(error) and len(str(error)) < 600
        else:
            # padding may change; rows may not
            silent += read.tobytes() != rows.tobytes()
    assert silent == 0


def test_what_lies_in_other_files_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(800))
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file.create_group("x")["rows"] = photometry(5)
    path = tmp_path / "stranger.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("outside")
        group.create_dataset("rows", (100,), "<f8", external=[(str(tmp_path / "secret"), 0, 800)])
        file["linked"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/x")
        layout = h5py.VirtualLayout((5,), "<f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "/x/rows", (5,))
        file.create_group("virtual").create_virtual_dataset("rows", layout)
        texts = file.create_group("texts")
        texts["rows"] = np.array(["a", "b"], dtype=h5py.string_dtype())
        huge = file.create_group("huge")
        huge.create_dataset("rows", (2**40,), "<f8", chunks=(1024,))
    for key in ("outside", "linked", "virtual", "texts", "huge"):
        with pytest.raises(DataError, match="damaged"):
            read_dataset(path, key)


def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
import numpy as np
from skyvault.pipeline.data_files import write_datasets
from skyvault.pipeline.faults import DiskFull
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
rows = np.random.default_rng(1).normal(size=4000).view([("mjd", "<f8")])
write_datasets(path, [("x", rows, {})])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_datasets(path, [("x", rows[::-1], {})])
except DiskFull as error:
    print(error)
"""
    path = tmp_path / "a/x.h5"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, env=environment(), check=True
    )
    assert "the disk is full" in done.stdout and "make room" in done.stdout
    assert len(read_dataset(path)[0]) == 4000
    assert [one.name for one in path.parent.iterdir()] == ["x.h5"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_datasets(tmp_path / "file/x.h5", [("x", photometry(1), {})])
    with pytest.raises(DataError, match="says no format"):
        write_datasets(tmp_path / "x.txt", [("x", photometry(1), {})])
    with pytest.raises(ParameterValueError, match="There are hdf5, fits, parquet"):
        suffix_of("json")


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump of the Debian package hdf5-tools is not installed")
def test_the_tools_of_older_libraries_read_our_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(hdf5_bytes([("small", photometry(3), b'{"a": 1}'), ("large", photometry(3000), b"x" * 70_000)]))
    shown = subprocess.run(["h5dump", str(path)], capture_output=True, text=True, check=True).stdout
    assert "805101300013289" in shown and "70000" in shown
    described = subprocess.run(["h5dump", "-p", "-A", str(path)], capture_output=True, text=True, check=True).stdout
    assert '"{"a": 1}"' in described and "COMPRESSION DEFLATE" in described


def test_astropy_and_pandas_read_files_without_us(tmp_path: Path) -> None:
    from astropy.table import Table
    from pyarrow import parquet

    rows = photometry(500)
    for suffix in FORMATS.values():
        write_datasets(tmp_path / f"x{suffix}", [("x", rows, {"units": {"mjd": "d"}})])
    np.testing.assert_array_equal(Table.read(tmp_path / "x.h5", path="x/rows")["mjd"], rows["mjd"])
    table = Table.read(tmp_path / "x.fits", hdu=1)
    np.testing.assert_array_equal(table["mag"], rows["mag"])
    assert table["mjd"].unit == "d" and table["flag"].dtype == bool
    read = parquet.read_table(tmp_path / "x.parquet")
    assert set(read["dataset"].to_pylist()) == {"x"}
    np.testing.assert_array_equal(read["oid"], rows["oid"])


def test_files_of_the_first_format_are_still_read(tmp_path: Path) -> None:
    rows = photometry(20)
    with h5py.File(tmp_path / "old.h5", "w", libver=("v110", "v110")) as file:
        group = file.create_group("photometry_x")
        group.create_dataset("rows", data=rows, chunks=rows.shape, shuffle=True, compression=1)
        group.attrs["about"] = np.bytes_(json.dumps({"format": "skyvault-dataset 1", "source_name": "x"}))
    read, about = read_dataset(tmp_path / "old.h5")
    assert read.tobytes() == rows.tobytes() and about["source_name"] == "x"


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk2").mkdir()
    os.symlink(tmp_path / "disk2", tmp_path / "DEMO")
    write_datasets(tmp_path / "DEMO/RA001/x.h5", [("x", photometry(2), {})])
    assert (tmp_path / "disk2/RA001/x.h5").is_file()

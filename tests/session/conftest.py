"""The real session folder of HD 5501, unpacked for the tests."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hd5501_files(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session folder as another program wrote it in 2024; not to be changed."""
    packed = shared_data / "lightcurves" / "dasch_hd5501"
    folder = tmp_path_factory.mktemp("real") / "daschlab_hd_5501"
    (folder / "lightcurves").mkdir(parents=True)
    shutil.copyfile(packed / "query.json", folder / "query.json")
    for source in packed.glob("*.ecsv.gz"):
        name = source.name.removesuffix(".gz")
        place = folder if name in ("refcat.ecsv", "exposures.ecsv") else folder / "lightcurves"
        (place / name).write_bytes(gzip.decompress(source.read_bytes()))
    return folder


@pytest.fixture
def hd5501(hd5501_files: Path, tmp_path: Path) -> Path:
    """A copy of that folder which a test may change."""
    folder = tmp_path / "daschlab_hd_5501"
    shutil.copytree(hd5501_files, folder)
    return folder

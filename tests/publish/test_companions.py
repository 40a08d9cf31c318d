"""What lies beside the files of a collection: it comes, changes and goes, and publishing again follows it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from skyvault.config import Settings
from skyvault.errors import IngestError, NotFound
from skyvault.model.product import Product
from skyvault.publish.file_ingest import Ingested
from skyvault.publish.files_below import FilesBelow
from skyvault.publish.resource_publisher import publish_resource
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.products import collection, did_of, products_of

HEAD = "schema: plates\ntitle: Plates\ndescription: Photographic plates.\n"
WEIGHTS = (
    "files:\n  scans:\n    files: 'images/*.fits'\n    previews: false\n    companions:\n"
    "      - {semantics: '#weight', file: 'weights/{stem}.txt', required: REQUIRED}\n"
)


class Collection:
    """A folder of images that is published again and again."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder / "r"
        self.folder.mkdir()
        (self.folder / "resource.yaml").write_text(HEAD + text)
        self.settings = Settings(home=folder / "home")

    def image(self, name: str) -> Path:
        path = self.folder / "images" / name
        path.parent.mkdir(exist_ok=True)
        header = fits.Header(
            dict(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=20.0, CRPIX1=5.0, CRPIX2=5.0, CDELT1=-0.01,
                 CDELT2=0.01)
        )  # fmt: skip
        fits.PrimaryHDU(np.arange(100, dtype=np.int16).reshape(10, 10), header).writeto(path)
        return path

    def beside(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def publish(self) -> Ingested:
        return publish_resource(self.folder, settings=self.settings).collections[0].ingested

    def products(self, local: str) -> dict[str, Product]:
        did = did_of(self.settings.authority, "plates.scans", local)
        with DuckStore(self.settings) as store:
            return {one.key: one for one in products_of(store, [did]).get(did, ())}

    def read(self, product: Product) -> str:
        with DuckStore(self.settings) as store:
            return collection(store, "plates.scans").path_of(product).read_text()


def made(folder: Path, *, is_required: bool = False) -> Collection:
    found = Collection(folder, WEIGHTS.replace("REQUIRED", str(is_required).lower()))
    found.image("a.fits")
    found.image("b.fits")
    return found


def test_a_required_companion_that_comes_makes_the_image_a_dataset(tmp_path: Path) -> None:
    plates = made(tmp_path, is_required=True)
    plates.beside("weights/a.txt", "1")
    assert plates.publish().problems == (("images/b.fits", "its #weight weights/b.txt is not there"),)
    plates.beside("weights/b.txt", "2")
    healed = plates.publish()
    assert (healed.read, healed.known, healed.problems) == (1, 1, ())
    assert set(plates.products("images/b.fits")) == {"this", "weight"}
    (plates.folder / "weights" / "a.txt").unlink()
    assert plates.publish().problems == (("images/a.fits", "its #weight weights/a.txt is not there"),)
    assert plates.products("images/a.fits") == {}


def test_a_companion_that_comes_later_is_listed(tmp_path: Path) -> None:
    plates = made(tmp_path)
    plates.publish()
    assert set(plates.products("images/a.fits")) == {"this"}
    plates.beside("weights/a.txt", "1")
    again = plates.publish()
    assert (again.read, again.known) == (1, 1)
    assert set(plates.products("images/a.fits")) == {"this", "weight"}
    assert plates.publish().read == 0


def test_a_companion_that_is_edited_is_given_out_as_it_is_now(tmp_path: Path) -> None:
    plates = made(tmp_path)
    weight = plates.beside("weights/a.txt", "old")
    plates.publish()
    before = plates.products("images/a.fits")["weight"]
    # of the same size: its time of change tells
    weight.write_text("new")
    os.utime(weight, ns=(0, (before.mtime_ns or 0) + 1))
    with pytest.raises(NotFound, match=r"^the file weights/a\.txt of ivo://.* was changed since it was published"):
        plates.read(before)
    assert plates.publish().read == 1
    after = plates.products("images/a.fits")["weight"]
    assert after.sha256 != before.sha256 and plates.read(after) == "new"


def test_a_companion_that_was_deleted_is_not_listed(tmp_path: Path) -> None:
    plates = made(tmp_path)
    weight = plates.beside("weights/a.txt", "1")
    plates.publish()
    listed = plates.products("images/a.fits")["weight"]
    weight.unlink()
    with pytest.raises(NotFound, match=r"^the file weights/a\.txt of ivo://.* is not there any more"):
        plates.read(listed)
    plates.publish()
    assert set(plates.products("images/a.fits")) == {"this"}


def test_datasets_made_of_rows_follow_what_lies_beside_them(tmp_path: Path) -> None:
    plates = Collection(
        tmp_path,
        "files:\n  scans:\n    rows: rows.csv\n    id: '= name'\n    make: drawn\n    kind: images\n"
        "    map: {s_ra: 1.0, s_dec: 2.0}\n    companions: [{semantics: '#weight', file: '{stem}.txt'}]\n",
    )
    plates.beside("rows.csv", "id,name\n1,first\n2,second\n")
    plates.beside("hooks.py", "def drawn(row):\n    return b''\n")
    plates.publish()
    plates.beside("first.txt", "w")
    again = plates.publish()
    assert (again.read, again.known) == (1, 1) and "weight" in plates.products("first")


def test_looking_again_costs_a_look_for_each_companion_and_reads_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plates = made(tmp_path)
    plates.beside("weights/a.txt", "1")
    plates.publish()
    looked: list[str] = []
    look = FilesBelow.look

    def counted(below: FilesBelow, relative: str) -> Any:
        looked.append(relative)
        return look(below, relative)

    monkeypatch.setattr(FilesBelow, "look", counted)
    assert plates.publish().read == 0
    assert looked == ["weights/a.txt", "weights/b.txt"]


def test_nothing_outside_its_folder_lies_beside_a_file(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.txt").write_text("x")
    (inside / "own.txt").write_text("xyz")
    (inside / "there.txt").symlink_to(tmp_path / "secret.txt")
    (inside / "itself").symlink_to(inside / "itself")
    (inside / "out").symlink_to(tmp_path)
    below = FilesBelow(inside)
    assert (below.look("own.txt") or (None,))[0] == 3
    hostile = ("../secret.txt", str(tmp_path / "secret.txt"), "there.txt", "itself", "out/secret.txt", "", "a\0b",
               "n" * 5000, "itself/x.txt", "own.txt/x")  # fmt: skip
    assert [below.look(one) for one in hostile] == [None] * len(hostile)


def test_files_whose_names_end_otherwise_are_told_of(tmp_path: Path) -> None:
    plates = made(tmp_path)
    path = plates.folder / "images" / "a.fits"
    for name in ("c.fits.gz", "d.fits.gz", "e.FIT", "f.txt", ".g.fits.gz"):
        shutil.copy(path, path.with_name(name))
    told = plates.publish()
    assert told.remarks == (
        ("images/", "1 file ends in .FIT and matches no pattern of scans"),
        ("images/", "2 files end in .fits.gz and match no pattern of scans"),
    )
    assert told.remark_count == 2


def test_files_that_are_left_out_on_purpose_are_not_told_of(tmp_path: Path) -> None:
    plates = Collection(
        tmp_path,
        "files:\n"
        "  scans: {files: 'images/*.fits', ignore: '*.fit', companions: [{semantics: '#weight', file: 'images/{stem}.fts'}]}\n"
        "  packed: {files: 'images/*.fits.gz', previews: false}\n",
    )
    path = plates.image("a.fits")
    for name in ("b.fit", "a.fts", "c.fits.gz"):
        shutil.copy(path, path.with_name(name))
    assert plates.publish().remarks == ()


def test_where_no_file_matches_those_that_nearly_do_are_named(tmp_path: Path) -> None:
    plates = Collection(tmp_path, "files: {scans: {files: 'images/**/*.fits'}}\n")
    plates.image("a.fits").rename(plates.folder / "images" / "a.fits.fz")
    with pytest.raises(IngestError, match=r"no file matches.*images/: 1 file ends in \.fits\.fz"):
        plates.publish()

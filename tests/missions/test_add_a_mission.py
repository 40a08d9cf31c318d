"""The mission of ``docs/how-to/add-a-mission.md``, from its archive's table to a downloaded product.

The archive is a small emulation: a TAP table and a tree of files with listings, as the page tells others to write.
"""

import gzip
import importlib.util
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from starlette.responses import Response
from starlette.routing import Route

from processes import PROJECT
from skyvault.config import Settings
from skyvault.missions.mission import Mission
from skyvault.sandbox import Fault, Sandbox
from skyvault.sandbox.emulation import Emulation, HeldTable
from skyvault.sandbox.index_pages import Entry, apache_page

PAGE = PROJECT / "docs" / "how-to" / "add-a-mission.md"


def files_of_the_page() -> dict[str, str]:
    """The files that the page writes."""
    text = PAGE.read_text(encoding="utf-8")
    found = dict(re.findall(r"```python\n# file: (\S+)\n(.*?)```", text, re.DOTALL))
    for name, body in re.findall(r"\$ cat > (\S+) <<'END'\n(.*?)\n> END", text, re.DOTALL):
        found[name] = "\n".join(line.removeprefix(">").removeprefix(" ") for line in body.splitlines()) + "\n"
    return found


def fits_file(kind: str, obs_id: str) -> bytes:
    from io import BytesIO

    from astropy.io import fits

    if kind == "image":
        hdus = fits.HDUList([fits.PrimaryHDU(np.arange(64.0).reshape(8, 8))])
    else:
        column = fits.Column("TIME", "D", array=np.arange(5.0))
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column], name="EVENTS")])
    hdus[0].header["OBS_ID"] = obs_id
    buffer = BytesIO()
    hdus.writeto(buffer, checksum=True)
    return gzip.compress(buffer.getvalue(), mtime=0)


class SkylarkArchive(Emulation):
    """TAP at /tap, files at /data."""

    name = "skylark"
    services = {"tap": "/tap", "files": "/data/"}  # noqa: RUF012

    def tables(self):
        rows = [line.split(",") for line in files_of_the_page()["skylark.csv"].splitlines()]
        columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
        numbers = {"ra", "dec", "time", "end_time", "public_date", "wide_expo", "calo_expo"}
        made = {key: [float(v) for v in values] if key in numbers else list(values) for key, values in columns.items()}
        yield HeldTable("skylark.master", pa.table(made))

    def routes(self):
        return [Route("/data/{path:path}", self._file)]

    def _file(self, request):
        path = request.path_params["path"]
        files = self.files()
        if path in files:
            return Response(files[path], media_type="application/octet-stream")
        below = (
            {one[len(path) :].partition("/") for one in files if one.startswith(path)} if path.endswith("/") else set()
        )
        if not below:
            return Response("Not found", 404)
        then = datetime(2026, 1, 1, tzinfo=UTC)
        entries = [Entry(name + slash, then, None if slash else 3000) for name, slash, _ in sorted(below)]
        return Response(apache_page("/data/" + path, list(dict.fromkeys(entries))), media_type="text/html")

    def files(self) -> dict[str, bytes]:
        made = {}
        for obs_id in ("10000001", "10000002", "10000003"):
            root = f"obs/{obs_id[:2]}/{obs_id}"
            made[f"{root}/aux/sl{obs_id}_att.fits.gz"] = fits_file("events", obs_id)
            for inst in ("wide", "calo"):
                made[f"{root}/{inst}/sl{obs_id}_{inst}_cl.evt.gz"] = fits_file("events", obs_id)
                made[f"{root}/{inst}/sl{obs_id}_{inst}_sk.img.gz"] = fits_file("image", obs_id)
                made[f"{root}/{inst}/sl{obs_id}_{inst}_notes.txt"] = b"not wanted"
        return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("skylark"), archives=["sesame"], more=[SkylarkArchive]) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def skylark_class(tmp_path_factory) -> type[Mission]:
    path = tmp_path_factory.mktemp("mission") / "skylark.py"
    path.write_text(files_of_the_page()["skylark.py"])
    spec = importlib.util.spec_from_file_location("skylark_of_the_page", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.Skylark


@pytest.fixture
def skylark(archive, skylark_class, tmp_path) -> Mission:
    settings = Settings(home=tmp_path / "home", endpoints=archive.endpoints(), archive_backoff_s=0.01)
    return skylark_class(settings=settings, output=tmp_path / "data")


def test_the_pages_mission_is_a_declaration_of_under_80_lines():
    lines = files_of_the_page()["skylark.py"].splitlines()
    assert len(lines) < 80
    assert not [line for line in lines if re.match(r"\s*(def|while|if|try|import)\b", line)]


def test_from_the_archives_table_to_a_downloaded_product(skylark, tmp_path):
    from astropy.io import fits

    assert skylark.num_obs == 3 and skylark.table_origin.service.endswith("/skylark/tap")
    skylark.filter_on_name("Coma cluster")
    assert skylark.filtered_obs_ids.tolist() == ["10000001"]
    assert skylark.download() == ["10000001"]
    path = Path(skylark.get_evt_list_path("10000001", "WIDE"))
    assert path == tmp_path / "data/skylark_pointed_raw/10000001/wide/sl10000001_wide_cl.evt"
    assert fits.getdata(path)["TIME"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert fits.getheader(skylark.get_image_path("10000001", inst="WIDE"))["OBS_ID"] == "10000001"
    assert not list(path.parent.glob("*notes*"))


def test_its_table_is_cached_and_its_states_are_taken_up_again(skylark, skylark_class, archive, tmp_path):
    skylark.filter_on_target_type("AGN")
    skylark.save(tmp_path)
    archive.faults.set(Fault("unreachable", archive="skylark"))
    try:
        settings = Settings(home=tmp_path / "home", endpoints=archive.endpoints())
        again = skylark_class(save_file_path=tmp_path / "skylark_pointed_state.json", settings=settings)
        assert again.filtered_obs_ids.tolist() == ["10000002"]
    finally:
        archive.faults.clear()


def test_faults_of_its_archive_are_survived(skylark, archive):
    archive.faults.set(Fault("dropped", archive="skylark", path="*evt*", times=2))
    assert sorted(skylark.download()) == ["10000001", "10000002", "10000003"]
    assert archive.faults.struck["dropped"] == 2


def test_raw_data_are_what_the_declaration_says(skylark, tmp_path):
    skylark.filter_on_obs_ids("10000002")
    skylark.download(download_products=False)
    found = [path.name for path in (tmp_path / "data").rglob("*") if path.is_file() and path.name[0] != "."]
    assert found == ["sl10000002_att.fits"]


def test_it_is_announced_as_a_plugin(skylark_class, monkeypatch):
    from skyvault import plugins
    from skyvault.missions.naming import mission_class

    monkeypatch.setattr(plugins, "load_all", lambda group: ({"skylark": skylark_class}, ()))
    assert mission_class("skylark pointed") is skylark_class

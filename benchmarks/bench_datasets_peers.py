"""The same images by GAVO DaCHS and by Skyvault in one run: searches, links and cutouts, one client and eight.

    python benchmarks/bench_datasets_peers.py --prepare /var/gavo/inputs/bench     # images and a q.rd for DaCHS
    # /etc/gavo.rc: [ivoa] authority: org.bench
    dachs imp //obscore; dachs imp //products; cd /var/gavo/inputs/bench; dachs imp q; dachs serve debug &
    python benchmarks/bench_datasets_peers.py --folder /var/gavo/inputs/bench [--dachs http://localhost:8080]

DaCHS comes from Debian (gavodachs2-server). JSON on stdout; without a DaCHS that answers the script says so and ends.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 9_000
DESCRIPTOR = """\
<resource schema="bench" resdir=".">
  <meta name="creationDate">2026-01-01T00:00:00Z</meta>
  <meta name="title">Bench images</meta>
  <meta name="description">Images for a comparison.</meta>
  <meta name="subject">galaxies</meta>
  <meta name="creator">Nobody, N.</meta>
  <table id="main" onDisk="True" mixin="//siap#pgs" adql="True">
    <mixin calibLevel="2" collectionName="'bench'" targetName="object" expTime="exptime">//obscore#publishSIAP</mixin>
    <column name="object" type="text"/>
    <column name="exptime" type="double precision" unit="s"/>
  </table>
  <data id="import">
    <sources pattern="data/*.fits"/>
    <fitsProdGrammar qnd="True">
      <rowfilter procDef="//products#define"><bind key="table">"\\schema.main"</bind></rowfilter>
    </fitsProdGrammar>
    <make table="main">
      <rowmaker>
        <map key="object">@OBJECT</map>
        <map key="exptime">@EXPTIME</map>
        <apply procDef="//siap#setMeta">
          <bind key="dateObs">@DATE_OBS</bind>
          <bind key="bandpassId">"SDSS r'"</bind>
          <bind key="pixflags">"C"</bind>
          <bind key="title">@OBJECT</bind>
        </apply>
        <apply procDef="//siap#getBandFromFilter"/>
        <apply procDef="//siap#computePGS"/>
      </rowmaker>
    </make>
  </data>
  <service id="dl" allowed="dlmeta,dlget">
    <meta name="title">Bench datalink</meta>
    <meta name="dlget.description">cutouts</meta>
    <datalinkCore>
      <descriptorGenerator procDef="//soda#fits_genDesc" name="genFITSDesc">
        <bind key="accrefPrefix">"bench/data"</bind>
      </descriptorGenerator>
      <FEED source="//soda#fits_standardDLFuncs"/>
    </datalinkCore>
  </service>
</resource>
"""


def prepare(folder: Path, count: int) -> None:
    """A thousand small images all along a strip, and one of 324 MB."""
    from astropy.io import fits

    header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -5e-5, "CDELT2": 5e-5, "EXPTIME": 30.0,
              "DATE-OBS": "2020-01-01T00:00:00", "FILTER": "r", "OBJECT": "field"}  # fmt: skip
    (folder / "data").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    pixels = rng.normal(1000, 20, (512, 512)).astype(np.int16)
    for number in range(count):
        place = {"CRVAL1": float(number % 360), "CRVAL2": 2.0 + number // 360, "CRPIX1": 256.5, "CRPIX2": 256.5}
        hdu = fits.PrimaryHDU(np.roll(pixels, number, axis=0), fits.Header(header | place))
        hdu.writeto(folder / "data" / f"i{number:05d}.fits", overwrite=True)
    place = {"CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": SIDE / 2, "CRPIX2": SIDE / 2}
    large = rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    fits.PrimaryHDU(large, fits.Header(header | place)).writeto(folder / "data" / "large.fits", overwrite=True)
    (folder / "q.rd").write_text(DESCRIPTOR)


def _median_ms(act: Callable[[], Any], times: int) -> float:
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        act()
        spent.append(time.perf_counter() - begin)
    return round(statistics.median(spent) * 1e3, 1)


class Peer:
    """Addresses of one server, and how it names the images."""

    def __init__(self, search: str, links: str, cutout: str, identifier: str) -> None:
        import httpx2

        self.search, self.links, self.cutout, self.identifier = search, links, cutout, identifier
        self.client = httpx2.Client(timeout=60)
        self.rng = np.random.default_rng(3)

    def did(self, name: str) -> str:
        return self.identifier.format(name=name)

    def ask(self, address: str, words: list[tuple[str, str]]) -> bytes:
        answer = self.client.get(address, params=words)
        assert answer.status_code == 200, (answer.status_code, answer.text[:500])
        return bytes(answer.content)

    def find(self) -> bytes:
        number = int(self.rng.integers(0, 1000))
        return self.ask(self.search, [("POS", f"CIRCLE {number % 360} {2 + number // 360} 0.003")])

    def link(self, count: int) -> bytes:
        words = [("ID", self.did(f"i{n:05d}.fits")) for n in self.rng.choice(1000, count, replace=False)]
        return self.ask(self.links, words)

    def cut(self) -> bytes:
        a, b = self.rng.uniform(-0.15, 0.15, 2)
        return self.ask(self.cutout, [("ID", self.did("large.fits")), ("CIRCLE", f"{150 + a} {2 + b} 0.0064")])

    def rate(self, act: Callable[[], bytes], times: int) -> float:
        with ThreadPoolExecutor(8) as pool:
            begin = time.perf_counter()
            list(pool.map(lambda _: act(), range(times)))
            return round(times / (time.perf_counter() - begin), 1)

    def measured(self) -> dict[str, Any]:
        from astropy.io import fits
        from astropy.io.votable import parse

        rows = len(parse(io.BytesIO(self.find()), verify="ignore").get_first_table().array)
        with fits.open(io.BytesIO(self.cut())) as file:
            shape = file[0].data.shape
        for act in (self.find, self.cut, lambda: self.link(1)):
            for _ in range(5):
                act()
        return {
            "rows_of_a_search": rows, "shape_of_a_cutout": list(shape), "search_ms": _median_ms(self.find, 31),
            "links_1_ms": _median_ms(lambda: self.link(1), 31), "links_50_ms": _median_ms(lambda: self.link(50), 9),
            "cutout_ms": _median_ms(self.cut, 31), "searches_per_s_8": self.rate(self.find, 120),
            "cutouts_per_s_8": self.rate(self.cut, 120),
        }  # fmt: skip


def ours(folder: Path) -> dict[str, Any]:
    """Publish the same files, serve them with two workers, and ask."""
    import httpx2

    from skyvault.config import Settings
    from skyvault.publish.resource_publisher import publish_resource

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "resource.yaml").write_text(
            f"schema: bench\ntitle: b\ndescription: b\nroot: {folder}\nservices: [sia2, soda]\n"
            "files:\n  images: {files: 'data/*.fits', previews: false}\n"
        )
        begin = time.perf_counter()
        publish_resource(place, settings=Settings(home=place / "home"))
        ingest_s = round(time.perf_counter() - begin, 1)
        process = subprocess.Popen(
            [sys.executable, "-m", "skyvault.cli", "serve", "--port", "0", "--workers", "2"],
            env=os.environ | {"SKYVAULT_HOME": str(place / "home")}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            base = next(w for line in process.stdout for w in line.split() if w.startswith("http://")).rstrip("/.,")
            ends = time.time() + 60
            while time.time() < ends:
                try:
                    httpx2.get(f"{base}/tap/availability")
                    break
                except httpx2.HTTPError:
                    time.sleep(0.05)
            peer = Peer(f"{base}/sia2/query", f"{base}/datalink/links", f"{base}/soda/sync",
                        "ivo://skyvault.invalid/~?bench.images/data/{name}")  # fmt: skip
            return {"ingest_s": ingest_s, **peer.measured()}
        finally:
            process.terminate()
            process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepare", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--dachs", default="http://localhost:8080")
    options = parser.parse_args()
    if options.prepare:
        prepare(options.prepare, options.files)
        return
    dachs = options.dachs.rstrip("/")
    peer = Peer(f"{dachs}/__system__/siap2/sitewide/siap2.xml", f"{dachs}/bench/q/dl/dlmeta",
                f"{dachs}/bench/q/dl/dlget", "ivo://org.bench/~?bench/data/{name}")  # fmt: skip
    try:
        peer.find()
    except Exception as problem:
        sys.exit(f"no DaCHS with the images answers at {dachs} ({type(problem).__name__})")
    print(json.dumps({"skyvault": ours(options.folder), "dachs": peer.measured()}, indent=2))


if __name__ == "__main__":
    main()

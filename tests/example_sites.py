"""Sites of the examples: each published as its operator would, and what asks their servers."""

from __future__ import annotations

import importlib.util
import io
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from astropy.io import fits

from processes import PROJECT
from skyvault.config import Settings
from skyvault.publish.resource_publisher import PublishedResource, publish_resource

EXAMPLES = PROJECT / "examples"
#: examples whose files are real ones
REAL = ("old-plates", "galactic-centre", "sdss", "legacy-survey", "odd-files", "spectra", "light-curves")


@dataclass(frozen=True)
class Site:
    """A server with some examples, and what publishing them gave."""

    base: str
    settings: Settings
    done: dict[str, PublishedResource]

    @property
    def tap(self) -> Any:
        import pyvo

        return pyvo.dal.TAPService(f"{self.base}/tap")

    def get(self, path: str, **query: str) -> tuple[int, bytes, Any]:
        url = (path if path.startswith("http") else f"{self.base}{path}") + (
            f"?{urllib.parse.urlencode(query)}" if query else ""
        )
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def links(self, did: str) -> dict[str, dict[str, Any]]:
        """The links of a dataset, by semantics and local semantics."""
        from pyvo.dal.adhoc import DatalinkResults

        found = DatalinkResults.from_result_url(
            f"{self.base}/datalink/links?ID={urllib.parse.quote(did, safe='')}"
        ).to_table()
        rows = [{name: row[name] for name in found.colnames} for row in found]
        return {f"{row['semantics']} {row['local_semantics']}".strip(): row for row in rows}

    def cutout(self, did: str, **query: str) -> Any:
        """The first HDU of a cutout by SODA."""
        status, content, _ = self.get("/soda/sync", ID=did, **query)
        assert status == 200, (did, content)
        return fits.open(io.BytesIO(content), memmap=False)[0]


def published(names: tuple[str, ...], home: Path) -> tuple[Settings, dict[str, PublishedResource]]:
    """Examples published into one data directory."""
    settings = Settings(home=home)
    return settings, {name: publish_resource(EXAMPLES / name, settings=settings, processes=1) for name in names}


def example_module(path: str) -> ModuleType:
    """A program of the examples, as a module."""
    place = EXAMPLES / path
    spec = importlib.util.spec_from_file_location(place.stem, place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

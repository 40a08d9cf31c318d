"""A service with a table, images and spectra, as an observatory would publish them, and its registry."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from skyvault.config import Settings

AUTHORITY = "hilltop.example"
RESOURCE = """\
schema: hill
title: Plates of the Hilltop Observatory
description: |
  Photographs of the sky, and spectra of some of its stars.

  Taken in the years between <two> wars & "digitised" later.
creators:
  - {name: 'Cannon, A. J.', orcid: 0000-0002-1825-0097}
  - Hilltop Observatory
subjects: [variable-stars, photographic-plates]
licence: CC-BY-4.0
references: [10.1000/xyz123, 'https://hilltop.example/plates']
bibcode: 1925AnHar.100....1C
doi: 10.1000/plates
facility: [Hilltop Observatory]
instrument: [Astrograph]
contact: plates@hilltop.example
created: '2021-03-04'
version: '2.1'
files:
  plates:
    files: 'plates/*.fits'
    title: Plates of the astrograph
    map: {em_min: 3.8e-7, em_max: 5.0e-7, facility_name: Hilltop}
  spectra:
    kind: spectra
    files: 'spectra/*.fits'
records:
  - name: archive
    title: Hilltop archive at the data centre
    description: The same plates, served by a data centre elsewhere.
    subjects: [photographic-plates]
    services:
      - {type: tap, url: 'https://dc.example/tap'}
      - {type: web, url: 'https://dc.example/plates'}
"""


class Site:
    """A server with its data directory, and what asks its registry."""

    def __init__(self, server: Any, settings: Settings) -> None:
        self.base, self.tap, self.settings = server.base_url, server.tap, settings

    def get(self, path: str, **query: str) -> tuple[int, bytes]:
        url = f"{self.base}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def oai(self, **query: str) -> Any:
        """The root of an answer of /oai, as lxml reads it."""
        from lxml import etree

        status, content = self.get("/oai", **query)
        assert status == 200, content
        return etree.fromstring(content)

    def rows(self, query: str) -> list[dict[str, Any]]:
        import pyvo

        found = pyvo.dal.TAPService(self.tap).search(query)
        return [dict(row) for row in found.to_table()]


def age_records(settings: Settings, seconds: int) -> None:
    """As if the registry had said what it says for so long."""
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout

    with open_home_ledger(Layout.of(settings)) as ledger:
        ledger.database.change(
            "UPDATE registry_records SET datestamp = datestamp - :s, created_at = created_at - :s", {"s": seconds}
        )


def write_files(folder: Path) -> None:
    """Images and spectra as a telescope would leave them."""
    header = fits.Header(
        dict(
            CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=83.6, CRVAL2=22.0, CRPIX1=32.5, CRPIX2=32.5,
            CDELT1=-0.01, CDELT2=0.01, OBJECT="Crab", EXPTIME=600.0,
        )
    )  # fmt: skip
    header["DATE-OBS"] = "1925-01-20T20:00:00"
    (folder / "plates").mkdir(parents=True)
    fits.PrimaryHDU(np.arange(64 * 64, dtype=np.int16).reshape(64, 64), header).writeto(folder / "plates" / "a.fits")
    (folder / "spectra").mkdir()
    spectrum = Table({"wavelength": np.linspace(4000.0, 7000.0, 50), "flux": np.ones(50)})
    spectrum["wavelength"].unit = "Angstrom"
    hdu = fits.BinTableHDU(spectrum, name="SPECTRUM")
    hdu.header.update(RA=83.63, DEC=22.01, OBJECT="star")
    hdu.header["DATE-OBS"] = "1999-05-06T01:02:03"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(folder / "spectra" / "s.fits")

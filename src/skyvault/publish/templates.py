"""Resources to start from: each publishes at once with its sample, and is filled in step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skyvault.errors import Conflict, UsageError
from skyvault.publish import template_datalink
from skyvault.publish.xp_sample import write_xp_sample

_HEAD: Final = """\
# What this collection is: everything here is shown to people and given to registries.
# Publish it with:   skyvault publish {folder}
# and look at it:    skyvault serve
schema: {schema}
title: {title}
description: >
  Say in a few sentences what the data are, where they come from, and what they are good for.
creators:
  - name: A. Astronomer
    # orcid: 0000-0000-0000-0000
subjects: [{subjects}]       # concepts of the Unified Astronomy Thesaurus
licence: CC-BY-4.0           # an SPDX name, or an address
references: []               # DOIs, bibcodes or addresses
"""
_TABLE: Final = """
tables:
  stars:
    source: stars.csv        # Parquet, FITS, VOTable, CSV, ECSV
    description: One row a star.
    columns:                 # what the file does not say by itself
      g_mag: {unit: mag, ucd: phot.mag;em.opt.B, filter: SLOAN/SDSS.g, magnitude_system: AB, description: Brightness}
    # position: [ra, dec]    # only where it is not found by itself
examples:
  - name: The brightest stars
    query: SELECT TOP 10 id, ra, dec, g_mag FROM {schema}.stars ORDER BY g_mag
tests:
  - name: all rows are there
    query: SELECT COUNT(*) AS n FROM {schema}.stars
    value: 3
"""
_CONE: Final = "services: [scs]\n"
_IMAGES: Final = """
services: [sia2, soda]       # search by place and time; cutouts
files:
  images:
    files: "images/*.fits*"  # ** looks into folders, too
    hdu: first               # which image of a file: first, all, a number or a name
    map:                     # ObsCore's columns: a value, or "= expression" over the header
      calib_level: 2
      facility_name: "= first(TELESCOP, 'My telescope')"
      # em_min: 4.0e-7       # metres; common filters are known by their names
      # t_min: "= mjd(DATE_OBS)"
    extra:                   # columns of your own
      seeing: {value: "= SEEING", type: double, unit: arcsec, ucd: instr.obsty.seeing, description: Seeing}
    # companions:            # other files of each image
    #   - {semantics: "#weight", file: "weights/{stem}.weight.fits"}
    # embargo: "= '2030-01-01' if OBJECT == 'secret' else None"
examples:
  - name: Images of a place
    query: SELECT obs_id, t_min, access_url FROM ivoa.ObsCore WHERE CONTAINS(POINT(10.68, 41.27), s_region) = 1
tests:
  - name: the sample is found by its place
    query: SELECT COUNT(*) AS n FROM ivoa.ObsCore WHERE CONTAINS(POINT(10.68, 41.27), s_region) = 1
    least_rows: 1
"""
_SPECTRA: Final = """
services: [ssa]
files:
  spectra:
    kind: spectra
    files: "spectra/*.csv"   # FITS (SDSS, DESI, tables), VOTable, ECSV, CSV
    map:                     # "= expression" knows the header, and stem, name, folder of the file
      s_ra: 10.68
      s_dec: 41.27
      target_name: "= stem"
examples:
  - name: Spectra that reach into the blue
    query: SELECT target_name, em_min, em_max, access_url FROM {schema}.spectra WHERE em_min < 4.5e-7
tests:
  - name: the sample is there
    query: SELECT COUNT(*) AS n FROM {schema}.spectra
    value: 1
"""
_TIMESERIES: Final = """
services: []
files:
  light_curves:
    kind: timeseries
    files: "light_curves/*.csv"
    map:
      s_ra: 10.68
      s_dec: 41.27
      target_name: "= stem"
      em_min: "= shortest('V')"
      em_max: "= longest('V')"
examples:
  - name: Long light curves
    query: SELECT target_name, t_min, t_max, t_xel, access_url FROM {schema}.light_curves WHERE t_max - t_min > 10
tests:
  - name: the sample is there
    query: SELECT COUNT(*) AS n FROM {schema}.light_curves
    value: 1
"""
_EPNTAP: Final = """
services: [epntap]
tables:
  epn_core:                  # the name that EPN-TAP wants
    source: granules.csv     # granule_uid, dataproduct_type and target_class at least; empty ones are filled in
    description: One row a granule, an observation or a product of one.
    # times are JD (UTC), frequencies Hz; spatial_frame_type says what c1, c2 and c3 are
examples:
  - name: Images of Mars
    query: >
      SELECT granule_uid, time_min, access_url FROM {schema}.epn_core
      WHERE target_name = 'Mars' AND ivo_hashlist_has(dataproduct_type, 'im') = 1
tests:
  - name: all granules are there
    query: SELECT COUNT(*) AS n FROM {schema}.epn_core
    value: 3
"""
_XP: Final = """
services: [ssa]              # spectra by place, wavelength and name
xp:
  spectra:
    files: "archive/*"       # xp_continuous_mean_spectrum: CSV, ECSV, FITS, VOTable or Parquet, packed or not
    positions: positions.csv # source_id, ra, dec of Gaia's catalogue; without it, places follow from source_id
    grid: {start: 400, stop: 800, step: 10}  # nm
    realisations: 10         # drawn from the covariance; 0: flux and error of the coefficients
    # instrument: model      # a folder with another instrument than Gaia DR3's
examples:
  - name: Red stars, with their spectra
    query: >
      SELECT source_id, ra, dec, flux, flux_error FROM {schema}.spectra
      WHERE arr_avg(flux[31:41]) > 2 * arr_avg(flux[1:11])
tests:
  - name: all spectra are there
    query: SELECT COUNT(*) AS n FROM {schema}.spectra
    value: 3
"""
_HOOKS: Final = '''\
"""Functions that resource.yaml names. They are called where a few words of YAML do not do."""


def tidy(row, path, header):
    """Change the row of a dataset (by column name), or give None to leave the file out.

    Name it in the section of the files:  hook: tidy
    """
    return row
'''


def _stars(folder: Path) -> None:
    (folder / "stars.csv").write_text("id,ra,dec,g_mag\n1,10.68,41.27,12.5\n2,10.70,41.30,14.1\n3,10.61,41.22,9.8\n")


def _images(folder: Path) -> None:
    import numpy as np
    from astropy.io import fits

    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:64, 0:64]
    pixels = rng.normal(100.0, 5.0, (64, 64))
    for at in rng.uniform(4, 60, (12, 2)):
        pixels += 400.0 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 4.0)
    header = fits.Header()
    header.update(
        CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.68, CRVAL2=41.27, CRPIX1=32.5, CRPIX2=32.5, CDELT1=-3e-4,
        CDELT2=3e-4, OBJECT="Sample", FILTER="V", EXPTIME=60.0, SEEING=1.2,
    )  # fmt: skip
    header["DATE-OBS"] = "2020-01-01T03:04:05"
    (folder / "images").mkdir()
    fits.PrimaryHDU(pixels.astype(np.float32), header).writeto(folder / "images" / "sample.fits")


def _spectra(folder: Path) -> None:
    (folder / "spectra").mkdir()
    rows = "".join(f"{4000 + 2 * i},{1.0 - 0.6 * (abs(i - 430) < 6):.2f}\n" for i in range(1000))
    (folder / "spectra" / "sample.csv").write_text("wavelength,flux\n" + rows)


def _granules(folder: Path) -> None:
    rows = (
        "granule_uid,dataproduct_type,target_name,target_class,time_min,time_max,spectral_range_min,"
        "spectral_range_max,c1min,c1max,c2min,c2max,spatial_frame_type,instrument_host_name,instrument_name,"
        "processing_level,access_url,access_format,access_estsize",
        "mars-1,im,Mars,planet,2459000.5,2459000.51,4.3e14,7.5e14,10.0,35.0,-5.0,12.0,body,HST,WFC3,3,"
        "https://example.org/mars-1.fits,application/fits,2048",
        "mars-2,sp,Mars,planet,2459001.5,2459001.52,1.0e14,3.0e14,120.0,121.0,40.0,41.0,body,HST,STIS,3,"
        "https://example.org/mars-2.fits,application/fits,512",
        "ceres-1,ts,Ceres,dwarf_planet#asteroid,2459010.5,2459011.5,4.3e14,7.5e14,,,,,none,,Own telescope,5,"
        "https://example.org/ceres-1.csv,text/csv,12",
    )
    (folder / "granules.csv").write_text("\n".join(rows) + "\n")


def _light_curves(folder: Path) -> None:
    import math

    (folder / "light_curves").mkdir()
    rows = "".join(f"{58000 + 0.7 * i:.4f},{12.0 + 0.3 * math.sin(i):.3f}\n" for i in range(60))
    (folder / "light_curves" / "sample.csv").write_text("mjd,mag\n" + rows)


@dataclass(frozen=True, slots=True)
class Template:
    """A resource to start from: what it is for, its text, and what makes its sample."""

    about: str
    title: str
    subjects: str
    body: str
    sample: Callable[[Path], None]
    has_hooks: bool = False
    #: its hooks.py, where that is another than the usual one
    hooks: str | None = None


TEMPLATES: Final[Mapping[str, Template]] = {
    "table": Template("a table for TAP", "A table", "Catalogs", _TABLE, _stars),
    "cone": Template("a table with a cone search", "A catalogue of positions", "Catalogs", _CONE + _TABLE, _stars),
    "images": Template(
        "FITS images for SIA2, DataLink and SODA", "Images", "Astronomy data acquisition", _IMAGES, _images, True
    ),
    "spectra": Template("spectra for SSA and TAP", "Spectra", "Spectroscopy", _SPECTRA, _spectra, True),
    "timeseries": Template(
        "light curves for TAP and DataLink", "Light curves", "Light curves", _TIMESERIES, _light_curves, True
    ),
    "xp": Template("Gaia XP spectra for TAP and SSA", "Gaia XP spectra", "Spectrophotometry", _XP, write_xp_sample),
    "epntap": Template(
        "granules of the Solar System for EPN-TAP",
        "Observations of planets",
        "Solar system astronomy",
        _EPNTAP,
        _granules,
    ),
    "datalink": Template(
        "products made on demand, services on them, things that run by themselves",
        "Light curves on demand",
        "Light curves",
        template_datalink.BODY,
        template_datalink.sample,
        True,
        template_datalink.HOOKS,
    ),
}


def make_resource(name: str, folder: Path) -> list[Path]:
    """Write a resource with its sample into a new or empty folder; returns the files. Raises UsageError, Conflict."""
    import re

    template = TEMPLATES.get(name)
    if template is None:
        from difflib import get_close_matches

        near = get_close_matches(name, TEMPLATES, n=1)
        told = f"Did you mean {near[0]}?" if near else f"There are {', '.join(TEMPLATES)}."
        raise UsageError(f"there is no template {name!r}", hint=told)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} is there already and not empty", hint="Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    schema = re.sub(r"\W+", "_", folder.resolve().name.lower(), flags=re.ASCII).strip("_") or "mine"
    schema = schema if schema[0].isalpha() else f"c_{schema}"
    head = _HEAD.format(folder=folder, schema=schema, title=template.title, subjects=template.subjects)
    (folder / "resource.yaml").write_text(head + template.body.replace("{schema}", schema))
    if template.has_hooks:
        (folder / "hooks.py").write_text(template.hooks or _HOOKS)
    template.sample(folder)
    return sorted(path for path in folder.rglob("*") if path.is_file())

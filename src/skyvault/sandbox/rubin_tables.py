"""The tables of the Rubin-like TAP service: ivoa.ObsCore with its 37 columns, and catalogues of the same sky."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from skyvault.formats.arrow import arrow_type
from skyvault.model.table import Column, Table
from skyvault.sandbox.emulation import HeldTable
from skyvault.sandbox.rubin_images import stars_of, wavelengths
from skyvault.sandbox.rubin_sky import COLLECTION, Image, exposures, images

DATALINK: Final = "application/x-votable+xml;content=datalink"

#: name, datatype, unit, UCD, description, and what an image has of it; in the order of the archive
_COLUMNS: Final[tuple[tuple[str, str, str | None, str | None, str, Callable[[Image], Any]], ...]] = (
    ("access_format", "char", None, "meta.code.mime", "Content format of the dataset", lambda i: DATALINK),
    ("access_url", "char", None, "meta.ref.url", "Address of the dataset's links", lambda i: None),
    ("calib_level", "int", None, "meta.code;obs.calib", "Calibration level, 0 to 4", lambda i: i.level),
    ("dataproduct_subtype", "char", None, "meta.id", "Kind of image in the survey's words", lambda i: i.subtype),
    ("dataproduct_type", "char", None, "meta.code.class", "Kind of data", lambda i: "image"),
    ("em_max", "double", "m", "em.wl;stat.max", "Longest wavelength", lambda i: wavelengths(i.band)[1]),
    ("em_min", "double", "m", "em.wl;stat.min", "Shortest wavelength", lambda i: wavelengths(i.band)[0]),
    ("em_res_power", "double", None, "spect.resolution", "Spectral resolving power", lambda i: None),
    ("em_xel", "long", None, "meta.number", "Elements along the spectral axis", lambda i: 1),
    ("facility_name", "char", None, "meta.id;instr.tel", "Telescope", lambda i: "Rubin:Simonyi"),
    ("instrument_name", "char", None, "meta.id;instr", "Instrument", lambda i: "LSSTCam-imSim"),
    ("lsst_band", "char", None, None, "Band", lambda i: i.band),
    ("lsst_ccdvisitid", "long", None, None, "Visit and detector", lambda i: _ccd_visit(i)),
    ("lsst_detector", "long", None, None, "Detector in the camera", lambda i: i.detector),
    ("lsst_filter", "char", None, None, "Filter in the camera", lambda i: f"{i.band}_sim_1.4"),
    ("lsst_patch", "long", None, None, "Patch of the sky map", lambda i: i.patch),
    ("lsst_tract", "long", None, None, "Tract of the sky map", lambda i: i.tract),
    ("lsst_visit", "long", None, None, "Pointing of the camera", lambda i: i.visit),
    ("o_ucd", "char", None, "meta.ucd", "UCD of the observable", lambda i: "phot.flux.density"),
    ("obs_collection", "char", None, "meta.id", "Name of the data collection", lambda i: COLLECTION),
    ("obs_id", "char", None, "meta.id", "Observation identifier", lambda i: i.obs_id),
    ("obs_publisher_did", "char", None, "meta.ref.ivoid", "Publisher's identifier", lambda i: publisher_did(i)),
    ("obs_title", "char", None, "meta.title;obs", "Title", lambda i: f"{i.subtype} {i.obs_id}"),
    ("pol_xel", "long", None, "meta.number", "Number of polarisation samples", lambda i: 0),
    ("s_dec", "double", "deg", "pos.eq.dec", "Central declination, ICRS", lambda i: i.dec_deg),
    ("s_fov", "double", "deg", "phys.angSize;instr.fov", "Diameter of the region", lambda i: _diameter(i)),
    ("s_ra", "double", "deg", "pos.eq.ra", "Central right ascension, ICRS", lambda i: i.ra_deg),
    ("s_region", "char", None, "pos.outline;obs.field", "Region covered, with padding", lambda i: i.region),
    ("s_resolution", "double", "arcsec", "pos.angResolution", "Spatial resolution (FWHM)", lambda i: None),
    ("s_xel1", "long", None, "meta.number", "Elements along the first axis", lambda i: 400),
    ("s_xel2", "long", None, "meta.number", "Elements along the second axis", lambda i: 400),
    ("t_exptime", "double", "s", "time.duration;obs.exposure", "Exposure time", lambda i: i.mjd and 30.0),
    ("t_max", "double", "d", "time.end;obs.exposure", "Stop time (MJD)", lambda i: i.mjd and i.mjd + 30.0 / 86400),
    ("t_min", "double", "d", "time.start;obs.exposure", "Start time (MJD)", lambda i: i.mjd),
    ("t_resolution", "double", "s", "time.resolution", "Temporal resolution", lambda i: None),
    ("t_xel", "long", None, "meta.number", "Elements along the time axis", lambda i: None if i.mjd is None else 1),
    ("target_name", "char", None, "meta.id;src", "Object observed", lambda i: None),
)  # fmt: skip


def publisher_did(image: Image) -> str:
    return f"ivo://org.rubinobs/usdac/dp0.2?repo=dp02&id={image.uuid}"


def link_id(image: Image) -> str:
    """The identifier the links service knows an image by."""
    return f"butler://dp02/{image.uuid}"


def _ccd_visit(image: Image) -> int | None:
    return image.visit * 1000 + image.detector if image.visit is not None and image.detector is not None else None


def _diameter(image: Image) -> float:
    return 0.359 if image.visit is not None else 0.322


def obscore() -> Table:
    """The description of the service's ivoa.ObsCore."""
    columns = tuple(
        Column(
            name,
            datatype,  # type: ignore[arg-type]
            "*" if datatype == "char" else None,
            unit=unit,
            ucd=ucd,
            utype="obscore:Access.Format" if name == "access_format" else None,
            description=description,
            std=not name.startswith("lsst_"),
            principal=True,
            indexed=name == "s_region",
        )
        for name, datatype, unit, ucd, description, _ in _COLUMNS
    )
    return Table("ivoa.ObsCore", columns, description="Images of the survey as ObsCore 1.1 describes observations")


def tables(links_url: str) -> Iterable[HeldTable]:
    """All tables; access addresses lead to ``links_url``."""
    table = obscore()
    all_images = images()
    rows = pa.table(
        [
            pa.array([f"{links_url}?ID={quote(link_id(i), safe='/')}" for i in all_images], arrow_type(column))
            if name == "access_url"
            else pa.array([value(i) for i in all_images], arrow_type(column))
            for column, (name, *_, value) in zip(table.columns, _COLUMNS, strict=True)
        ],
        names=list(table.column_names),
    )
    yield HeldTable(table.name, rows, described=table)
    yield _sources()
    yield _visits()
    yield HeldTable(
        "dp01_dc2_catalogs.object",
        pa.table({"objectId": pa.array([1249537790362809267], pa.int64()), "ra": [62.0123], "dec": [-36.9876]}),
        {"description": "Objects of the earlier preview"},
    )
    yield HeldTable(
        "uws.Job",
        pa.table({"jobId": ["none"], "phase": ["COMPLETED"]}),
        {"description": "Jobs of this service"},
    )


def _sources() -> HeldTable:
    """Detections on some exposures: those of the tutorial's first image among them."""
    here, _ = exposures()
    wanted = [image for image in here if image.band == "i"][:12] + [image for image in here if image.band == "y"][:3]
    parts: list[pa.Table] = []
    for image in wanted:
        x, y, ra, dec, flux = stars_of(image)
        count = len(x)
        ccd_visit = _ccd_visit(image) or 0
        parts.append(
            pa.table(
                {
                    "sourceId": pa.array(ccd_visit * 100_000 + np.arange(count), pa.int64()),
                    "ccdVisitId": pa.array(np.full(count, ccd_visit), pa.int64()),
                    "band": pa.array([image.band] * count),
                    "coord_ra": pa.array(ra),
                    "coord_dec": pa.array(dec),
                    "x": pa.array(x),
                    "y": pa.array(y),
                    "psfFlux": pa.array(flux),
                }
            )
        )
    columns = {
        "coord_ra": {"ucd": "pos.eq.ra;meta.main", "unit": "deg"},
        "coord_dec": {"ucd": "pos.eq.dec;meta.main", "unit": "deg"},
        "psfFlux": {"unit": "nJy"},
    }
    return HeldTable(
        "dp02_dc2_catalogs.Source",
        pa.concat_tables(parts),
        {"description": "Detections on single exposures", "columns": columns},
    )


def _visits() -> HeldTable:
    here, around = exposures()
    visits = {image.visit: image for image in (*around, *here)}
    chosen = list(visits.values())
    return HeldTable(
        "dp02_dc2_catalogs.Visit",
        pa.table(
            {
                "visit": pa.array([image.visit for image in chosen], pa.int64()),
                "band": [image.band for image in chosen],
                "expMidptMJD": [(image.mjd or 0.0) + 15.0 / 86400 for image in chosen],
            }
        ),
        {"description": "Pointings of the camera"},
    )

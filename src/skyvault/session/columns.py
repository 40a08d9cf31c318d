"""The columns of a session's tables: catalogue sources, exposures and plate photometry, with units and meanings.

Each is declared once: its name here, its type and unit, where the archive's answer holds it, and which values there
mean that there is none. An empty cell always means that; a photometry column is also missing in every row without a
detection, unless it is ``always`` there. Source: DASCH data release 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final


@dataclass(frozen=True, slots=True)
class SessionColumn:
    """One column: ``kind`` is a numpy type, or "str", "time" or "position" (ICRS degrees)."""

    name: str
    kind: str
    unit: str | None
    wire: str
    meaning: str
    missing: tuple[float, ...] = ()
    always: bool = False


#: the angular reach of a session's catalogue (DASCH's own tools ask for as much), in arcsec
REFCAT_RADIUS_ARCSEC: Final = 850.0
#: half the side of a cutout of 835 pixels of 1.44 arcsec that is shown around a target, in arcsec
CUTOUT_HALFSIZE_ARCSEC: Final = 600.0
REFCATS: Final = ("apass", "atlas")

_REFCAT: Final = """
ref_text | str | | ref_text | unique name of the source
ref_number | uint64 | | ref_number | unique number of the source
gsc_bin_index | uint32 | | gsc_bin_index | cell of the sky, with the number the key of a light curve
pos | position | deg | ra_deg | catalogue position (ICRS) with proper motion, at its epoch
dra | float32 | arcsec | dra_asec | target minus source in right ascension, on the sky
ddec | float32 | arcsec | ddec_asec | target minus source in declination
u_pm_ra_cosdec | float32 | mas / yr | u_pm_ra_masyr | uncertainty of the proper motion in right ascension
u_pm_dec | float32 | mas / yr | u_pm_dec_masyr | uncertainty of the proper motion in declination
stdmag | float32 | mag | stdmag | catalogue magnitude: B for apass, g for atlas | >=99
color | float32 | mag | color | catalogue colour: B-V for apass, g-r for atlas | >=99
v_flag | uint16 | | v_flag | the catalogue magnitude is uncertain or variable
mag_flag | uint16 | | mag_flag | where magnitude and colour come from (apass)
class | uint16 | | class | class of the Guide Star Catalog 2.3.2: 0 star, 3 not a star
num_matches | uint32 | | num_matches | how many detections on plates are linked to this source
"""

_EXPOSURES: Final = """
series | str | | series | plate series, lower case
platenum | uint32 | | platenum | plate number in the series
scannum | int16 | | scannum | number of the scan; missing: never scanned
mosnum | int16 | | mosnum | number of the mosaic of scans
expnum | int16 | | expnum | number of the exposure in the logbook | <0
solnum | int16 | | solnum | astrometric solution in the mosaic, from 0; -1: scanned but not solved
class | str | | class | plate class of the logbook
exptime | float32 | min | exptime | exposure time | <0
obs_date | time | | expdate | middle of the exposure (UTC)
wcssource | str | | wcssource | where the position comes from: imwcs (solved), logbook or none
scan_date | time | | scandate | when the plate was scanned (UTC)
mos_date | time | | mosdate | when the mosaic was made (UTC)
center_distance | float32 | cm | centerdist | target to the plate's centre
edge_distance | float32 | cm | edgedist | target to the plate's nearest edge
lim_mag_apass | float32 | mag | limMagApass | limiting magnitude at the target; there where calibrated with apass
lim_mag_atlas | float32 | mag | limMagAtlas | limiting magnitude at the target; there where calibrated with atlas
n_solutions_apass | int16 | | nSolutionsApass | solutions of this plate calibrated with apass
n_magdep_apass | int16 | | nMagdepApass | magnitude-dependent corrections of this plate, apass
median_colorterm_apass | float32 | | medianColortermApass | colour term: plate magnitude = B + c (B-V)
result_id_apass | str | | resultIdApass | name of the calibration file, apass
n_solutions_atlas | int16 | | nSolutionsAtlas | solutions of this plate calibrated with atlas
n_magdep_atlas | int16 | | nMagdepAtlas | magnitude-dependent corrections of this plate, atlas
median_colorterm_atlas | float32 | | medianColortermAtlas | colour term: plate magnitude = g + c (g-r)
result_id_atlas | str | | resultIdAtlas | name of the calibration file, atlas
pos | position | deg | ra | centre of the exposure (ICRS), NaN where unknown
"""

_PHOTOMETRY: Final = """
time | time | d | date_jd | middle of the exposure: heliocentric JD if detected, else geocentric (UTC) | | always
local_id | int64 | | | number of the row by time, from 0 | | always
ref_number | uint64 | | ref_number | the catalogue source's number | =0
magcal_magdep | float32 | mag | magcal_magdep | the calibrated magnitude; missing: not detected
magcal_magdep_rms | float32 | mag | magcal_magdep_rms | scatter of the magnitude-dependent calibration | =99
limiting_mag_local | float32 | mag | limiting_mag_local | limiting magnitude around the source | | always
pos | position | deg | ra_deg | measured position (ICRS), NaN where not detected | | always
fwhm_world | float32 | deg | fwhm_deg | full width at half maximum on the sky
ellipticity | float32 | | ellipticity | 1 minus the axis ratio
theta_j2000 | float32 | deg | theta_j2000 | position angle of the image
iso_area_world | float32 | deg2 | iso_area_sqdeg | isophotal area on the sky
aflags | uint32 | | aflags | warnings: see AFlags
bflags | uint32 | | bflags | processing: see BFlags
local_bin_reject_flag | uint32 | | reject_flag | local correction: see LocalBinRejectFlags
series | str | | series | plate series | | always
platenum | uint32 | | plate_number | plate number in the series | | always
mosnum | uint8 | | mosaic_number | number of the mosaic of scans | | always
solnum | uint8 | | solution_number | astrometric solution in the mosaic, from 0 | | always
expnum | int16 | | exposure_number | exposure in the logbook; not reliable, the solution is | | always
image_x | float32 | pix | x_image | pixel column on the mosaic as solved
image_y | float32 | pix | y_image | pixel row on the mosaic as solved
magcal_iso | float32 | mag | magcal_iso | isophotal magnitude after the lowess calibration
magcal_iso_rms | float32 | mag | magcal_iso_rms | scatter of the lowess calibration | =99
magcal_local | float32 | mag | magcal_local | magnitude after the local correction
magcal_local_rms | float32 | mag | magcal_local_rms | the recommended uncertainty of magcal_magdep | =99
magcal_local_error | float32 | mag | magcal_local_error | error of the local correction | =99
drad_rms2 | float32 | arcsec | drad_rms2 | positional scatter of the smoothing bin | =99
extinction | float32 | mag | extinction | atmospheric extinction taken off
magcor_local | float32 | mag | magcor_local | the local correction | =0
blended_mag | float32 | mag | blended_mag | magnitude of the blend this source is part of | =0 =99
a2flags | uint32 | | a2flags | further flags
b2flags | uint32 | | b2flags | further flags
npoints_local | uint32 | | npoints_local | stars in the local bin
local_bin_index | uint16 | | local_bin_index | which of the 50 x 50 local bins
spatial_bin | uint16 | | spatial_bin | annulus on the plate, 1 to 9
magdep_bin | int16 | | magdep_bin | bin of the magnitude-dependent calibration | =-1
mag_iso | float32 | mag | mag_iso | instrumental isophotal magnitude
mag_aper | float32 | mag | mag_aper | instrumental aperture magnitude
mag_auto | float32 | mag | mag_auto | instrumental Kron magnitude
flux_iso | float32 | | flux_iso | instrumental isophotal flux (ADU)
background | float32 | | background | background (ADU)
flux_max | float32 | | flux_max_adu | peak above the background (ADU)
fwhm_image | float32 | pix | fwhm_pix | full width at half maximum
kron_radius | float32 | | kron_radius | Kron radius
sxt_iso0 | uint32 | | iso_area_0 | isophotal area above threshold 0 (pixels)
sxt_iso1 | uint32 | | iso_area_1 | isophotal area above threshold 1 (pixels)
sxt_iso2 | uint32 | | iso_area_2 | isophotal area above threshold 2 (pixels)
sxt_iso3 | uint32 | | iso_area_3 | isophotal area above threshold 3 (pixels)
sxt_iso4 | uint32 | | iso_area_4 | isophotal area above threshold 4 (pixels)
sxt_iso5 | uint32 | | iso_area_5 | isophotal area above threshold 5 (pixels)
sxt_iso6 | uint32 | | iso_area_6 | isophotal area above threshold 6 (pixels)
sxt_iso7 | uint32 | | iso_area_7 | isophotal area above threshold 7 (pixels)
time_accuracy | float32 | d | time_accuracy_days | uncertainty of the time; 1 d where only the date was logged
catalog_ra | float64 | deg | ra_cat_corrected | catalogue right ascension moved to the plate's epoch | =999
catalog_dec | float64 | deg | dec_cat_corrected | catalogue declination moved to the plate's epoch | =99
pm_ra_cosdec | float32 | mas / yr | pm_ra_masyr | proper motion used, right ascension | =999999
pm_dec | float32 | mas / yr | pm_dec_masyr | proper motion used, declination | =999999
plate_dist | float32 | deg | plate_center_dist_deg | distance from the plate's centre
sxt_number | uint32 | | sextractor_number | number of the detection on the plate
gsc_bin_index | uint32 | | gsc_bin_index | cell of the sky; may change with time for fast stars
dasch_photdb_version_id | uint16 | | version_id | version of the photometry database | | always
dasch_mask_index | uint8 | | mask_index | mask used | | always
"""

#: columns of older sessions, and those a session adds
_OTHERS: Final = {
    "refcat": "the reference catalogue: apass or atlas",
    "local_id": "number of the row, from 0: by distance in the catalogue, else by time",
    "reject": "one bit for each rejection tag; 0: accepted",
    "exp_local_id": "row of the exposure table, -1: none matches",
    "source_lc_index": "which of the merged light curves the row was taken from",
    "source_lc_row": "row in that light curve",
    "merge_n_hits": "accepted detections on the same exposure in all merged light curves",
    "rotation_deg": "rotation of the scan",
    "binflags": "flags of the scan's binning",
    "plate_quality_flag": "quality of the plate: see PlateQualityFlags",
    "series_id": "number of the series",
    "dasch_plate_version_id": "version of the plate database",
    "vFlag": "the catalogue magnitude is uncertain or variable",
    "magFlag": "where magnitude and colour come from (apass)",
}


def _declared(text: str) -> tuple[SessionColumn, ...]:
    found = []
    for line in text.strip().splitlines():
        parts = [part.strip() for part in line.split("|")]
        name, kind, unit, wire, meaning = parts[:5]
        sentinels = parts[5].split() if len(parts) > 5 else []
        found.append(
            SessionColumn(
                name=name,
                kind=kind,
                unit=unit or None,
                wire=wire,
                meaning=meaning,
                missing=tuple(float(sentinel.lstrip("<>=")) for sentinel in sentinels if sentinel[0] == "="),
                always="always" in parts[6:],
            )
        )
    return tuple(found)


@cache
def refcat_columns() -> tuple[SessionColumn, ...]:
    """Columns of a catalogue query, in the table's order."""
    return _declared(_REFCAT)


@cache
def exposure_columns() -> tuple[SessionColumn, ...]:
    """Columns of an exposure query, in the table's order."""
    return _declared(_EXPOSURES)


@cache
def photometry_columns() -> tuple[SessionColumn, ...]:
    """Columns of light curves and plate extracts, in the table's order."""
    return _declared(_PHOTOMETRY)


@cache
def _meanings(kind: str) -> dict[str, str]:
    declared = {"refcat": refcat_columns, "exposures": exposure_columns, "photometry": photometry_columns}[kind]()
    return _OTHERS | {column.name: column.meaning for column in declared}


def meaning_of(kind: str, name: str) -> str:
    """What a column holds, in words; "" for one nobody has declared. ``kind``: refcat, exposures or photometry."""
    return _meanings(kind).get(name, "")

"""Lines of DASCH's tables over the simulated plates: reference stars, exposures, light curves."""

from __future__ import annotations

import functools
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from skyvault.missions.dasch_series import SERIES
from skyvault.sandbox.plates import PlateMeasurements, measure, plates
from skyvault.sandbox.star_fields import StarField, fields_near, separation, star_fields

PHOTOMETRY_HEADER: Final = (
    "date_jd,series,plate_number,mosaic_number,solution_number,limiting_mag_local,ref_number,x_image,y_image,mag_iso,"
    "ra_deg,dec_deg,flux_iso,mag_aper,mag_auto,kron_radius,background,flux_max_adu,theta_j2000,ellipticity,"
    "iso_area_sqdeg,fwhm_pix,fwhm_deg,plate_center_dist_deg,blended_mag,drad_rms2,ra_cat_corrected,dec_cat_corrected,"
    "magcal_iso,magcal_iso_rms,magcal_local,magcal_local_rms,magcal_local_error,magcor_local,extinction,magcal_magdep,"
    "magcal_magdep_rms,pm_ra_masyr,pm_dec_masyr,time_accuracy_days,gsc_bin_index,sextractor_number,version_id,aflags,"
    "a2flags,bflags,b2flags,iso_area_0,iso_area_1,iso_area_2,iso_area_3,iso_area_4,iso_area_5,iso_area_6,iso_area_7,"
    "npoints_local,reject_flag,magdep_bin,pass_bits,local_bin_index,mask_index,exposure_number,spatial_bin,"
    "catalog_number"
)
_COLUMNS: Final = PHOTOMETRY_HEADER.split(",")
#: good star, calibrated by lowess, locally, for extinction, colour and magnitude: BFLAGS of an ordinary measurement
_BFLAGS: Final = 65536 | 131072 | 262144 | 524288 | 2097152 | 2048 | 1073741824
_MJD_ZERO: Final = datetime(1858, 11, 17, tzinfo=UTC)


def refcat_lines(field: StarField, ra_deg: float, dec_deg: float, radius_arcsec: float) -> list[str]:
    """The field's stars in a box around a place; offsets are place minus star."""
    mean = np.radians((dec_deg + field.dec_deg) / 2.0)
    dra = np.mod(ra_deg - field.ra_deg + 180.0, 360.0) - 180.0
    dra_arcsec, ddec_arcsec = 3600.0 * dra * np.cos(mean), 3600.0 * (dec_deg - field.dec_deg)
    inside = np.flatnonzero((np.abs(dra_arcsec) < radius_arcsec) & (np.abs(ddec_arcsec) < radius_arcsec))
    lines = []
    for star in inside.tolist():
        count = int(measure(field, star).is_detected.sum())
        mag = 99.0 if star % 41 == 5 else round(float(field.mag[star]), 2)
        color = 99.0 if star % 29 == 5 else round(float(field.color[star]), 2)
        lines.append(
            f"{field.ref_text[star]},{field.ref_number[star]},{field.gsc_bin[star]},{field.ra_deg[star]:.6f},"
            f"{field.dec_deg[star]:.6f},2000.0,{mag},{color},{field.pm_ra_masyr[star]:.1f},1.9,"
            f"{field.pm_dec_masyr[star]:.1f},1.9,0,{int(star == 0)},0,{count or ''},"
            f"{float(dra_arcsec[star])!r},{float(ddec_arcsec[star])!r}"
        )
    return lines


def exposure_lines(ra_deg: float, dec_deg: float, first_mjd: float | None, last_mjd: float | None) -> list[str]:
    """Exposures of plates on which a place lies, within limits of their middle (MJD UTC, included)."""
    all_plates = plates()
    x, y, inside = all_plates.pixel_of(ra_deg, dec_deg)
    if first_mjd is not None:
        inside = inside & (all_plates.mjd_utc >= first_mjd)
    if last_mjd is not None:
        inside = inside & (all_plates.mjd_utc <= last_mjd)
    lines = []
    for row in np.flatnonzero(inside).tolist():
        width, height = int(all_plates.width[row]), int(all_plates.height[row])
        centre = np.hypot(x[row] - width / 2.0, y[row] - height / 2.0) / 909.09
        edge = min(x[row], width - x[row], y[row], height - y[row]) / 909.09
        scanned, solved = bool(all_plates.is_scanned[row]), bool(all_plates.is_solved[row])
        source = "imwcs" if solved else ("logbook" if scanned or row % 3 else "none")
        limit = f"{all_plates.lim_mag[row]:.3f},{all_plates.lim_mag[row] - 0.2:.3f}" if solved else ","
        terms = f"{all_plates.colorterm[row]:.3f},{all_plates.colorterm[row] + 0.5:.3f}" if solved else ","
        counts = "1,1,1,1" if solved else "0,0,0,0"
        results = f"{result_id(row, 'apass')},{result_id(row, 'atlas')}" if solved else ","
        lines.append(
            f"{all_plates.series[row]},{all_plates.number[row]},{0 if scanned else -1},{all_plates.mosnum[row]},"
            f"{all_plates.expnum[row]},{all_plates.solnum[row]},,{all_plates.ra_deg[row]:.6f},"
            f"{all_plates.dec_deg[row]:.6f},{all_plates.minutes[row]:.2f},{date_text(all_plates.mjd_utc[row])},2000,"
            f"{source},,{'2018-11-09T09:21:34' if scanned else ''},{centre:.1f},{edge:.1f},{limit},{terms},{counts},"
            f"{results}"
        )
    return lines


def date_text(mjd: float) -> str:
    """UTC as the archive writes it, which may have 60 in the place of seconds."""
    tenths = round(float(mjd) * 864000.0)
    day, tenths = divmod(tenths, 864000)
    minutes, tenths = divmod(tenths, 600)
    date = _MJD_ZERO + timedelta(days=day, minutes=minutes)
    if tenths == 0 and minutes % 7 == 0:
        date -= timedelta(minutes=1)
        tenths = 600
    return f"{date:%Y-%m-%dT%H:%M:}{tenths // 10:02d}.{tenths % 10}Z"


def result_id(row: int, refcat: str) -> str:
    """The 32 hexadecimal digits that name a plate's calibration."""
    return hashlib.md5(f"{row} {refcat}".encode(), usedforsecurity=False).hexdigest()


@functools.cache
def _stars() -> dict[tuple[int, int], tuple[StarField, int]]:
    return {
        (number, gsc_bin): (field, star)
        for field in star_fields()
        for star, (number, gsc_bin) in enumerate(zip(field.ref_number, field.gsc_bin, strict=True))
    }


def star_of(ref_number: int, gsc_bin_index: int) -> tuple[StarField, int] | None:
    """The star both numbers name."""
    return _stars().get((ref_number, gsc_bin_index))


def light_curve_lines(field: StarField, star: int) -> list[str]:
    """Detections and upper limits of a star, by time."""
    seen = measure(field, star)
    order = np.argsort(seen.jd, kind="stable").tolist()
    return [_line(field, star, seen, index) for index in order]


def plate_lines(row: int, ra_deg: float, dec_deg: float) -> list[str]:
    """What one exposure shows in a box of 10 arcmin around a place; every ninth has no star of the catalogue."""
    lines = []
    for field in fields_near(ra_deg, dec_deg, 0.25):
        offset = separation(field.ra_deg, field.dec_deg, ra_deg, dec_deg)
        for star in np.flatnonzero(offset < 10.0 / 60.0).tolist():
            seen = measure(field, star)
            index = np.flatnonzero((seen.rows == row) & seen.is_detected)
            if len(index):
                line = _line(field, star, seen, int(index[0]))
                if star % 9 == 8:
                    words = line.split(",")
                    words[6] = ""
                    line = ",".join(words)
                lines.append(line)
    return lines


def _line(field: StarField, star: int, seen: PlateMeasurements, index: int) -> str:
    all_plates, row = plates(), int(seen.rows[index])
    head = (
        f"{seen.jd[index]:.6f},{all_plates.series[row]},{all_plates.number[row]},{all_plates.mosnum[row]},"
        f"{all_plates.solnum[row]},{all_plates.lim_mag[row]:.6f}"
    )
    if not seen.is_detected[index]:
        return head + "," * (len(_COLUMNS) - 6)
    mag, error = float(seen.mag[index]), float(seen.error[index])
    angle = float(seen.angle_deg[index])
    dec = float(field.dec_deg[star]) + seen.offset_arcsec[index] * np.sin(np.radians(angle)) / 3600.0
    ra = float(field.ra_deg[star]) + seen.offset_arcsec[index] * np.cos(np.radians(angle)) / 3600.0 / np.cos(
        np.radians(dec)
    )
    scale_deg = float(all_plates.arcsec_px[row]) / 3600.0
    fwhm = 6.0 + (row % 17) * 0.4
    centre = np.hypot(seen.x[index] - all_plates.width[row] / 2, seen.y[index] - all_plates.height[row] / 2) * scale_deg
    accuracy = (0.0007, 0.0007, 0.0075, 1.0)[row % 4] if row % 40 == 3 else 0.0007
    cells: dict[str, Any] = {
        "ref_number": field.ref_number[star], "x_image": f"{seen.x[index]:.3f}", "y_image": f"{seen.y[index]:.3f}",
        "mag_iso": f"{mag - 25.0:.4f}", "ra_deg": f"{ra % 360.0:.6f}", "dec_deg": f"{dec:.6f}",
        "flux_iso": f"{10 ** (0.4 * (25.0 - mag)):.1f}", "mag_aper": f"{mag - 24.9:.4f}",
        "mag_auto": f"{mag - 25.1:.4f}",
        "kron_radius": "3.5", "background": f"{4800 + row % 400:.3f}", "flux_max_adu": f"{1500 + row % 1000:.3f}",
        "theta_j2000": f"{(row * 13) % 180 - 90:.2f}", "ellipticity": f"{0.05 + (row % 30) * 0.01:.3f}",
        "iso_area_sqdeg": f"{3.0 * (fwhm * scale_deg) ** 2:.6f}", "fwhm_pix": f"{fwhm:.2f}",
        "fwhm_deg": f"{fwhm * scale_deg:.6f}", "plate_center_dist_deg": f"{centre:.4f}",
        "ra_cat_corrected": repr(float(field.ra_deg[star])), "dec_cat_corrected": repr(float(field.dec_deg[star])),
        "magcal_iso": f"{mag + 0.03:.6f}", "magcal_iso_rms": f"{error:.6f}", "magcal_local": f"{mag:.6f}",
        "magcal_local_rms": f"{error:.6f}", "magcal_local_error": "99" if row % 3 else f"{error * 0.8:.5f}",
        "extinction": "0.447", "magcal_magdep": f"{mag:.6f}", "magcal_magdep_rms": "" if row % 5 else f"{error:.6f}",
        "magcor_local": "" if row % 2 else "-0.071585", "pm_ra_masyr": f"{field.pm_ra_masyr[star]:.1f}",
        "pm_dec_masyr": f"{field.pm_dec_masyr[star]:.1f}", "time_accuracy_days": accuracy,
        "gsc_bin_index": field.gsc_bin[star], "sextractor_number": (row * 211 + star) % 90000 + 1,
        "version_id": 10, "aflags": int(seen.aflags[index]), "a2flags": 0, "bflags": _BFLAGS, "b2flags": 0,
        **{f"iso_area_{k}": max(1, int(fwhm * fwhm * (3 - k / 3))) for k in range(8)}, "npoints_local": 20 + row % 60,
        "reject_flag": 0, "magdep_bin": -1 if row % 5 else row % 400, "pass_bits": 1, "local_bin_index": row % 2500,
        "mask_index": 0, "exposure_number": int(all_plates.expnum[row]), "spatial_bin": 1 + row % 8,
        "catalog_number": 0,
    }  # fmt: skip
    return head + "," + ",".join(str(cells.get(name, "")) for name in _COLUMNS[6:])


def exposure_of_plate(row: int) -> dict[str, Any]:
    """An exposure as the mosaic's metadata tell it."""
    all_plates = plates()
    return {
        "number": int(all_plates.expnum[row]),
        "raDeg": round(float(all_plates.ra_deg[row]), 6),
        "decDeg": round(float(all_plates.dec_deg[row]), 6),
        "centerSource": "imwcs",
        "midpointDate": date_text(all_plates.mjd_utc[row]),
        "dateAccDays": 0.0007,
        "dateSource": "logbook",
        "durMin": float(all_plates.minutes[row]),
    }


def telescope_of(plate_id: str) -> str:
    """The telescope of a plate's series."""
    series = plate_id.rstrip("0123456789")
    return SERIES[series].telescope if series in SERIES else ""

"""The flags of plate photometry: what DASCH's pipeline has to say about each measurement.

Bits are counted from 1 in DASCH's documentation; the values here are the numbers in the columns. ``AFlags`` are
warnings (0 is best), ``BFlags`` tell what was done and are not necessarily bad.
Source: the flag lists of DASCH's data release 7.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final, TypeVar


class AFlags(enum.IntFlag, boundary=enum.KEEP):
    """Warnings about a measurement's quality; bits 17 to 19 are a number, see :func:`blend_case`."""

    HIGH_BACKGROUND = 1 << 6
    BAD_PLATE_QUALITY = 1 << 7
    MULT_EXP_UNMATCHED = 1 << 8
    UNCERTAIN_DATE = 1 << 9
    MULT_EXP_BLEND = 1 << 10
    LARGE_ISO_RMS = 1 << 11
    LARGE_LOCAL_SMOOTH_RMS = 1 << 12
    CLOSE_TO_LIMITING = 1 << 13
    RADIAL_BIN_9 = 1 << 14
    BIN_DRAD_UNKNOWN = 1 << 15
    UNCERTAIN_CATALOG_MAG = 1 << 19
    CASE_B_BLEND = 1 << 20
    CASE_C_BLEND = 1 << 21
    CASE_BC_BLEND = 1 << 22
    LARGE_DRAD = 1 << 23
    PICKERING_WEDGE = 1 << 24
    SUSPECTED_DEFECT = 1 << 25
    SXT_BLEND = 1 << 26
    REJECTED_BLEND = 1 << 27
    LARGE_SMOOTHING_CORRECTION = 1 << 28
    TOO_BRIGHT = 1 << 29
    LOW_ALTITUDE = 1 << 30


class BFlags(enum.IntFlag, boundary=enum.KEEP):
    """What the pipeline did and saw."""

    NEIGHBORS = 1 << 0
    BLEND = 1 << 1
    SATURATED = 1 << 2
    NEAR_BOUNDARY = 1 << 3
    APERTURE_INCOMPLETE = 1 << 4
    ISOPHOT_INCOMPLETE = 1 << 5
    DEBLEND_OVERFLOW = 1 << 6
    EXTRACTION_OVERFLOW = 1 << 7
    CORRECTED_FOR_BLEND = 1 << 8
    LARGE_BIN_DRAD = 1 << 9
    PSF_SATURATED = 1 << 10
    MAG_DEP_CAL_APPLIED = 1 << 11
    GOOD_STAR = 1 << 16
    LOWESS_CAL_APPLIED = 1 << 17
    LOCAL_CAL_APPLIED = 1 << 18
    EXTINCTION_CAL_APPLIED = 1 << 19
    TOO_BRIGHT = 1 << 20
    COLOR_CORRECTION_APPLIED = 1 << 21
    COLOR_CORRECTION_USED_METROPOLIS = 1 << 22
    LATE_CATALOG_MATCH = 1 << 24
    LARGE_PROMO_UNCERT = 1 << 25
    LARGE_SPATIAL_BIN_COLORTERM = 1 << 27
    POSITION_ADJUSTED = 1 << 28
    LARGE_JD_UNCERT = 1 << 29
    PROMO_APPLIED = 1 << 30


class LocalBinRejectFlags(enum.IntFlag, boundary=enum.KEEP):
    """Why the stars around were not used for the local correction; 0 is best."""

    LARGE_CORRECTION = 1
    TOO_DIM = 2
    LARGE_DRAD = 4


class PlateQualityFlags(enum.IntFlag, boundary=enum.KEEP):
    """The plate as a whole; delivered until 2024 only."""

    MULTIPLE_EXPOSURE = 1 << 0
    GRATING = 1 << 1
    COLORED_FILTER = 1 << 2
    COLORTERM_OUT_OF_BOUNDS = 1 << 3
    PICKERING_WEDGE = 1 << 4
    SPECTRUM = 1 << 5
    SATURATED = 1 << 6
    MAG_DEP_CAL_UNAVAILABLE = 1 << 7
    PATROL_TELESCOPE = 1 << 8
    NARROW_TELESCOPE = 1 << 9
    SHOW_LIMITING = 1 << 10
    SHOW_UNDETECTED = 1 << 11
    TRAILED = 1 << 12


#: the warnings that spoil a measurement for most purposes (0xB840)
STANDARD_REJECTION: Final = (
    AFlags.HIGH_BACKGROUND
    | AFlags.LARGE_ISO_RMS
    | AFlags.LARGE_LOCAL_SMOOTH_RMS
    | AFlags.CLOSE_TO_LIMITING
    | AFlags.BIN_DRAD_UNKNOWN
)

#: what bits 17 to 19 of AFlags, taken as a number, mean
BLEND_CASES: Final[tuple[str, ...]] = (
    "none",
    "galaxy that the catalogue lacks",
    "blend that the catalogue lacks",
    "not a star",
    "unclassified, and not in the catalogue",
    "defect",
    "unused",
    "duplicate star",
)

_MEANINGS: Final[dict[type[enum.IntFlag], dict[str, str]]] = {
    AFlags: {
        "HIGH_BACKGROUND": "the local background is high",
        "BAD_PLATE_QUALITY": "the plate fails the overall quality checks",
        "MULT_EXP_UNMATCHED": "unmatched object on a plate with several exposures",
        "UNCERTAIN_DATE": "the time is too uncertain for an extinction estimate",
        "MULT_EXP_BLEND": "blend on a plate with several exposures",
        "LARGE_ISO_RMS": "the isophotal scatter is too large",
        "LARGE_LOCAL_SMOOTH_RMS": "the scatter in the local bin is too large",
        "CLOSE_TO_LIMITING": "too near the local limiting magnitude",
        "RADIAL_BIN_9": "in the outermost annulus, at the plate's edge",
        "BIN_DRAD_UNKNOWN": "the spatial bin has no measure of its positional scatter",
        "UNCERTAIN_CATALOG_MAG": "the catalogue magnitude is uncertain or variable",
        "CASE_B_BLEND": "several catalogue entries, one image",
        "CASE_C_BLEND": "one catalogue entry, several images",
        "CASE_BC_BLEND": "both kinds of blend at once",
        "LARGE_DRAD": "the positional offset is large for its bin, or the bin is bad",
        "PICKERING_WEDGE": "secondary image made by a Pickering wedge",
        "SUSPECTED_DEFECT": "suspected defect of the plate",
        "SXT_BLEND": "flagged as a blend at extraction",
        "REJECTED_BLEND": "a blend that was rejected",
        "LARGE_SMOOTHING_CORRECTION": "the smoothing correction is suspicious",
        "TOO_BRIGHT": "too bright to calibrate",
        "LOW_ALTITUDE": "within 23.5 degrees of the horizon",
    },
    BFlags: {
        "NEIGHBORS": "has near neighbours",
        "BLEND": "was deblended",
        "SATURATED": "at least one pixel is saturated",
        "NEAR_BOUNDARY": "touches the image's edge",
        "APERTURE_INCOMPLETE": "aperture data are incomplete",
        "ISOPHOT_INCOMPLETE": "isophotal data are incomplete",
        "DEBLEND_OVERFLOW": "memory overflow while deblending",
        "EXTRACTION_OVERFLOW": "memory overflow while extracting",
        "CORRECTED_FOR_BLEND": "the magnitude is corrected for a blend",
        "LARGE_BIN_DRAD": "own positional offset small, that of the bin large",
        "PSF_SATURATED": "the profile is considered saturated",
        "MAG_DEP_CAL_APPLIED": "magnitude-dependent calibration applied (good)",
        "GOOD_STAR": "looks like a good star (good)",
        "LOWESS_CAL_APPLIED": "lowess calibration applied (good)",
        "LOCAL_CAL_APPLIED": "local calibration applied (good)",
        "EXTINCTION_CAL_APPLIED": "extinction calibration applied (good)",
        "TOO_BRIGHT": "too bright to calibrate",
        "COLOR_CORRECTION_APPLIED": "colour correction applied (good)",
        "COLOR_CORRECTION_USED_METROPOLIS": "colour correction from a Metropolis fit (good)",
        "LATE_CATALOG_MATCH": "matched to the catalogue only at the pipeline's end",
        "LARGE_PROMO_UNCERT": "the proper motion is uncertain",
        "LARGE_SPATIAL_BIN_COLORTERM": "the bin's colour term fails its check",
        "POSITION_ADJUSTED": "position shifted by the medians of its bin",
        "LARGE_JD_UNCERT": "the plate's date is uncertain",
        "PROMO_APPLIED": "catalogue place corrected for proper motion (good)",
    },
    LocalBinRejectFlags: {
        "LARGE_CORRECTION": "the correction is out of range",
        "TOO_DIM": "the bin's median is below the limit",
        "LARGE_DRAD": "most of the bin's stars are offset",
    },
    PlateQualityFlags: {
        "MULTIPLE_EXPOSURE": "several exposures",
        "GRATING": "taken through a grating",
        "COLORED_FILTER": "taken through a coloured filter",
        "COLORTERM_OUT_OF_BOUNDS": "colour term out of bounds",
        "PICKERING_WEDGE": "taken with a Pickering wedge",
        "SPECTRUM": "holds spectra",
        "SATURATED": "saturated",
        "MAG_DEP_CAL_UNAVAILABLE": "no magnitude-dependent calibration",
        "PATROL_TELESCOPE": "from a patrol telescope",
        "NARROW_TELESCOPE": "from a narrow-field telescope (good)",
        "SHOW_LIMITING": "internal to the plotter",
        "SHOW_UNDETECTED": "internal to the plotter",
        "TRAILED": "trailed images (ellipticity over 0.6)",
    },
}

Flag = TypeVar("Flag", bound=enum.IntFlag)


def meaning(flag: enum.IntFlag) -> str:
    """One flag in words; "unused" for a bit that means nothing."""
    return _MEANINGS.get(type(flag), {}).get(flag.name or "", "unused")


def blend_case(aflags: int) -> int:
    """The number in bits 17 to 19 of AFlags, 0 to 7: an index into :data:`BLEND_CASES`."""
    return (int(aflags) >> 16) & 7


def told(kind: type[enum.IntFlag], value: int) -> Iterator[tuple[int, str, str]]:
    """The bits that are set in ``value``: number (from 1), name and meaning; bits nobody knows are named "?"."""
    value = int(value)
    for bit in range(value.bit_length()):
        if not value >> bit & 1:
            continue
        if kind is AFlags and 16 <= bit <= 18:
            continue
        flag = kind(1 << bit)
        yield bit + 1, flag.name or "?", meaning(flag)

"""HEASARC's tables of the missions whose observations are over: ROSAT and its survey, ASCA, Suzaku, INTEGRAL."""

from __future__ import annotations

from typing import Final

import numpy as np

from skyvault.sandbox.emulation import HeldTable
from skyvault.sandbox.xray_tables import (
    Floats,
    after,
    exposures,
    galactic,
    generator,
    held_table,
    numbers,
    placed,
    pointings,
    proposers,
    starts,
    statuses,
    words,
)

#: ROSAT's observation that exists only in the layout of the first processing
UNREVISED_ROSAT: Final = "RP700068N00"
#: ROSAT's kinds of targets, by the first digit of a sequence
_ROSAT: Final = {
    "star": 1,
    "star with planet": 1,
    "eclipsing binary": 2,
    "white dwarf": 3,
    "X-ray binary": 4,
    "supernova remnant": 5,
    "galaxy": 6,
    "quasar": 7,
    "galaxy cluster": 8,
}
_ASCA: Final = {
    "quasar": "AGN",
    "X-ray binary": "X RAY BINARIES",
    "white dwarf": "CATACLYSMIC VARIABLES",
    "galaxy cluster": "CLUSTERS OF GALAXIES AND SUPERCLUSTERS",
    "galaxy": "NORMAL GALAXIES",
    "supernova remnant": "SUPERNOVA REMNANTS AND GALACTIC DIFFUSE EMISSION",
    "star": "STARS",
}
_ASCA_OTHERS: Final = (
    *_ASCA.values(),
    "COSMIC X-RAY BACKGROUND AND DEEP SURVEYS AND OTHER",
    "NORMAL STARS",
    "OTHER",
)
#: Suzaku lost XIS2 on this day (9 November 2006), MJD
_XIS2_LOST: Final = 54048.0


def rosmaster() -> HeldTable:
    """ROSAT's pointings, one camera each; some completed the survey and are called plain PSPC."""
    rng = generator("rosmaster")
    count = 500
    where = pointings(rng, count, scatter_deg=0.05)
    start = starts(rng, count, 48050.0, 50900.0)
    seconds = exposures(rng, count, 8_000.0)
    instrument = np.array(["PSPCB", "HRI", "PSPCC", "PSPC"])[rng.choice(4, count, p=(0.5, 0.38, 0.09, 0.03))]
    subject = np.array([_ROSAT.get(kind, 0) for kind in where.kind.tolist()])
    subject = np.where(subject == 0, rng.integers(0, 10, count), subject).astype(np.int16)
    has_boron = (instrument == "PSPCB") & (rng.random(count) < 0.03)
    camera = np.where(instrument == "HRI", "RH", np.where(has_boron, "RF", "RP"))
    site = np.where(rng.random(count) < 0.2, "WUK", "MPE")
    camera = np.where((rng.random(count) < 0.1) & ~has_boron, np.char.replace(camera, "R", "W", 1), camera)
    suffix = np.array(["N00", "A01", "A02", ""])[rng.choice(4, count, p=(0.8, 0.1, 0.08, 0.02))]
    # a target's number of five digits after its kind
    number = np.char.zfill(numbers(rng, count, 100, 9_999).astype("U5"), 5)
    ids = np.char.add(np.char.add(np.char.add(camera, subject.astype("U1")), number), suffix)
    revision = np.full(count, 2, np.int16)
    at = 45
    ids[at], revision[at], subject[at], instrument[at] = UNREVISED_ROSAT, 0, 7, "PSPCB"
    return held_table(
        "public.rosmaster",
        "ROSAT Archival Data",
        {
            "instrument": instrument,
            "exposure": seconds,
            "requested_exposure": np.round(seconds, -3),
            **placed(where),
            "seq_id": ids,
            "start_time": start,
            "end_time": after(start, np.round(seconds * 6.0 + 600.0)),
            "subj_cat": subject,
            "filter": np.where(has_boron, "Y", "N"),
            "fits_type": np.array(["RDF 4_0", "RFITS V4.", "RDF 3_4"])[rng.integers(0, 3, count)],
            "proc_rev": revision,
            "site": site,
            "proposal_number": numbers(rng, count, 100_000, 999_999).astype(np.int32),
            "pi_lname": proposers(rng, count),
        },
        {
            "subj_cat": ("", "meta.code.class", "Code of the Target's Kind"),
            "filter": ("", "instr.filter", "Whether the Boron Filter Was in the Beam"),
        },
    )


def rassmaster() -> HeldTable:
    """The fields of ROSAT's survey: strips 5.625 degrees high, 1,378 fields or so over the whole sky."""
    rng = generator("rassmaster")
    ra_parts: list[Floats] = []
    dec_parts: list[Floats] = []
    ids: list[str] = []
    for strip in range(33):
        strip_dec = 90.0 - 5.625 * strip
        fields = int(np.ceil(64.0 * np.cos(np.radians(max(abs(strip_dec) - 2.8125, 0.0))) - 1e-9))
        ra_parts.append((np.arange(fields) + 0.5) * 360.0 / fields)
        dec_parts.append(np.full(fields, strip_dec, np.float64))
        ids += [f"RS93{strip + 1:02d}{number + 1:02d}N00" for number in range(fields)]
    ra: Floats = np.asarray(np.round(np.concatenate(ra_parts), 5), np.float64)
    dec: Floats = np.concatenate(dec_parts)
    count = len(ra)
    start = np.floor(rng.uniform(48083.0, 48200.0, count))
    lii, bii = galactic(ra, dec)
    return held_table(
        "public.rassmaster",
        "ROSAT All-Sky Survey Archival Data",
        {
            "seq_id": np.array(ids),
            "name": np.char.add("FIELD ", np.array(ids)),
            "ra": ra,
            "dec": dec,
            "lii": lii,
            "bii": bii,
            "start_date": start,
            "end_date": start + np.floor(rng.uniform(2.0, 398.0, count)),
            "exposure": np.round(400.0 / np.maximum(np.cos(np.radians(np.abs(dec) * 0.98)), 0.01)),
            "instrument": np.array(["PSPC"] * count),
            "fits_type": np.array(["RDF 4_2"] * count),
        },
    )


def ascamaster() -> HeldTable:
    """ASCA's observations; a sequence number is a whole number of eight digits."""
    rng = generator("ascamaster")
    count = 350
    where = pointings(rng, count, scatter_deg=0.06)
    start = starts(rng, count, 49040.0, 51600.0)
    gis = exposures(rng, count, 30_000.0)
    sis = np.round(gis * rng.uniform(0.4, 1.0, count))
    sis[60::37] = 0.0
    return held_table(
        "public.ascamaster",
        "ASCA Master Catalog",
        {
            "sequence_number": (numbers(rng, count, 10_000, 88_000) * 1_000 + rng.integers(0, 10, count) * 10).astype(
                np.int32
            ),
            **placed(where),
            "time": start,
            "end_time": after(start, np.round(np.maximum(gis, sis) * 2.1 + 60.0)),
            "sis_exposure": sis,
            "gis_exposure": gis,
            "subject_category": words(rng, where.kind, _ASCA, _ASCA_OTHERS),
            "status": statuses(rng, count, odd="accepted"),
            "observatory_cycle": np.floor((start - 49000.0) / 365.25).astype(np.int16),
            "pi_lname": proposers(rng, count),
            "sis_data_mode": np.array(["FAINT", "BRIGHT"])[rng.integers(0, 2, count)],
        },
        {
            "sis_exposure": ("s", "time.duration;obs.exposure", "Exposure of SIS"),
            "gis_exposure": ("s", "time.duration;obs.exposure", "Exposure of GIS"),
        },
    )


def suzamaster() -> HeldTable:
    """Suzaku's observations; the kind of target is a whole number, XIS2 works until November 2006."""
    rng = generator("suzamaster")
    count = 300
    where = pointings(rng, count)
    start = starts(rng, count, 53580.0, 57160.0)
    code = rng.integers(0, 10, count).astype(np.int32)
    seconds = exposures(rng, count, 40_000.0, decimals=1)
    modes = rng.integers(1, 4, count).astype(np.int16)
    columns = {}
    for number in range(4):
        is_on = np.ones(count, bool) if number != 2 else start < _XIS2_LOST
        columns[f"xis{number}_expo"] = np.where(is_on, np.maximum(np.round(seconds - number * 2.3, 1), 0.0), 0.0)
        columns[f"xis{number}_num_modes"] = np.where(columns[f"xis{number}_expo"] > 0, modes, 0).astype(np.int16)
    return held_table(
        "public.suzamaster",
        "Suzaku Master Catalog",
        {
            **placed(where),
            "obsid": (np.maximum(code, 1) * 100_000_000 + numbers(rng, count, 1, 99_999) * 1_000 + 10).astype("U9"),
            "time": start,
            "stop_time": after(start, np.round(seconds * 2.0 + 90.0)),
            "category_code": code,
            "exposure": seconds,
            **columns,
            "hxd_expo": np.round(seconds * 0.92, 1),
            "processing_status": np.array(["PROCESSED"] * count),
            "public_date": np.floor(start) + 400.0,
            "pi_lname": proposers(rng, count),
        },
        {
            "category_code": ("", "meta.code.class", "Code of the Target's Kind"),
            **{
                f"xis{number}_expo": ("s", "time.duration;obs.exposure", f"Effective Exposure of XIS{number}")
                for number in range(4)
            },
        },
    )


def intscwpub() -> HeldTable:
    """INTEGRAL's science windows: dozens a revolution, each about half an hour around a target."""
    rng = generator("intscwpub")
    count, windows = 560, 8
    revolutions = count // windows
    centre = pointings(rng, revolutions, scatter_deg=1.0)
    turn = np.repeat(numbers(rng, revolutions, 30, 2_850), windows)
    window = np.tile(np.arange(1, windows + 1) * 11, revolutions)
    # the dither pattern: five by five pointings two degrees apart
    step = np.tile(np.arange(windows), revolutions)
    dec = np.clip(np.repeat(centre.dec, windows) + (step % 3 - 1) * 2.0, -89.8, 89.8)
    ra = (np.repeat(centre.ra, windows) + (step // 3 - 1) * 2.0 / np.cos(np.radians(dec))) % 360.0
    where = type(centre)(
        np.round(ra, 5), np.round(dec, 5), np.repeat(centre.target, windows), np.repeat(centre.kind, windows)
    )
    start = 52562.0 + turn * 2.9917 + window * 0.025 + rng.uniform(0.0, 0.001, count)
    length = np.round(rng.uniform(1_700.0, 3_600.0, count))
    good = {}
    for number, name in enumerate(("jemx1", "jemx2", "isgri", "picsit", "spi")):
        seconds = np.round(length * 0.97)
        seconds[np.arange(count) % 29 == number * 3 + 5] = 0.0
        seconds[-2] = 0.0
        good[f"good_{name}"] = seconds
    public = np.where(np.arange(count) % 43 == 42, "N", "Y")
    public[-6:-4] = "N"
    return held_table(
        "public.intscwpub",
        "INTEGRAL Public Pointed Science Windows",
        {
            "scw_id": np.array([f"{r:04d}{w:04d}0010" for r, w in zip(turn.tolist(), window.tolist(), strict=True)]),
            "scw_ver": np.array(["001"] * count),
            "scw_type": np.array(["POINTING"] * count),
            **placed(where),
            "start_date": start,
            "end_date": after(start, length),
            "spi_mode": np.full(count, 41, np.int16),
            **good,
            "data_in_heasarc": public,
            "ps": np.array(["0"] * count),
        },
        {
            name: ("s", "time.duration;obs.exposure", f"Good Time of {name.removeprefix('good_').upper()}")
            for name in good
        },
    )

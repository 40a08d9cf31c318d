"""HEASARC's tables of the missions that still fly: XMM-Newton, Chandra, NuSTAR, Swift, XRISM."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from skyvault.sandbox.emulation import HeldTable
from skyvault.sandbox.xray_tables import (
    FUTURE_MJD,
    ODD,
    after,
    exposures,
    generator,
    held_table,
    numbers,
    placed,
    pointings,
    proposers,
    public_dates,
    starts,
    statuses,
    words,
)

#: the one observation with an event list of 40 MB
BIG_CHANDRA: Final = "15541"
#: a grating observation with an absurd exposure, as the archive has it
ODD_CHANDRA: Final = "6616"
#: NuSTAR's observation that was never screened: it has no event_cl
UNSCREENED_NUSTAR: Final = "60001003002"

_NUSTAR: Final = {
    "quasar": "Active galaxies and Quasars",
    "X-ray binary": "Galactic Compact Sources",
    "white dwarf": "Galactic Compact Sources",
    "galaxy cluster": "Galaxy clusters and extragalactic diffuse objects",
    "galaxy": "Normal galaxies",
    "supernova remnant": "Non-ToO Supernovae, Supernova Remnants, and Galactic diffuse",
}
_NUSTAR_OTHERS: Final = (
    *_NUSTAR.values(),
    "Non-Proposal ToOs",
    "Proposed ToOs and Directors Discretionary Time",
    "Solar System Objects",
    "Calibration Observations",
    "Non-Pointing data",
    "Galactic Survey",
)
_XRISM: Final = {
    "quasar": "Non-Jet-Dominated AGN",
    "X-ray binary": "BH and NS Binaries",
    "white dwarf": "Accreting White Dwarfs and Novae",
    "galaxy cluster": "Groups and Clusters of Galaxies",
    "galaxy": "Normal Galaxies: Integrated Emission",
    "supernova remnant": "Supernova Remnants",
    "star": "Stellar Coronae/Winds/Young Stars",
}
_XRISM_OTHERS: Final = (
    *_XRISM.values(),
    "Blazars and Other Jet-Dominated AGN",
    "Solar System",
    "Extragalactic Diffuse Emission and Surveys",
    "Extragalactic Transients (SNe, GRBs, GW, TDEs)",
    "Non-Accreting Neutron Stars",
    "Galactic Diffuse Emission and Surveys",
    "Astrophysical Processes",
)
_CHANDRA: Final = {
    "quasar": "AGN UNCLASSIFIED",
    "X-ray binary": "X-RAY BINARY",
    "white dwarf": "CV",
    "galaxy cluster": "CLUSTER OF GALAXIES",
    "galaxy": "NON-ACTIVE GALAXY",
    "supernova remnant": "SNR",
}
_CHANDRA_OTHERS: Final = (
    *_CHANDRA.values(),
    "EXTENDED GALACTIC OR EXTRAGALACTIC",
    "Calibration Observations",
    "Non-Pointing data",
    "STAR",
)


def xmm_facts() -> dict[str, Any]:
    """XMM-Newton's observations, from which both HEASARC's and ESA's table are made: 500, seven of them slews."""
    rng = generator("xmm")
    count, slews = 500, 7
    where = pointings(rng, count)
    start = starts(rng, count, 51580.0, 60900.0)
    ids = [f"{n:010d}" for n in (numbers(rng, count, 10_000, 96_000) * 10_000 + rng.integers(1, 10, count) * 100 + 1)]
    ids[-ODD - slews : -ODD] = [f"9{n:09d}" for n in numbers(rng, slews, 5_000_000, 400_000_000)]
    seconds = exposures(rng, count, 24_000.0)
    return {
        **placed(where),
        "obs_id": np.array(ids),
        "start": start,
        "seconds": seconds,
        "end": after(start, seconds),
        "public": public_dates(rng, start),
        "revolution": np.floor((start - 51522.0) / 1.9945).astype(np.int32),
        "status": statuses(rng, count),
        "pi": proposers(rng, count),
        "with_science": np.arange(count) % 61 != 60,
    }


def xmmmaster() -> HeldTable:
    """HEASARC's copy of XMM-Newton's log. 416422 (the year 2999) stands for an unknown public date, too."""
    facts = xmm_facts()
    public = facts["public"].copy()
    public[-7] = 416422.0
    in_heasarc = np.where(np.arange(len(public)) % 97 == 96, "N", "Y")
    return held_table(
        "public.xmmmaster",
        "XMM-Newton Master Log & Public Archive",
        {
            "obsid": facts["obs_id"],
            "status": facts["status"],
            **{name: facts[name] for name in ("name", "ra", "dec", "lii", "bii")},
            "time": facts["start"],
            "end_time": facts["end"],
            "duration": facts["seconds"],
            "scheduled_duration": facts["seconds"],
            "pi_lname": facts["pi"],
            "public_date": public,
            "data_in_heasarc": in_heasarc,
            "xmm_revolution": facts["revolution"],
            "pn_time": np.round(facts["seconds"] * 0.9),
            "mos1_time": np.round(facts["seconds"] * 0.95),
        },
        {"data_in_heasarc": ("", "meta.code", "Whether the Data Are at HEASARC: Y or N")},
    )


def chanmaster() -> HeldTable:
    """Chandra's observations, each with one detector and with or without a grating."""
    rng = generator("chanmaster")
    count = 450
    where = pointings(rng, count, scatter_deg=0.02)
    start = starts(rng, count, 51400.0, 60900.0)
    ids = numbers(rng, count, 16_000, 29_000).astype("U5")
    ids[:40] = numbers(rng, 40, 60, 9_999).astype("U5")
    ids[40:42] = BIG_CHANDRA, ODD_CHANDRA
    seconds = exposures(rng, count, 30_000.0)
    seconds[40:42] = 98_700.0, 49_578_750.0
    detector = np.array(["ACIS-S", "ACIS-I", "HRC-I", "HRC-S"])[rng.choice(4, count, p=(0.45, 0.3, 0.15, 0.1))]
    is_dispersed = rng.random(count) < 0.15
    grating = np.where(is_dispersed & np.isin(detector, ["ACIS-S"]), "HETG", "NONE")
    grating = np.where(is_dispersed & (detector == "HRC-S"), "LETG", grating)
    detector[40:42], grating[40:42] = "ACIS-S", ("NONE", "HETG")
    mode = np.where(np.char.startswith(detector, "ACIS"), "TE_0045A", "DEFAULT")
    return held_table(
        "public.chanmaster",
        "Chandra Observations",
        {
            "obsid": ids,
            "status": statuses(rng, count),
            **placed(where),
            "time": start,
            "detector": detector,
            "grating": grating,
            "exposure": seconds,
            "type": np.array(["GO", "GTO", "TOO", "DDT", "CAL", "CCT"])[rng.integers(0, 6, count)],
            "pi": proposers(rng, count),
            "public_date": public_dates(rng, start),
            "sequence_number": numbers(rng, count, 100_000, 999_999).astype(np.int32),
            "cycle": np.floor((start - 51200.0) / 365.25).astype(np.int16),
            "data_mode": mode,
            "class": words(rng, where.kind, _CHANDRA, _CHANDRA_OTHERS),
        },
    )


def numaster() -> HeldTable:
    """NuSTAR's observations, slews and unprocessed ones among them; one was never screened."""
    rng = generator("numaster")
    count = 400
    where = pointings(rng, count)
    start = starts(rng, count, 56120.0, 60900.0)
    kind = np.array([10, 30, 40, 60, 70, 80, 90])[rng.integers(0, 7, count)]
    ids = (kind * 1_000_000_000 + numbers(rng, count, 1_000, 999_999) * 1_000 + 2).astype("U11")
    ids[30] = UNSCREENED_NUSTAR
    ontime = exposures(rng, count, 30_000.0)
    ontime_b = np.round(ontime * rng.uniform(0.97, 1.03, count))
    ontime[31], ontime_b[32] = 0.0, 0.0
    issue = (rng.random(count) < 0.05).astype(np.int16)
    issue[30] = 1
    mode = np.array(["SCIENCE"] * count, "U8")
    mode[-ODD - 6 : -ODD] = "SLEW"
    pointing = np.array(["INERTIAL"] * count, "U10")
    pointing[-ODD - 9 : -ODD - 6] = "NAVIGATION"
    return held_table(
        "public.numaster",
        "NuSTAR Master Catalog",
        {
            **placed(where),
            "time": start,
            "end_time": after(start, np.round(np.maximum(ontime, ontime_b) * 1.8)),
            "obsid": ids,
            "status": statuses(rng, count),
            "exposure_a": np.round(ontime * 0.93),
            "exposure_b": np.round(ontime_b * 0.93),
            "ontime_a": ontime,
            "ontime_b": ontime_b,
            "observation_mode": mode,
            "instrument_mode": np.array(["NORMAL"] * count),
            "spacecraft_mode": pointing,
            "subject_category": words(rng, where.kind, _NUSTAR, _NUSTAR_OTHERS),
            "obs_type": np.array(["GO", "CAL", "TOO"])[rng.integers(0, 3, count)],
            "issue_flag": issue,
            "nupsdout": np.where(rng.random(count) < 0.02, 2119, 0).astype(np.int16),
            "solar_activity": np.array(["LOW", "HIGH"])[rng.integers(0, 2, count)],
            "public_date": public_dates(rng, start),
            "pi_lname": proposers(rng, count),
        },
        {
            "ontime_a": ("s", "time.duration;obs", "On-Time of Focal Plane Module A"),
            "ontime_b": ("s", "time.duration;obs", "On-Time of Focal Plane Module B"),
            "exposure_a": ("s", "time.duration;obs.exposure", "Exposure of Focal Plane Module A"),
            "exposure_b": ("s", "time.duration;obs.exposure", "Exposure of Focal Plane Module B"),
        },
    )


def swiftmastr() -> HeldTable:
    """Swift's observations: XRT, UVOT and BAT together, any of them with no exposure at times."""
    rng = generator("swiftmastr")
    count = 1500
    where = pointings(rng, count, scatter_deg=0.05)
    start = starts(rng, count, 53360.0, 60900.0)
    seconds = {"xrt": exposures(rng, count, 1_800.0, decimals=3), "uvot": exposures(rng, count, 1_500.0, decimals=3)}
    seconds["bat"] = exposures(rng, count, 1_900.0)
    for index, name in enumerate(seconds):
        seconds[name][60 + index :: 41] = 0.0
    stop = after(start, np.round(np.maximum.reduce(list(seconds.values())) * 4.0 + 120.0))
    return held_table(
        "public.swiftmastr",
        "Swift Master Catalog",
        {
            **placed(where),
            "obsid": np.char.zfill((numbers(rng, count, 30_000, 99_999) * 1_000 + 1).astype("U11"), 11),
            "start_time": start,
            "stop_time": stop,
            "processing_date": np.floor(stop) + 10.0,
            "xrt_exposure": seconds["xrt"],
            "uvot_exposure": seconds["uvot"],
            "bat_exposure": seconds["bat"],
            "xrt_expo_pc": seconds["xrt"],
            "archive_date": np.floor(stop) + 7.0,
            "roll_angle": np.round(rng.uniform(0.0, 360.0, count), 5),
            "pi": proposers(rng, count),
        },
        {
            f"{inst}_exposure": ("s", "time.duration;obs.exposure", f"Effective Exposure of {inst.upper()}")
            for inst in seconds
        },
    )


def xrismmastr() -> HeldTable:
    """XRISM's observations; 88068 (the year 2099) stands for a public date that is not yet known."""
    rng = generator("xrismmastr")
    count = 220
    where = pointings(rng, count, scatter_deg=0.01)
    start = starts(rng, count, 60240.0, 60950.0)
    resolve = exposures(rng, count, 80_000.0, decimals=5)
    xtend = np.round(resolve * 0.8, 5)
    xtend[50] = 0.0
    public = public_dates(rng, start)
    # data of the performance verification phase are public by now, those of open time not all
    public[:-ODD] = np.minimum(public[:-ODD], np.floor(start[:-ODD]) + 200.0)
    public[-4], public[-7] = 0.0, 88068.0
    public[-6:-4] = FUTURE_MJD
    has_second = rng.random(count) < 0.2
    # the first digit tells calibration, performance verification and open time
    phase = np.repeat([0, 100_000_000, 200_000_000, 300_000_000], count // 4)
    return held_table(
        "public.xrismmastr",
        "XRISM Master Catalog",
        {
            **placed(where),
            "obsid": np.char.zfill((phase + numbers(rng, count, 0, 20_000) * 10).astype("U9"), 9),
            "time": start,
            "end_time": after(start, np.round(resolve * 1.9 + 60.0)),
            "duration": np.round(resolve * 1.9 + 60.0),
            "exposure": resolve,
            "xtd_expo": xtend,
            "subject_category": words(rng, where.kind, _XRISM, _XRISM_OTHERS),
            "rsl_datamode": np.where(rng.random(count) < 0.95, "PX_NORMAL", "NOT_USED"),
            "xtd_datamode1": np.where(has_second, "WINDOW2", "WINDOW1"),
            "xtd_datamode2": np.where(has_second, "WINDOW1", ""),
            "xtd_dataclas1": np.where(has_second, "31100010", "300000A0"),
            "xtd_dataclas2": np.where(has_second, "320000A0", ""),
            "public_date": public,
            "pi_lname": proposers(rng, count),
        },
        {"xtd_expo": ("s", "time.duration;obs.exposure", "Exposure of Xtend")},
    )

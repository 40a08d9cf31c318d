"""ESA's table of XMM-Newton's observations, as its science archive publishes it by TAP."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skyvault.sandbox.emulation import HeldTable
from skyvault.sandbox.present_missions import xmm_facts
from skyvault.sandbox.xray_tables import FUTURE_MJD, Floats, held_table

_MJD_OF_1970 = 40587.0


def all_observations() -> HeldTable:
    """The table xsa.v_all_observations; times are text, seconds whole numbers, unknown public dates null."""
    facts = xmm_facts()
    public = facts["public"]
    ends = _iso(public, ".0")
    # the archive writes dates far away where it means "not yet"
    ends[public == FUTURE_MJD] = "2999-12-31 00:00:00.0"
    seconds = facts["seconds"].astype(np.int32)
    return held_table(
        "xsa.v_all_observations",
        "XMM-Newton observations with their targets, exposures and dates",
        {
            "observation_id": facts["obs_id"],
            "observation_oid": np.arange(len(seconds), dtype=np.int64) + 35_000_000,
            "target": facts["name"],
            "ra": facts["ra"],
            "dec": facts["dec"],
            "lii": facts["lii"],
            "bii": facts["bii"],
            "start_utc": _iso(facts["start"]),
            "end_utc": _iso(facts["end"]),
            "duration": seconds,
            "revolution": facts["revolution"],
            "with_science": facts["with_science"],
            "proprietary_end_date": pa.array(ends, mask=public == 0.0),
            "pi_surname": facts["pi"],
            "odf_version": np.ones(len(seconds), np.int16),
            "observing_mode": np.where(np.char.startswith(facts["obs_id"], "9"), "SLEW", "POINTED"),
        },
        {
            "start_utc": ("", "time.start;obs", "Start of the observation, UTC"),
            "end_utc": ("", "time.end;obs", "End of the observation, UTC"),
            "proprietary_end_date": ("", "time.release", "End of the proprietary period, UTC"),
            "revolution": ("", "obs.sequence", "Revolution of the spacecraft"),
            "with_science": ("", "meta.code", "Whether there are scientific exposures"),
        },
    )


def _iso(mjd: Floats, fraction: str = "") -> npt.NDArray[np.str_]:
    seconds = np.rint((mjd - _MJD_OF_1970) * 86400.0).astype("datetime64[s]")
    return np.char.add(np.char.replace(np.datetime_as_string(seconds), "T", " "), fraction).astype("U24")

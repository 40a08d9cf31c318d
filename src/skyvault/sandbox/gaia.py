"""Gaia's archive in the sandbox, in small: gaia_source and the classes of variable stars, by TAP.

The stars are the simulated sky's own variables, and others at random around the Sun, so that target lists made by a
query can be run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from skyvault.sandbox.emulation import Emulation, HeldTable
from skyvault.sandbox.sky import SkyObject, named_objects

_SEED: Final = 2016
#: stars without a name, within some hundred parsec
_OTHERS: Final = 600
#: kind in SIMBAD's words -> table of gaiadr3
_CLASSES: Final = {"RR*": "vari_rrlyrae", "Ce*": "vari_cepheid", "EB*": "vari_eclipsing_binary"}
#: variables of each class without a name
_OF_CLASS: Final = 40


class Gaia(Emulation):
    """``/gaia/tap``: ``gaiadr3.gaia_source`` and three tables of variable stars."""

    name: ClassVar[str] = "gaia"
    services: ClassVar[Mapping[str, str]] = {"tap": "/tap"}

    def tables(self) -> Iterable[HeldTable]:
        rows, kinds = stars()
        yield HeldTable(
            "gaiadr3.gaia_source",
            pa.table({name: rows[name] for name in rows.dtype.names or ()}),
            {
                "description": "The main catalogue of Gaia DR3, epoch 2016.0",
                "columns": {
                    "ra": {"ucd": "pos.eq.ra;meta.main", "unit": "deg"},
                    "dec": {"ucd": "pos.eq.dec;meta.main", "unit": "deg"},
                    "parallax": {"unit": "mas"}, "parallax_error": {"unit": "mas"},
                    "pmra": {"unit": "mas.yr**-1"}, "pmdec": {"unit": "mas.yr**-1"},
                },
            },
        )  # fmt: skip
        for otype, table in _CLASSES.items():
            yield _variables(table, rows["source_id"][kinds == otype])


def _variables(table: str, ids: np.ndarray[Any, Any]) -> HeldTable:
    rng = np.random.default_rng([_SEED, len(table)])
    period = 10.0 ** rng.uniform(
        {"vari_rrlyrae": -0.5}.get(table, -0.2), {"vari_cepheid": 1.5}.get(table, 0.0), len(ids)
    )
    columns: dict[str, Any] = {"source_id": ids}
    if table == "vari_eclipsing_binary":
        columns |= {"frequency": 1.0 / period, "global_ranking": rng.uniform(0.4, 0.8, len(ids))}
    else:
        is_first = rng.random(len(ids)) < 0.3
        columns |= {
            "pf": pa.array(period, mask=is_first), "p1_o": pa.array(0.745 * period, mask=~is_first),
            {"vari_rrlyrae": "best_classification"}.get(table, "type_best_classification"): [
                {"vari_rrlyrae": ("RRab", "RRc")}.get(table, ("DCEP", "DCEP"))[int(one)] for one in is_first
            ],
        }  # fmt: skip
    return HeldTable(f"gaiadr3.{table}", pa.table(columns), {"description": f"Variable stars of Gaia DR3: {table}"})


def stars() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The rows of gaia_source, and the class of each: that of SIMBAD, or ""."""
    rng = np.random.default_rng(_SEED)
    named = [one for one in named_objects() if _gaia_id(one) is not None]
    kinds = [one.otype for one in named]
    kinds += [otype for otype in _CLASSES for _ in range(_OF_CLASS)] + [""] * _OTHERS
    count = len(kinds)
    fresh = count - len(named)
    rows = np.zeros(count, [("source_id", "i8"), *((name, "f8") for name in _NUMBERS)])
    numbers = [_gaia_id(one) for one in named]
    rows["source_id"] = np.r_[numbers, rng.permutation(fresh).astype(np.int64) * 7_000_000_000_003 + 2_000_000_000_000]
    rows["ra"] = np.r_[[one.ra_deg for one in named], rng.uniform(0.0, 360.0, fresh)]
    rows["dec"] = np.r_[[one.dec_deg for one in named], np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, fresh)))]
    # as many stars in each shell of space as there are
    distance_pc = 100.0 * rng.random(count) ** (1.0 / 3.0) + 1.3
    rows["parallax"], rows["parallax_error"] = 1000.0 / distance_pc, 0.03
    rows["parallax_over_error"] = rows["parallax"] / rows["parallax_error"]
    rows["pmra"], rows["pmdec"] = (rng.normal(0.0, 8000.0, count) / distance_pc for _ in range(2))
    mag = rng.uniform(6.0, 17.0, count)
    mag[: len(named)] = [one.mag for one in named]
    color = rng.normal(1.2, 0.6, count)
    rows["phot_g_mean_mag"] = mag
    rows["phot_bp_mean_mag"], rows["phot_rp_mean_mag"] = mag + 0.4 * color, mag - 0.6 * color
    rows["ruwe"] = 1.0 + np.abs(rng.normal(0.0, 0.15, count))
    return rows, np.array(kinds)


_NUMBERS: Final = (
    "ra", "dec", "parallax", "parallax_error", "parallax_over_error", "pmra", "pmdec",
    "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "ruwe",
)  # fmt: skip


def _gaia_id(one: SkyObject) -> int | None:
    text = one.ids.get("Gaia DR3", "")
    return int(text) if text.isdigit() else None

"""Small tables in each archive's own columns, made from a mission's declaration."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skyvault.missions import Mission

#: an ObsID of each mission, filled with a running number
IDS = {
    "xmm_pointed": "{:010d}",
    "erosita_calpv": "{:06d}",
    "erosita_all_sky_de_dr1": "{:06d}",
    "chandra": "{:d}",
    "nustar_pointed": "{:011d}",
    "rosat_pointed": "RP{:06d}N00",
    "rosat_all_sky": "RS{:06d}N00",
    "swift": "{:011d}",
    "suzaku": "{:09d}",
    "asca": "{:08d}",
    "integral_pointed": "{:012d}",
    "xrism_pointed": "{:09d}",
}
#: words that rows of these missions bear
WORDS = {
    ("chandra", "detector"): ["ACIS-I", "ACIS-S", "HRC-I", "HRC-S"],
    ("chandra", "grating"): ["NONE", "NONE", "NONE", "NONE", "HETG"],
    ("rosat_pointed", "instrument"): ["PSPCB", "PSPC", "PSPCC", "HRI"],
}


def archive_table(cls: type[Mission], rows: int = 200, seed: int = 1, upper: bool = False) -> pa.Table:
    """A table in the archive's own columns: positions all over the sky, times over ten years, MJD and seconds."""
    declared = cls.declaration
    rng = np.random.default_rng(seed)
    start = np.sort(rng.uniform(52000, 56000, rows))
    made: dict[str, object] = {}
    for column in declared.columns:
        for source in [column.source] if isinstance(column.source, str) else column.source or ():
            values: object
            if column.name == "ObsID":
                values = [IDS[declared.name].format(i + 1) for i in range(rows)]
            elif column.name == "ra":
                values = rng.uniform(0, 360, rows)
            elif column.name == "dec":
                values = np.degrees(np.arcsin(rng.uniform(-1, 1, rows)))
            elif column.name == "end":
                values = start + 0.5
            elif column.kind == "time":
                values = start
            elif column.kind == "duration":
                values = rng.uniform(1e3, 5e4, rows)
            elif column.kind == "bool":
                values = np.ones(rows, np.bool_)
            elif column.kind in ("float", "int"):
                values = np.arange(rows)
            else:
                words = WORDS.get((declared.name, source), [f"{source} {i}" for i in range(3)])
                values = [words[i % len(words)] for i in range(rows)]
            made[source] = values
    if declared.tile_columns:
        ra, dec = np.asarray(made["ra"]), np.asarray(made["dec"])
        made |= {"ra_min": ra - 2, "ra_max": ra + 2, "dec_min": dec - 1.5, "dec_max": dec + 1.5}
    for source, allowed in declared.keep.items():
        made[source] = [allowed[0]] * rows
    if declared.category:
        words = [*declared.category.codes, "something else"]
        made[declared.category.source] = [words[i % len(words)] for i in range(rows)]
        if declared.category.fallback:
            made[declared.category.fallback] = ["TOO"] * rows
    return pa.table({name.upper() if upper else name: values for name, values in made.items()})

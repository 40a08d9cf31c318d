"""Rules of TESS's observations that no table says: target, sector and cadence stand in an observation's name."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_NAME = r"^tess[0-9]{13}-s(?P<sector>[0-9]{4})-(?P<tic>[0-9]{16})-[0-9]{4}-(?P<kind>[a-z])(?P<fast>_fast)?$"


def prepare(table: pa.Table) -> pa.Table:
    """Adds ``ticid``, ``sector`` and ``cadence_s`` (20 for fast ones, else 120); null for other names."""
    found = pc.extract_regex(table["obs_id"].cast(pa.string()), _NAME)
    sector = pc.struct_field(found, "sector").cast(pa.int64())
    tic = pc.struct_field(found, "tic").cast(pa.int64())
    fast = pc.equal(pc.struct_field(found, "fast"), "_fast")
    cadence = pc.if_else(pc.fill_null(fast, False), 20, 120).cast(pa.int64())
    for name, column in (("ticid", tic), ("sector", sector), ("cadence_s", cadence)):
        table = table.append_column(name, column)
    return table

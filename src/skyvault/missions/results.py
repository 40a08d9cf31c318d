"""Tables that tell which observations belong to which positions: typed, with separations and the user's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from skyvault.missions.arguments import Floats
from skyvault.missions.match import Booleans, Indices, Pairs


class Beam(NamedTuple):
    """A field of view to match with: the instrument it belongs to, a radius for each position (degrees), and the rows
    of the observations it was used in (None: all)."""

    instrument: str | None
    radius: Floats
    rows: Booleans | None


class Found(NamedTuple):
    """Pairs of several beams together, each pair once, and which beams saw it: ``beams`` from ``first[i]`` on."""

    pairs: Pairs
    first: Indices
    beams: Indices


def joined(parts: Sequence[Pairs], rows: int) -> Found:
    """The pairs of several beams as one list, sorted by position and observation; ``rows`` is the table's length."""
    if len(parts) == 1:
        count = len(parts[0].position)
        return Found(parts[0], np.arange(count + 1), np.zeros(count, np.int64))
    position, observation, separation = (np.concatenate([part[i] for part in parts]) for i in range(3))
    beam = np.repeat(np.arange(len(parts)), [len(part.position) for part in parts])
    key = position * np.int64(max(rows, 1)) + observation
    order = np.lexsort((beam, key))
    key = key[order]
    is_first = np.ones(len(key), np.bool_)
    is_first[1:] = key[1:] != key[:-1]
    first = np.flatnonzero(is_first)
    at = order[first]
    return Found(Pairs(position[at], observation[at], separation[at]), np.append(first, len(key)), beam[order])


def match_table(
    found: Found,
    kept: Booleans,
    obs_ids: pa.ChunkedArray,
    lon: Floats,
    lat: Floats,
    names: Sequence[str] | None,
    instruments: Sequence[str | None],
) -> pa.Table:
    """One row for each position that has observations among ``kept``, in the order the positions were given.

    Columns: pos_ind, pos_name (only with ``names``), pos_ra, pos_dec (degrees, the mission's frame), ObsIDs (list),
    separation (list, degrees, in the order of ObsIDs) and, for missions whose instruments have different fields of
    view, instruments (for each ObsID the list of those whose field holds the position).
    """
    pairs = found.pairs
    chosen = np.flatnonzero(kept[pairs.observation])
    position, observation = pairs.position[chosen], pairs.observation[chosen]
    is_first = np.ones(len(position), np.bool_)
    is_first[1:] = position[1:] != position[:-1]
    offsets = pa.array(np.append(np.flatnonzero(is_first), len(position)).astype(np.int32))
    which = position[is_first]
    columns: dict[str, pa.Array] = {"pos_ind": pa.array(which)}
    if names is not None:
        columns["pos_name"] = pa.array(list(names), pa.string()).take(pa.array(which))
    columns["pos_ra"], columns["pos_dec"] = pa.array(lon[which]), pa.array(lat[which])
    ids = obs_ids.chunk(0) if obs_ids.num_chunks == 1 else obs_ids.combine_chunks()
    columns["ObsIDs"] = pa.ListArray.from_arrays(offsets, ids.take(pa.array(observation)))
    columns["separation"] = pa.ListArray.from_arrays(offsets, pa.array(pairs.separation[chosen]))
    if any(name is not None for name in instruments):
        count = found.first[chosen + 1] - found.first[chosen]
        inner = np.concatenate([[0], np.cumsum(count)])
        index = np.arange(int(inner[-1])) - np.repeat(inner[:-1], count) + np.repeat(found.first[chosen], count)
        labels = pa.array([name or "" for name in instruments], pa.string())
        lists = pa.ListArray.from_arrays(pa.array(inner.astype(np.int32)), labels.take(pa.array(found.beams[index])))
        columns["instruments"] = pa.ListArray.from_arrays(offsets, lists)
    return pa.table(columns)

"""Stars that touch each other in an image, told apart: each segment is cut along the valleys between its summits.

A segment is looked at above rising thresholds (Bertin & Arnouts 1996, A&AS 117, 393, section 6): where it falls apart
into parts that each hold a share of its light, these are sources of their own; a flood gives each pixel to one.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from skyvault.science.samples import Booleans, Floats

Labels = NDArray[np.int32]

#: thresholds between the edge of a segment and its summit, in even steps of magnitude
_LEVELS: Final = 32
#: how deep the valley before a summit must be against its height: the overexposed core of a star is rough
_VALLEY: Final = 0.35
#: diagonal pixels touch
_NEIGHBOURS: Final = np.ones((3, 3), np.bool_)


def deblended(image: Floats, segments: Labels, *, least_pixels: int, contrast: float = 0.001) -> Labels:
    """Segments (0 background, 1 to n) of an image above its background, cut where they hold several sources.

    A part becomes a source when it covers ``least_pixels``, holds ``contrast`` of the segment's light above the valley
    that parts it from others, and rises well above this valley.
    """
    from scipy.ndimage import find_objects, maximum_filter

    result = segments.astype(np.int32)
    is_summit = (image == maximum_filter(image, size=3)) & (segments > 0)
    summits = np.bincount(segments[is_summit], minlength=int(segments.max(initial=0)) + 1)
    places = find_objects(segments)
    following = len(summits)
    for label in np.flatnonzero(summits > 1).tolist():
        place = places[label - 1]
        if label == 0 or place is None:
            continue
        parts = _parts(image[place], segments[place] == label, least_pixels, contrast)
        count = int(parts.max(initial=0))
        if count > 1:
            window = result[place]
            window[parts > 1] = parts[parts > 1] + following - 2
            following += count - 1
    return result


def _parts(image: Floats, inside: Booleans, least_pixels: int, contrast: float) -> Labels:
    from scipy.ndimage import label, maximum

    light = np.where(inside, image, 0.0)
    low, high = float(image[inside].min()), float(light.max())
    if not 0.0 < low < high:
        low = max(high * 1e-4, 1e-300)
    total = float(light.sum())
    seeds: list[Booleans] = [inside]
    for level in np.geomspace(low, high, _LEVELS + 1)[1:-1].tolist():
        islands, count = label(inside & (image > level), _NEIGHBOURS)
        if count < 2:
            continue
        areas = np.bincount(islands.ravel())
        share = np.bincount(islands.ravel(), np.where(islands > 0, light - level, 0.0).ravel())
        heavy = (areas >= least_pixels) & (share >= contrast * total)
        summits = np.asarray(maximum(image, islands, np.arange(count + 1)))
        heavy &= summits - level >= _VALLEY * summits
        heavy[0] = False
        divided: list[Booleans] = []
        for seed in seeds:
            mine = np.unique(islands[seed])
            mine = mine[heavy[mine]]
            divided += [islands == number for number in mine.tolist()] if len(mine) > 1 else [seed]
        seeds = divided
    if len(seeds) == 1:
        return inside.astype(np.int32)
    owner = np.zeros(image.shape, np.int32)
    for number, seed in enumerate(seeds, 1):
        # the seed's summit only: where seeds of different levels touch, the valley decides
        owner.flat[np.argmax(np.where(seed, image, -np.inf))] = number
    return _flooded(image, inside, owner, low, high)


def _flooded(image: Floats, inside: Booleans, owner: Labels, low: float, high: float) -> Labels:
    """Each pixel to the summit from which it is reached first as the water sinks from the top."""
    from scipy.ndimage import maximum_filter

    for level in [*np.geomspace(low, high, 4 * _LEVELS)[-2::-1].tolist(), -np.inf]:
        dry = inside & (image > level)
        while True:
            free = dry & (owner == 0)
            if not free.any():
                break
            reached = np.where(free, maximum_filter(owner, size=3), 0)
            if not reached.any():
                break
            owner = np.where(free, reached, owner)
    return owner

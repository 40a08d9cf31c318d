"""The pictures of time series and astrometry, looked at once and pinned by their hashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from science.picture_hash import bits_apart, picture_hash
from science.star_field import field
from skyvault.errors import ParameterError
from skyvault.science.astrometric_residuals import ReferenceStars, check_astrometry, compare_distortion
from skyvault.science.astrometry_plot import plot_image_sources, plot_magnitudes, plot_residuals
from skyvault.science.eclipse_times import mean_cycle, time_eclipses
from skyvault.science.folding import LightElements
from skyvault.science.periods import lomb_scargle
from skyvault.science.source_extraction import extract_sources
from skyvault.science.time_series_plot import (
    plot_eclipses_by_epoch,
    plot_folded,
    plot_light_curve,
    plot_periodogram,
    plot_timing,
)

#: fonts of other machines move some pixels
TOLERANCE = 20
TRUTH = LightElements(7.5, 20_000.0, 1e-8)
CONSTANT = LightElements(7.5, 20_000.0)
EPOCHS = np.arange(16_000.0, 40_001.0, 4000.0)


def eclipsing():
    random = np.random.default_rng(1)
    time = np.sort(random.uniform(16_000, 40_000, 3000))
    cycle = TRUTH.cycles(time)
    phase = cycle - np.round(cycle)
    value = 9.0 + 0.6 * np.exp(-0.5 * (phase / 0.04) ** 2) + random.normal(0, 0.12, 3000)
    return time, value, np.full(3000, 0.12)


def light_curve() -> Any:
    time, value, error = (a[::8] for a in eclipsing())
    limit = np.full(len(time), 12.0)
    value = np.where(np.arange(len(time)) % 3 == 0, np.nan, value)
    return plot_light_curve(time, value, error, limit=limit - (time - 16_000) / 12_000)


def folded() -> Any:
    time, value, _ = eclipsing()
    band = np.where(np.arange(3000) % 2, "B", "V")
    return plot_folded(time, value + (band == "B"), TRUTH, band=band, template=mean_cycle(time, value, TRUTH))


def timing() -> Any:
    time, value, error = eclipsing()
    return time_eclipses(
        time, value, error, elements=CONSTANT, template=mean_cycle(time, value, TRUTH), epochs=EPOCHS, widest_shift=0.2
    )


def by_epoch() -> Any:
    time, value, _ = eclipsing()
    return plot_eclipses_by_epoch(
        time, value, CONSTANT, EPOCHS, template=mean_cycle(time, value, TRUTH), timing=timing()
    )


def o_minus_c() -> Any:
    return plot_timing(timing(), fitted=timing().fitted(is_quadratic=True))


def periodogram() -> Any:
    time, value, error = eclipsing()
    return plot_periodogram(lomb_scargle(time[:300], value[:300], error[:300], maximum_frequency=0.5, terms=2))


def wobble() -> Any:
    image, plane, _, columns = field(count=150, wobble_px=1.0)
    stars = ReferenceStars.from_columns(**columns, epoch=2016.0)
    return plot_residuals(check_astrometry(extract_sources(image, plane), stars, epoch=1950.0))


def distortion() -> Any:
    image, plane, _, columns = field(count=150, with_sip=True)
    stars = ReferenceStars.from_columns(**columns, epoch=2016.0)
    with_terms, without = compare_distortion(extract_sources(image, plane), plane, stars, epoch=1950.0)
    return plot_residuals(with_terms, other=without)


def magnitudes() -> Any:
    image, plane, _, columns = field(count=150)
    stars = ReferenceStars.from_columns(**columns, epoch=2016.0)
    return plot_magnitudes(check_astrometry(extract_sources(image, plane), stars, epoch=1950.0))


def sources() -> Any:
    image = field(count=60)[0]
    found = extract_sources(image)
    return plot_image_sources(image, found.x, found.y, catalogue=(found.x[:5], found.y[:5] + 3))


PICTURES: dict[Callable[[], Any], str] = {
    light_curve: "0000e0008000884abfff3fff3ffc3ff73fdf3fbffeff3bffefff1fff8000fe1f",
    folded: "ffffffff82018201f9fefdfe7dfe060102018000f9fefdfefdffffffd52afd1f",
    by_epoch: "8180fe3f8f7e8080bf7f81c0fe3f8f7f00003f3f80c0ff3f8f3e8080bf3fff7f",
    o_minus_c: "00007ffc7ffc7ffa7ff27ff67fee7fce7f9e7fbe7e7e7cfe00fe77fe8000fe3f",
    periodogram: "b9ffffffffffbfffffffffffffbf3fffffffffffbfffffff82828000b012fe1f",
    wobble: "00018836007d00ff007e007f007cbf7e3f7e7f7f000036307f7f7f7f3f7ef164",
    distortion: "c0037f7f7f7f7f7f7f7f6f7f000080007f7f7f7f7f7f7f7f3f6a0000bc66d144",
    magnitudes: "000087fcbff8bff23fce3fde3f3e3f7e3efe3dfeb3feb7feaffe9ffe8000fc0f",
    sources: "ffbec000c0008008c000c0408000c000c040d002c0009000c604c0848492ffff",
}


@pytest.mark.parametrize("draw", PICTURES, ids=lambda draw: draw.__name__)
def test_the_picture_looks_as_it_did_when_it_was_looked_at(draw):
    assert bits_apart(picture_hash(draw()), PICTURES[draw]) <= TOLERANCE


def test_too_many_epochs_are_refused_in_a_sentence():
    time, value, _ = eclipsing()
    with pytest.raises(ParameterError, match="1 to 40 can be drawn"):
        plot_eclipses_by_epoch(time, value, CONSTANT, np.arange(16_000.0, 40_000.0, 100.0))

"""Periods of real stars: RR Lyrae of SDSS Stripe 82 and a century of HD 5501 on photographic plates."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from skyvault.science.aliases import same_up_to_alias
from skyvault.science.eclipse_times import single_eclipse, time_eclipses
from skyvault.science.folding import LightElements, fold, phase_dispersion
from skyvault.science.periods import lomb_scargle
from skyvault.science.time_scales import HJD_UTC, to_barycenter

pytestmark = pytest.mark.shared

#: amplitudes of RR Lyrae in u, g, r, i, z against g
SCALES = {"u": 1.0, "g": 1.0, "r": 0.72, "i": 0.58, "z": 0.55}
#: rejected by the standard rules of DASCH: background, scatter, near the limit, unknown bin
BAD_AFLAGS = 0xB840


def rr_lyrae(path: Path, every: int):
    with tarfile.open(path) as archive:
        periods = {
            row["Num"]: float(row["Per"])
            for row in csv.DictReader(io.TextIOWrapper(archive.extractfile("RRLyrae/periods.csv")))
        }
        for name in sorted(n for n in archive.getnames() if "/light-curves/" in n and n.endswith(".csv"))[::every]:
            rows = list(csv.DictReader(io.TextIOWrapper(archive.extractfile(name))))
            columns = [np.array([float(row[c]) for row in rows]) for c in ("time", "mag", "magerr")]
            yield periods[Path(name).stem], *columns, np.array([row["band"] for row in rows])


def test_rr_lyrae_of_stripe_82_have_their_published_periods(shared_data):
    """Nine of ten; each of the others is an alias that fits better than the published period, or as well."""
    found, aliased, total = 0, 0, 0
    for period, time, magnitude, error, band in rr_lyrae(
        shared_data / "lightcurves/sdss_s82_rrlyrae/sdss_s82_rrlyrae.tar.gz", every=32
    ):
        search = lomb_scargle(
            time, magnitude, np.hypot(error, 0.03), band,
            minimum_frequency=1.0, maximum_frequency=5.0, terms=4, band_scales=SCALES,
        )  # fmt: skip
        best = search.fundamental
        total += 1
        if abs(best.frequency - 1.0 / period) < 2.0 / np.ptp(time):
            found += 1
        elif (
            same_up_to_alias(best.frequency, 1.0 / period, 0.004) is not None
            or best.power > search.power_at(1.0 / period)[0]
        ):
            aliased += 1
    assert found >= 0.9 * total and found + aliased == total, (found, aliased, total)


@pytest.fixture(scope="module")
def hd_5501(shared_data):
    """Barycentric times, magnitudes and errors of the star's main light curve after the standard rejections."""
    with gzip.open(shared_data / "lightcurves/dasch_hd5501/N311301016169.ecsv.gz", "rt") as file:
        rows = list(csv.DictReader((line for line in file if not line.startswith("#")), delimiter=" "))
    kept = [
        row for row in rows
        if row["magcal_magdep"] and row["magcal_local_rms"] and not int(row["aflags"] or 0) & BAD_AFLAGS
    ]  # fmt: skip
    jd, magnitude, error = (
        np.array([float(row[name]) for row in kept]) for name in ("time", "magcal_magdep", "magcal_local_rms")
    )
    times = to_barycenter(jd - 2_400_000.5, HJD_UTC, 14.4187, 60.2381)
    assert times.is_converted and len(kept) > 2000
    return times.mjd, magnitude, error


PERIOD = 7.5352272


def test_a_century_of_plates_tells_the_period_of_hd_5501(hd_5501):
    time, magnitude, error = hd_5501
    search = lomb_scargle(time, magnitude, error, terms=4, minimum_frequency=0.05, maximum_frequency=0.45)
    assert any(abs(peak.period - PERIOD) < 5e-4 for peak in search.peaks(3))
    assert float(search.power_at(1 / PERIOD)[0]) > search.false_alarm_level(1e-6)
    folded = phase_dispersion(fold(time, PERIOD).phase, magnitude)
    assert folded < phase_dispersion(fold(time, 1.01 * PERIOD).phase, magnitude) < 1.05


def test_eclipses_of_hd_5501_are_timed_by_epoch(hd_5501):
    time, magnitude, error = hd_5501
    first = single_eclipse(time, magnitude, LightElements(PERIOD), error=error)
    # phase 0 in the middle of the eclipse, about 1920
    epoch = float(LightElements(PERIOD).times(3000 + first.phase[first.value.argmax()]))
    elements = LightElements(PERIOD, epoch)
    template = single_eclipse(time, magnitude, elements, error=error)
    assert 0.2 < template.amplitude < 0.4 and abs(template.phase[template.value.argmax()]) < 0.01
    years = np.array([1898, 1906, 1914, 1922, 1930, 1938, 1946, 1954])
    timing = time_eclipses(
        time, magnitude, error, elements=elements, template=template,
        epochs=51_544.5 + 365.25 * (years - 2000), widest_shift=0.2,
    )  # fmt: skip
    timed = np.isfinite(timing.error)
    # the eclipse is there in most epochs, at its time within 4 sigma and half a day: it drifts
    assert timed.sum() >= 4 and (np.abs(timing.o_minus_c[timed]) < 0.6).all()
    assert (np.abs(timing.o_minus_c[timed]) < 4 * timing.error[timed]).all()
    assert (timing.depth[timed] > 0.15).all()

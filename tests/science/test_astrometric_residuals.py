"""The astrometric check: HD 219829 on a plate of 1951, wobbling scanners, distortions, chance matches, verdicts."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from science.star_field import field
from skyvault.errors import ParameterError
from skyvault.science.astrometric_residuals import (
    ReferenceStars,
    check_astrometry,
    compare_distortion,
    magnitude_outliers,
)
from skyvault.science.source_extraction import extract_sources
from skyvault.sky.vectors import separation

EPOCH = 1950.0


def check(**options):
    image, plane, _, columns = field(**options)
    stars = ReferenceStars.from_columns(**columns, epoch=2016.0)
    return (
        check_astrometry(extract_sources(image, plane), stars, epoch=EPOCH),
        stars,
        extract_sources(image, plane),
        plane,
    )


@pytest.fixture(scope="module")
def calm():
    return check()


def test_a_good_calibration_is_called_good(calm):
    result, *_ = calm
    assert result.verdict == "good" and len(result) > 260, result.sentence
    assert np.hypot(*result.median) < 0.03 and max(result.scatter) < 0.2 and result.wobbles == ()
    assert result.magnitude_law[1] == pytest.approx(1.0, abs=0.12)  # isophotal magnitudes lose light of faint stars
    assert 0 < result.expected_by_chance < 10


def test_without_proper_motion_the_residuals_are_the_motion(calm):
    result, stars, sources, _ = calm
    still = check_astrometry(sources, stars, epoch=EPOCH, is_moved=False)
    assert max(still.scatter) > 1.0 > 4 * max(result.scatter)


def test_a_scanners_wobble_is_measured():
    result, *_ = check(wobble_px=1.0, wavelength=60.0)
    assert result.verdict == "wobbling" and "gears" in result.sentence
    strongest = result.wobbles[0]
    assert (strongest.of, strongest.axis) == ("ra", "x")
    assert strongest.wavelength == pytest.approx(60, rel=0.02) and strongest.amplitude == pytest.approx(1.7, rel=0.15)


def test_distortion_shows_when_its_terms_are_left_out():
    image, plane, _, columns = field(with_sip=True)
    stars = ReferenceStars.from_columns(**columns, epoch=2016.0)
    sources = extract_sources(image, plane)
    with_terms, without = compare_distortion(sources, plane, stars, epoch=EPOCH)
    assert with_terms.verdict == "good" and without.verdict == "distorted"
    assert max(without.scatter) > 3 * max(with_terms.scatter)


def test_a_wcs_without_such_terms_cannot_be_compared(calm):
    _, stars, sources, plane = calm
    with pytest.raises(ParameterError, match="no distortion terms"):
        compare_distortion(sources, plane, stars, epoch=EPOCH)


def test_a_shifted_image_is_called_shifted(calm):
    _, stars, sources, _ = calm
    result = check_astrometry(replace(sources, dec=sources.dec + 2.0 / 3600), stars, epoch=EPOCH)
    assert result.verdict == "shifted" and result.median[1] == pytest.approx(2.0, abs=0.05)


def test_chance_matches_are_flagged_by_their_brightness(calm):
    result, stars, sources, _ = calm
    random = np.random.default_rng(0)
    # sixty of the stars are not in the catalogue, but 4,000 fainter ones are
    crowded = ReferenceStars.from_columns(
        np.r_[stars.ra[60:], np.mod(random.uniform(-0.17, 0.13, 4000), 360)],
        np.r_[stars.dec[60:], random.uniform(40.87, 41.13, 4000)],
        pm_ra=np.r_[stars.pm_ra[60:], np.zeros(4000)],
        pm_dec=np.r_[stars.pm_dec[60:], np.zeros(4000)],
        magnitude=np.r_[stars.magnitude[60:], random.uniform(17, 21, 4000)],
        epoch=2016.0,
    )
    found = check_astrometry(sources, crowded, epoch=EPOCH, radius_arcsec=8.0)
    is_chance = found.star >= len(stars.ra) - 60
    assert is_chance.sum() >= 5 and (found.is_spurious == is_chance).mean() > 0.97
    assert found.expected_by_chance > 5 * result.expected_by_chance and found.verdict == "good"


def test_outliers_need_ten_pairs_and_are_never_nearer_than_half_a_magnitude():
    law, flagged = magnitude_outliers(np.arange(9.0), np.arange(9.0))
    assert np.isnan(law).all() and not flagged.any()
    image = np.arange(50.0) / 5
    catalogue = 20 + image
    catalogue[[3, 7]] += [0.4, 2.0]
    law, flagged = magnitude_outliers(image, catalogue)
    assert law == pytest.approx((20.0, 1.0)) and np.flatnonzero(flagged).tolist() == [7]


def test_few_stars_are_a_verdict_and_wrong_arguments_a_sentence(calm):
    _, stars, sources, _ = calm
    lost = check_astrometry(replace(sources, dec=sources.dec - 20), stars, epoch=EPOCH)
    assert lost.verdict == "too few stars" and len(lost) == 0 and np.isnan(lost.median).all()
    with pytest.raises(ParameterError, match="epoch of the image"):
        check_astrometry(sources, stars, epoch=np.nan)
    with pytest.raises(ParameterError, match="no positions on the sky"):
        check_astrometry(replace(sources, ra=sources.ra * np.nan), stars, epoch=EPOCH)
    with pytest.raises(ParameterError, match="3 positions, but 2 magnitudes"):
        ReferenceStars.from_columns([1, 2, 3], [1, 2, 3], magnitude=[1, 2], epoch=2016.0)


@pytest.mark.shared
def test_hd_219829_of_1951_lies_where_gaia_says_once_it_is_moved(shared_data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DATE-OBS of this plate is 09:60:00
        with fits.open(shared_data / "images/plates_dss/dss_hd219829.fits.gz") as file:
            sources = extract_sources(file[0].data, WCS(file[0].header))
    gaia = Table.read(shared_data / "catalogs/open_clusters/HD_219829_query_results.ecsv")
    stars = ReferenceStars.from_columns(
        gaia["ra"], gaia["dec"], pm_ra=gaia["pmra"], pm_dec=gaia["pmdec"], parallax=gaia["parallax"],
        magnitude=gaia["phot_g_mean_mag"], epoch=2015.5,
    )  # fmt: skip
    row = int(np.argmin(stars.magnitude))
    moved = check_astrometry(sources, stars, epoch=1951.605, radius_arcsec=4.0)
    residual = moved.separation[moved.star == row]
    assert len(residual) == 1 and residual[0] < 1.0
    source = moved.source[moved.star == row][0]
    # 0.497 arcsec a year over 64 years
    assert separation(sources.ra[source], sources.dec[source], stars.ra[row], stars.dec[row]) * 3600 > 25.0
    still = check_astrometry(sources, stars, epoch=1951.605, radius_arcsec=4.0, is_moved=False)
    assert row not in still.star
